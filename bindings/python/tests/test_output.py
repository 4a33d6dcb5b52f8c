"""What workers print."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from terminal import on_terminal

CHATTY = """
import sys
import procall

chatty = procall.Service("chatty")

@chatty.method
def say(text: str) -> None:
    print(text)
    print(text.upper(), file=sys.stderr)

chatty.run()
"""

PROGRAM = """
import sys
import procall

with procall.Pool(sys.argv[1], workers=2, show_output=sys.argv[2] == "shown") as pool:
    pool.options(to="chatty/2").say("hello")
    # Unbuffered: the lines are here while the worker lives.
    while len(pool.output(1)) < 2:
        pass
"""


@pytest.fixture
def command(script: Callable[..., str]) -> list[str]:
    return [sys.executable, script(PROGRAM, "parent.py"), script(CHATTY, "chatty.py")]


@pytest.mark.parametrize("shown", ["shown", "silent"])
def test_output_is_prefixed_or_silent(command: list[str], shown: str) -> None:
    done = subprocess.run([*command, shown], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
    lines = {"chatty/2 | hello", "chatty/2 | HELLO"} if shown == "shown" else set()
    assert set(done.stderr.splitlines()) == lines


def test_output_is_coloured_on_a_terminal(command: list[str]) -> None:
    printed = on_terminal(*command, "shown").splitlines()
    assert set(printed) == {
        "\x1b[35mchatty/2 |\x1b[0m hello",
        "\x1b[35mchatty/2 |\x1b[0m HELLO",
    }


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_declined(command: list[str], plain: dict[str, str]) -> None:
    printed = on_terminal(*command, "shown", **plain).splitlines()
    assert set(printed) == {"chatty/2 | hello", "chatty/2 | HELLO"}
