"""Services in processes of their own, on sockets that vanish with the test."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import procall
import pytest
from procall import _errors

HERE = pathlib.Path(__file__).parent
SERVICES = HERE / "services"
VECTORS = HERE.parents[2] / "spec" / "vectors"

# A shell starts what runs in the background with Ctrl-C ignored, and so do some CI systems; what
# the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Served:
    """A service that runs in a process of its own."""

    def __init__(
        self,
        script: str,
        *args: str,
        listen: str | None,
        environment: dict[str, str] | None = None,
    ) -> None:
        environment = dict(os.environ if environment is None else environment)
        if listen is not None:
            environment["PROCALL_LISTEN"] = listen
        self.process = subprocess.Popen(
            [sys.executable, str(SERVICES / script), *args],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.process.stderr is not None
        assert self.process.stdout is not None
        line = self.process.stderr.readline()
        if "listening at " not in line:
            self.process.kill()
            raise AssertionError(line + self.process.stderr.read())
        self.address = line.rpartition(" ")[2].strip()
        self.pid = self.process.pid

    def line(self) -> str:
        """The next line that the service prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 10) -> int:
        return self.process.wait(timeout)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


Serve = Callable[..., Served]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    before = dict(_errors.REGISTERED)
    yield
    _errors.REGISTERED.clear()
    _errors.REGISTERED.update(before)


@pytest.fixture
def serve(tmp_path: pathlib.Path) -> Iterator[Serve]:
    """Starts a script of `services/` and gives its address; `tcp=True` for TCP."""
    running: list[Served] = []

    def start(script: str, *args: str, tcp: bool = False) -> Served:
        listen = "tcp:127.0.0.1:0" if tcp else f"unix:{tmp_path}/{len(running)}.sock"
        served = Served(script, *args, listen=listen)
        running.append(served)
        return served

    yield start
    for served in running:
        served.end()


@pytest.fixture(params=["unix", "tcp"])
def served(request: pytest.FixtureRequest, serve: Serve) -> Served:
    """The plain service, over each transport."""
    return serve("plain.py", tcp=request.param == "tcp")


@pytest.fixture
def calc(served: Served) -> Iterator[procall.Client]:
    with procall.connect(served.address) as client:
        yield client


@pytest.fixture
def plain(serve: Serve) -> Served:
    return serve("plain.py")


@pytest.fixture
def client(plain: Served) -> Iterator[procall.Client]:
    with procall.connect(plain.address) as client:
        yield client


@pytest.fixture
def script(tmp_path: pathlib.Path) -> Callable[[str], str]:
    """Writes a program and gives its path."""

    def write(text: str, name: str = "program.py") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def interrupt_when(happened: Callable[[], object]) -> threading.Thread:
    """Sends Ctrl-C to this process once `happened` returns."""

    def run() -> None:
        happened()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.fixture
def environment(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of programs that are to find nothing of ours but what their test says."""
    tmp_path.chmod(0o700)
    for name in list(os.environ):
        if name.startswith("PROCALL_") and name != "PROCALL_BIN":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return dict(os.environ)
