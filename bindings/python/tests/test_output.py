"""What workers print."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

import procall
import pytest
from conftest import SERVICES
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


WORKING = SERVICES / "working.py"


def line_of(pool: procall.Pool, text: str) -> procall.OutputLine:
    """The line, once it has come."""
    patience = time.monotonic() + 60
    while True:
        for line in pool.output(0):
            if line.text == text:
                return line
        assert time.monotonic() < patience, f"{text} was not printed"


def test_a_line_comes_at_once_and_names_its_call(tmp_path: pathlib.Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with procall.Pool(WORKING, workers=1, show_output=False) as pool:
        call = pool.submit("say_and_wait", "while it runs", str(fifo))
        # Printed without flush, and the handler goes on only once this is open.
        line = line_of(pool, "while it runs")
        assert (line.method, line.stream) == ("say_and_wait", "stdout")
        assert isinstance(line.call, int)
        with open(fifo, "wb"):
            pass
        assert call.result() == line.pid
        pool.say("the next one")
        following = line_of(pool, "the next one")
        assert (following.method, str(following)) == ("say", "working/1 | the next one")
        assert following.call is not None
        assert following.call > line.call


LOOPING = """
import asyncio
import procall

looping = procall.Service("looping")
entered = asyncio.Event()

@looping.method
async def first() -> None:
    await entered.wait()
    print("of two")
    entered.clear()

@looping.method
async def second() -> None:
    entered.set()
    while entered.is_set():
        await asyncio.sleep(0)

looping.run()
"""


def test_of_several_calls_none_is_named(script: Callable[..., str]) -> None:
    with procall.Pool(script(LOOPING, "looping.py"), workers=1, show_output=False) as pool:
        first = pool.submit("first")
        pool.second()
        first.result()
        line = line_of(pool, "of two")
        assert (line.call, line.method) == (None, None)


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
