"""Calls that are made again, and those that are not."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import engines
import procall
import pytest
from pools import MORTAL


@pytest.fixture
def pool() -> Iterator[procall.Pool]:
    with procall.Pool(MORTAL, workers=1, backoff=0.001, show_output=False) as pool:
        yield pool


@pytest.fixture
def ledger(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "ledger"


def entries(ledger: pathlib.Path) -> int:
    return len(ledger.read_text().splitlines())


def test_a_call_that_may_have_run_is_not_executed_twice(
    pool: procall.Pool, ledger: pathlib.Path
) -> None:
    with pytest.raises(procall.WorkerLost) as caught:
        pool.charge(str(ledger))
    assert (caught.value.executed, caught.value.attempts, entries(ledger)) == ("maybe", 1, 1)
    assert pool.pid() > 0, "it is back"
    assert entries(ledger) == 1


def test_an_idempotent_call_is_made_again_and_ends_well(
    pool: procall.Pool, tmp_path: pathlib.Path
) -> None:
    assert pool.settle(str(tmp_path / "a")) == 2
    assert pool.options(idempotent=True).charge(str(tmp_path / "b")) == 2
    assert pool.submit("settle", str(tmp_path / "c")).result() == 2
    assert [entries(tmp_path / name) for name in "abc"] == [2, 2, 2]
    metrics = pool.metrics()
    assert (metrics.retries, metrics.failed_requests) == (3, 3)
    assert ", 3 retries" in str(metrics)


async def test_asyncio(tmp_path: pathlib.Path) -> None:
    async with procall.aio.Pool(MORTAL, workers=1, backoff=0.001, show_output=False) as pool:
        assert await pool.settle(str(tmp_path / "a")) == 2
        with pytest.raises(procall.WorkerLost):
            await pool.charge(str(tmp_path / "b"))
        assert entries(tmp_path / "b") == 1
        assert pool.metrics().retries == 1


def test_no_retries_is_one_attempt(pool: procall.Pool, ledger: pathlib.Path) -> None:
    with pytest.raises(procall.WorkerLost):
        pool.options(retries=0).settle(str(ledger))
    assert entries(ledger) == 1


def test_a_handler_says_when_and_whether(pool: procall.Pool, tmp_path: pathlib.Path) -> None:
    again = pool.options(idempotent=True)
    assert again.busy(str(tmp_path / "a"), 2) == 3
    with pytest.raises(procall.Overloaded) as caught:
        again.busy(str(tmp_path / "b"), 9)
    assert (caught.value.attempts, entries(tmp_path / "b")) == (3, 3)
    assert str(caught.value) == "OVERLOADED: not now (executed: yes, attempts: 3)"
    with pytest.raises(procall.Overloaded) as caught:
        again.busy(str(tmp_path / "c"), 9, True)
    assert (caught.value.no_retry, caught.value.attempts) == (True, 1)
    with pytest.raises(procall.Overloaded) as caught:
        again.busy(str(tmp_path / "d"), 9)
    assert caught.value.attempts == 1, "six failures have spent the budget of these calls"


def test_more_retries_are_more(pool: procall.Pool, ledger: pathlib.Path) -> None:
    assert pool.options(idempotent=True, retries=4).busy(str(ledger), 4) == 5


def test_wrong_options_are_told(pool: procall.Pool) -> None:
    with pytest.raises(procall.InvalidArgument, match="retries is -1: give a whole number from 0"):
        pool.options(retries=-1)
    with pytest.raises(procall.InvalidArgument, match="idempotency_key is 7: give a text"):
        pool.options(idempotency_key=7)  # type: ignore[arg-type]


def test_an_idempotency_key_executes_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("PROCALL_ENGINE", raising=False)
    monkeypatch.delenv("PROCALL_LISTEN", raising=False)
    with engines.house(tmp_path) as house:
        house.start()
        house.registered("plain")
        with procall.connect("shop") as shop:
            buys = shop.options(idempotency_key="order-7")
            assert buys.serial() == buys.serial()
            assert shop.serial() == shop.serial() - 1
            with pytest.raises(procall.InvalidArgument, match=r'"order-7" belongs to a call of'):
                buys.serial(1)
