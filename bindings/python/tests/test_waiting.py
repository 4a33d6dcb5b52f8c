"""More calls than a connection carries: they wait for their turn."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Iterator

import procall
import pytest
from conftest import Serve, Served

# What a connection carries.
MOST = 1024
PATIENCE = 60


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve("loop.py")


@pytest.fixture
def plain(serve: Serve) -> Iterator[procall.Client]:
    with procall.connect(serve("plain.py").address) as client:
        yield client


def wait_for_begun(served: Served, count: int = MOST) -> list[str]:
    """The lines in which the handlers say that they have begun."""
    return [served.line() for _ in range(count)]


async def test_ten_thousand_at_once(serve: Serve) -> None:
    for script in ("plain.py", "loop.py"):
        async with procall.aio.connect(serve(script).address) as calc:
            sums = await asyncio.gather(*(calc.add(n, 1) for n in range(10_000)))
            assert sums == list(range(1, 10_001))
            assert calc.metrics().success_rate == 1


def test_ten_thousand_futures(plain: procall.Client) -> None:
    futures = [plain.submit("add", n, 1) for n in range(10_000)]
    assert [future.result(PATIENCE) for future in futures] == list(range(1, 10_001))


def test_a_batch_of_ten_thousand(plain: procall.Client) -> None:
    outcomes = plain.batch([("add", (n, 1)) for n in range(10_000)])
    assert [outcome.result() for outcome in outcomes] == list(range(1, 10_001))


def test_calls_of_threads(served: Served) -> None:
    with procall.connect(served.address) as calc:
        held = [calc.submit("slow", str(n)) for n in range(MOST)]
        wait_for_begun(served)
        with concurrent.futures.ThreadPoolExecutor(16) as threads:
            sums = [threads.submit(calc.add, n, 1) for n in range(200)]
            # They wait until something ends; then they go, one after the other.
            assert not sums[0].done()
            held[0].cancel()
            assert [future.result(PATIENCE) for future in sums] == list(range(1, 201))


async def test_a_deadline_in_the_line(served: Served) -> None:
    async with procall.aio.connect(served.address) as calc:
        held = [asyncio.ensure_future(calc.slow(str(n))) for n in range(MOST)]
        await asyncio.to_thread(wait_for_begun, served)
        with pytest.raises(procall.DeadlineExceeded, match="waited for its turn") as late:
            await calc.options(deadline=0.02).slow("late")
        assert late.value.executed == "no"
        held[0].cancel()
        assert "began late" not in await calc.what_happened()


async def test_a_cancel_in_the_line(served: Served) -> None:
    async with procall.aio.connect(served.address) as calc:
        held = [asyncio.ensure_future(calc.slow(str(n))) for n in range(MOST)]
        await asyncio.to_thread(wait_for_begun, served)
        waiting = asyncio.ensure_future(calc.slow("given up"))
        while calc.metrics().queue_depth != 1:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert calc.metrics().queue_depth == 0
        held[0].cancel()
        assert "began given up" not in await calc.what_happened()


def test_a_future_is_cancelled_in_the_line(served: Served) -> None:
    with procall.connect(served.address) as calc:
        held = [calc.submit("slow", str(n)) for n in range(MOST)]
        wait_for_begun(served)
        waiting = calc.submit("slow", "given up")
        assert calc.metrics().queue_depth == 1
        assert waiting.cancel()
        held[0].cancel()
        assert "began given up" not in calc.what_happened()


async def test_the_end_of_the_connection_ends_those_who_wait(served: Served) -> None:
    async with procall.aio.connect(served.address) as calc:
        held = [asyncio.ensure_future(calc.slow(str(n))) for n in range(MOST)]
        await asyncio.to_thread(wait_for_begun, served)
        waiting = [asyncio.ensure_future(calc.slow("waits")) for _ in range(100)]
        while calc.metrics().queue_depth != 100:
            await asyncio.sleep(0)
        served.signal(9)
        outcomes = await asyncio.gather(*held, *waiting, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {procall.ConnectionLost}
        assert {outcome.executed for outcome in outcomes[MOST:]} == {"no"}


def test_a_closed_client_ends_the_threads_that_wait(served: Served) -> None:
    calc = procall.connect(served.address)
    held = [calc.submit("slow", str(n)) for n in range(MOST)]
    wait_for_begun(served)
    errors: list[procall.Error] = []

    def waits() -> None:
        with pytest.raises(procall.Closed) as caught:
            calc.add(1, 2)
        errors.append(caught.value)

    threads = [threading.Thread(target=waits) for _ in range(8)]
    for thread in threads:
        thread.start()
    while calc.metrics().queue_depth != len(threads):
        pass
    calc.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert [error.executed for error in errors] == ["no"] * len(threads)
    assert isinstance(held[0].exception(PATIENCE), procall.Closed)
