"""Services that an engine with a state recognises when either of them comes back."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import engines
import procall
import pytest
from engines import House

PATIENCE = 60
KINDS = pytest.mark.parametrize("kind", ["plain", "async"])


@pytest.fixture
def house(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    for name in ("PROCALL_ENGINE", "PROCALL_LISTEN", "PROCALL_IDENTITY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with engines.house(tmp_path) as house:
        house.arguments = ["--state", str(tmp_path / "state"), "--no-http"]
        house.start()
        yield house


def answering() -> int:
    """The process that answers once the engine and a service are there."""
    with procall.connect("shop", timeout=PATIENCE) as shop:
        return int(shop.options(wait=True, deadline=PATIENCE).call("shop.pid"))


@KINDS
def test_a_service_keeps_its_identity_when_the_engine_comes_back(house: House, kind: str) -> None:
    shop = house.registered(kind, SHOP_IDENTITY="shop-1")
    assert house.peers()[shop.pid]["identity"] == "shop-1"
    house.engine.kill()
    house.start()
    assert answering() == shop.pid
    assert house.peers()[shop.pid]["identity"] == "shop-1"


def test_a_service_that_is_started_anew_has_its_identity_again(house: House) -> None:
    first = house.registered("plain", PROCALL_IDENTITY="machine-7")
    assert house.peers()[first.pid]["identity"] == "machine-7/shop"
    first.kill()
    second = house.registered("plain", PROCALL_IDENTITY="machine-7")
    assert house.peers()[second.pid]["identity"] == "machine-7/shop"
    assert answering() == second.pid


def test_nobody_takes_the_identity_of_one_that_is_there(house: House) -> None:
    first = house.registered("plain", SHOP_IDENTITY="shop-1")
    second = house.registered("plain", SHOP_IDENTITY="shop-1")
    peers = house.peers()
    assert peers[first.pid]["identity"] == "shop-1"
    assert peers[second.pid]["identity"] is None


def test_an_identity_counts_only_where_the_kernel_says_whose_it_is(house: House) -> None:
    first = house.registered("plain", SHOP_IDENTITY="shop-1")
    first.kill()
    house.registered("plain", SHOP_IDENTITY="shop-1", PROCALL_ENGINE=house.address)
    assert [peer["identity"] for peer in house.peers().values()] == [None]


def test_what_cannot_be_an_identity_is_refused(house: House) -> None:
    for identity in ("two\nlines", "x" * 256):
        service = procall.Service("shop")
        with pytest.raises(procall.InvalidArgument, match="cannot be an identity"):
            service.run(identity=identity)
