"""Services that listen over TLS, and compression, as a program itself says."""

from __future__ import annotations

import pathlib
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import procall
import pytest
from engines import ROOT, Process

PATIENCE = 60
SERVICE = """
import sys, procall
calc = procall.Service("calc")
calc.register("echo", lambda text: text)
calc.run({options})
"""


@pytest.fixture
def file(tmp_path: pathlib.Path) -> Callable[[str], str]:
    files = tmp_path / "certificates"
    shutil.copytree(ROOT / "tests" / "certificates", files)
    for each in files.iterdir():
        each.chmod(0o600)
    return lambda name: str(files / name)


@pytest.fixture
def serve(environment: dict[str, str]) -> Iterator[Callable[[str], str]]:
    """Starts a service with these options; gives its address."""
    running: list[Process] = []

    def start(options: str) -> str:
        program = SERVICE.format(options=options)
        running.append(Process([sys.executable, "-c", program], environment))
        return running[-1].said("listening at").rpartition(" ")[2]

    yield start
    for each in running:
        each.end()


def test_a_service_listens_over_tls_with_files_of_its_own(
    serve: Callable[[str], str], file: Callable[[str], str]
) -> None:
    own = f"cert={file('server.pem')!r}, key={file('server.key')!r}"
    address = serve(f"listen='tls:127.0.0.1:0', {own}, client_ca={file('ca.pem')!r}")
    ca, cert, key = file("ca.pem"), file("client.pem"), file("client.key")
    with procall.connect(address, ca=ca, cert=cert, key=key, timeout=PATIENCE) as client:
        assert client.echo("hello") == "hello"
    with pytest.raises(procall.Unauthenticated, match="PROCALL_TLS_CERT"):
        procall.connect(address, ca=ca)


def test_a_certificate_is_no_use_without_tls(
    environment: dict[str, str], file: Callable[[str], str]
) -> None:
    service = procall.Service("calc")
    with pytest.raises(procall.InvalidArgument, match="a certificate is for TLS"):
        service.run(listen="tcp:127.0.0.1:0", cert=file("server.pem"), key=file("server.key"))
    with pytest.raises(procall.InvalidArgument, match="or the options `cert` and `key`"):
        service.run(listen="tls:127.0.0.1:0", cert=file("server.pem"))


class Counter:
    """A way to a port that counts what passes."""

    def __init__(self, to: str) -> None:
        host, port = to.removeprefix("tcp:").rsplit(":", 1)
        self._to = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        self.passed = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with (
            self._listener,
            self._listener.accept()[0] as near,
            socket.create_connection(self._to) as far,
        ):
            back = threading.Thread(target=self._pass, args=(near, far), daemon=True)
            back.start()
            self._pass(far, near)
            back.join()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(1 << 16):
                self.passed += len(data)
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            # One side has hung up, and the other hears of it when this ends.
            return


@pytest.mark.parametrize(
    ("served", "called", "packed"), [(True, True, True), (True, None, False), (False, True, False)]
)
def test_what_both_sides_want_compressed_is(
    serve: Callable[[str], str], served: bool, called: bool | None, packed: bool
) -> None:
    way = Counter(serve(f"listen='tcp:127.0.0.1:0', compression={served}"))
    text = "over and over " * 20_000
    with procall.connect(way.address, compression=called, timeout=PATIENCE) as client:
        assert client.echo(text) == text
        # All of it has passed when the answer is here.
        assert (way.passed < len(text)) is packed


def test_the_workers_of_a_pool_are_told(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "worker.py"
    file.write_text(
        "import os, procall\n"
        "said = procall.Service('said')\n"
        "said.register('it', lambda: os.environ.get('PROCALL_COMPRESSION'))\n"
        "said.run()\n"
    )
    with procall.Pool(file, workers=1, compression=True) as pool:
        assert pool.said.it() == "1"
    with pytest.raises(procall.InvalidArgument, match="compression"):
        procall.Pool(file, compression="yes")  # type: ignore[typeddict-item]
