"""An engine over TLS: services that register with it, and callers."""

from __future__ import annotations

import asyncio
import pathlib
import shutil
import sys
from collections.abc import Iterator

import procall
import procall.aio
import pytest
from engines import HERE, ROOT, Process, command

PATIENCE = 60


class House:
    """An engine at a free port over TLS, and the certificates of the tests beside it."""

    def __init__(self, path: pathlib.Path, environment: dict[str, str], *args: str) -> None:
        self.files = path / "certificates"
        shutil.copytree(ROOT / "tests" / "certificates", self.files)
        for file in self.files.iterdir():
            file.chmod(0o600)
        self.environment = environment
        cert, key = self.file("server.pem"), self.file("server.key")
        own = ["--no-http", "--tls-cert", cert, "--tls-key", key]
        argv = [command(), "serve", "--listen", "tls:127.0.0.1:0", *own]
        argv += [arg.replace("CERTIFICATES", str(self.files)) for arg in args]
        self.engine = Process(argv, environment)
        self.address = self.engine.said("listening at tls:").rpartition(" ")[2]

    def file(self, name: str) -> str:
        return str(self.files / name)

    def shop(self, **environment: str) -> Process:
        """A service that has registered over TLS, with what its environment says."""
        argv = [sys.executable, str(HERE / "services" / "shop.py"), "plain"]
        where = {"PROCALL_ENGINE": self.address, "PROCALL_TLS_CA": self.file("ca.pem")}
        # Elsewhere, so that it has no other way.
        elsewhere = {"XDG_RUNTIME_DIR": str(self.files)}
        return Process(argv, self.environment | elsewhere | where | environment)


@pytest.fixture
def house(tmp_path: pathlib.Path, environment: dict[str, str]) -> Iterator[House]:
    it = House(tmp_path, environment)
    yield it
    it.engine.end()


def test_a_service_and_a_caller_meet_over_tls(house: House) -> None:
    shop = house.shop()
    shop.said("registered with")
    ca = pathlib.Path(house.file("ca.pem"))
    with procall.connect(house.address, ca=ca, timeout=PATIENCE) as client:
        assert client.call("shop.add", 1, 2) == 3
        assert list(client.stream("shop.count", 200)) == list(range(200))
    shop.end()


def test_asyncio_takes_the_same_and_the_environment_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = house.shop()
    shop.said("registered with")

    async def both() -> list[int]:
        ca = house.file("ca.pem")
        async with procall.aio.connect(house.address, ca=ca, timeout=PATIENCE) as client:
            one = await client.call("shop.add", 1, 2)
        monkeypatch.setenv("PROCALL_TLS_CA", ca)
        by_name = house.address.replace("127.0.0.1", "localhost")
        async with procall.aio.connect(by_name, timeout=PATIENCE) as client:
            return [one, await client.call("shop.add", 3, 4)]

    assert asyncio.run(both()) == [3, 7]
    shop.end()


def test_who_is_not_trusted_is_told_with_the_fix(house: House) -> None:
    with pytest.raises(procall.Unauthenticated, match=r"PROCALL_TLS_CA=FILE, or the option `ca`"):
        procall.connect(house.address, ca=house.file("other-ca.pem"))
    with pytest.raises(procall.InvalidArgument, match="cannot be read"):
        procall.connect(house.address, ca=house.file("none.pem"))
    with pytest.raises(procall.ProtocolError, match="connect with tls: instead of tcp:"):
        procall.connect(house.address.replace("tls:", "tcp:"))
    with pytest.raises(procall.InvalidArgument, match="given together"):
        procall.connect(house.address, ca=house.file("ca.pem"), cert=house.file("client.pem"))


def test_a_certificate_may_have_to_be_shown(
    tmp_path: pathlib.Path, environment: dict[str, str]
) -> None:
    house = House(tmp_path, environment, "--tls-client-ca", "CERTIFICATES/ca.pem")
    cert, key = house.file("client.pem"), house.file("client.key")
    shop = house.shop(PROCALL_TLS_CERT=cert, PROCALL_TLS_KEY=key)
    shop.said("registered with")
    ca = house.file("ca.pem")
    with procall.connect(house.address, ca=ca, cert=cert, key=key, timeout=PATIENCE) as client:
        assert client.call("shop.add", 1, 2) == 3
    with pytest.raises(procall.Unauthenticated, match="PROCALL_TLS_CERT"):
        procall.connect(house.address, ca=ca)
    pathlib.Path(key).chmod(0o644)
    with pytest.raises(procall.PermissionDenied, match="chmod 600"):
        procall.connect(house.address, ca=ca, cert=cert, key=key)
    shop.end()
    house.engine.end()
