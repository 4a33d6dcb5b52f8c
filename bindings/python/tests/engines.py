"""An engine, ``procall serve``, and services that are registered with it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]


def command() -> str:
    """The command ``procall``: that of ``PROCALL_BIN``, or the one that cargo has built."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    path = os.environ.get("PROCALL_BIN", ROOT / target / "debug" / "procall")
    if not os.access(path, os.X_OK):
        raise AssertionError(f"there is no {path}: cargo build -p procall-cli")
    return str(path)


class Process:
    """A process that says on standard error when it is ready."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.pid = self.process.pid

    def said(self, words: str) -> str:
        """The next line on standard error with these words; those before are passed over."""
        assert self.process.stderr is not None
        before = []
        while line := self.process.stderr.readline():
            if words in line:
                return line.strip()
            before.append(line)
        raise AssertionError(f"it never said {words!r}: {''.join(before)}")

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def write(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def end(self) -> None:
        self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            # What was never read by the process cannot be flushed into it.
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class House:
    """A runtime directory of its own, with an engine that can be killed and started again."""

    def __init__(self, path: pathlib.Path) -> None:
        path.chmod(0o700)
        kept = {name: os.environ[name] for name in os.environ if not name.startswith("PROCALL_")}
        self.environment = {**kept, "XDG_RUNTIME_DIR": str(path)}
        self.address = "tcp:127.0.0.1:0"
        self.arguments: list[str] = []
        self.stack = contextlib.ExitStack()

    def start(self) -> None:
        argv = [command(), "serve", "--listen", self.address, *self.arguments]
        self.engine = Process(argv, self.environment)
        self.stack.callback(self.engine.end)
        # At its own port again, when it is started again.
        self.address = self.engine.said("listening at tcp:").rpartition(" ")[2]

    def shop(self, *args: str, **environment: str) -> Process:
        """A service of ``services/shop.py``, which may not be registered yet."""
        argv = [sys.executable, str(HERE / "services" / "shop.py"), *args]
        process = Process(argv, self.environment | environment)
        self.stack.callback(process.end)
        return process

    def registered(self, *args: str, **environment: str) -> Process:
        process = self.shop(*args, **environment)
        process.said("registered with")
        return process

    def peers(self) -> dict[int, dict[str, Any]]:
        """Those who are connected, as ``procall ps --json`` has them, by their processes."""
        argv = [command(), "ps", "--json"]
        shown = subprocess.run(argv, env=self.environment, capture_output=True, check=True)
        return {peer["pid"]: peer for peer in json.loads(shown.stdout)["engines"][0]["peers"]}

    def interrupt(self, process: Process) -> int:
        process.process.send_signal(signal.SIGINT)
        return process.process.wait(20)


@contextlib.contextmanager
def house(path: pathlib.Path) -> Iterator[House]:
    it = House(path)
    with it.stack:
        yield it
