"""asyncio on either side, and every mixture."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator

import procall
import pytest
import pytest_asyncio
from conftest import Serve, Served

WHICH = ["plain.py", "loop.py", "loop.py mixed"]


@pytest.fixture(params=WHICH)
def any_service(request: pytest.FixtureRequest, serve: Serve) -> Served:
    return serve(*request.param.split())


@pytest_asyncio.fixture
async def calc(any_service: Served) -> AsyncIterator[procall.aio.Client]:
    async with procall.aio.connect(any_service.address) as client:
        yield client


@pytest.fixture(params=WHICH[1:])
def loop_service(request: pytest.FixtureRequest, serve: Serve) -> Served:
    return serve(*request.param.split())


async def test_calls(calc: procall.aio.Client) -> None:
    assert await calc.add(1, 2) == 3
    assert await calc.add(1, b=3) == 4
    assert await calc.call("calc.add", a=1) == 6
    assert "calc.add" in [method.name for method in await calc.methods()]


async def test_over_tcp(serve: Serve) -> None:
    served = serve("loop.py", tcp=True)
    async with procall.aio.connect(served.address) as calc:
        assert await calc.add(1, 2) == 3
        assert [item async for item in calc.count(500)] == list(range(500))


async def test_errors(calc: procall.aio.Client) -> None:
    with pytest.raises(procall.NotFound) as unknown:
        await calc.ad(1)
    assert unknown.value.candidates == ["calc.add"]
    with pytest.raises(procall.InvalidArgument, match="argument b must be int"):
        await calc.add(1, "x")
    with pytest.raises(procall.InvalidArgument, match="set"):
        await calc.add({1})
    with pytest.raises(procall.HandlerError) as raised:
        await calc.boom()
    assert raised.value.remote_type == "ValueError"
    assert "in boom" in (raised.value.remote_traceback or "")
    with pytest.raises(procall.InvalidResult, match="set"):
        await calc.unsendable()


async def test_await_without_entering(any_service: Served) -> None:
    calc = await procall.aio.connect(any_service.address)
    assert await calc.add(1, 2) == 3
    await calc.close()
    with pytest.raises(procall.Closed):
        await calc.add(1, 2)


async def test_a_thousand_at_once(calc: procall.aio.Client) -> None:
    results = await asyncio.gather(*(calc.add(i, i) for i in range(1000)))
    assert results == [2 * i for i in range(1000)]


async def test_calls_are_coroutines_for_asyncio(calc: procall.aio.Client) -> None:
    task = asyncio.create_task(calc.add(1, 2))
    async with asyncio.TaskGroup() as group:
        other = group.create_task(calc.call("add", 3, 4))
    assert (await task, other.result()) == (3, 7)
    assert await asyncio.wait_for(calc.add(5, 6), 5) == 11
    assert asyncio.iscoroutine(calc.add(1, 2))
    call = calc.add(1, 2)
    await call
    with pytest.raises(RuntimeError, match="awaited already"):
        await call
    assert await calc.echo((1, 2)) == [1, 2]
    assert await calc.echo(None) is None


async def test_streams(calc: procall.aio.Client) -> None:
    assert [item async for item in calc.count(1000)] == list(range(1000))
    assert [item async for item in calc.stream("count", 0)] == []
    assert sum([len(item) async for item in calc.count(20, size=300_000)]) == 6_000_000
    with pytest.raises(procall.HandlerError, match="enough"):
        assert [item async for item in calc.count_then_fail(3)] == [0, 1, 2]


async def test_streams_in(calc: procall.aio.Client) -> None:
    async with calc.total(scale=2) as stream:
        for i in range(1000):
            assert await stream.send(i)
        assert await stream.result() == 999_000


async def test_both_ways_at_once(calc: procall.aio.Client) -> None:
    async with calc.duplex("double") as stream:

        async def feed() -> None:
            for i in range(500):
                await stream.send(i)
            stream.finish()

        feeding = asyncio.create_task(feed())
        assert [item async for item in stream] == [2 * i for i in range(500)]
        await feeding


async def test_leaving_a_stream_early(loop_service: Served) -> None:
    async with procall.aio.connect(loop_service.address) as calc:
        async with calc.endless() as stream:
            async for item in stream:
                if item == 3:
                    break
        assert loop_service.line() == "closed"


async def test_a_slow_reader_holds_back_only_its_own_stream(calc: procall.aio.Client) -> None:
    async with calc.endless() as slow:
        first = await anext(slow)
        assert await calc.add(1, 2) == 3
        assert [item async for item in calc.count(500)] == list(range(500))
        assert [await anext(slow) for _ in range(500)] == list(range(first + 1, first + 501))


async def test_cancelling_the_task_cancels_the_call(loop_service: Served) -> None:
    async with procall.aio.connect(loop_service.address) as calc:
        task = asyncio.create_task(calc.slow("a"))
        await calc.add(1)
        assert loop_service.line() == "began a"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop_service.line() == "cancelled a"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await calc.slow("b")
        assert await calc.add(1, 2) == 3


async def test_deadline(loop_service: Served) -> None:
    async with procall.aio.connect(loop_service.address) as calc:
        with pytest.raises(procall.DeadlineExceeded) as caught:
            await calc.options(deadline=0.5).slow("a")
        # The caller waits a little for the other side's word, and gives up without it.
        assert caught.value.executed in ("yes", "maybe")
        assert (loop_service.line(), loop_service.line()) == ("began a", "cancelled a")
        assert await calc.options(deadline=None).remaining() is None


async def test_nested_calls_inherit_the_deadline(any_service: Served, serve: Serve) -> None:
    for other in (serve("plain.py"), serve("loop.py")):
        async with procall.aio.connect(any_service.address) as calc:
            left = await calc.options(deadline=2).nested_remaining(other.address)
            assert 0 < left <= 2
            assert 29 < await calc.nested_remaining(other.address) <= 30


async def test_the_default_deadline_of_a_stream_ends_when_it_is_open(any_service: Served) -> None:
    async with procall.aio.connect(any_service.address) as calc:
        first, second = [item async for item in calc.remaining_while_open()]
        assert 29 < first <= 30
        assert second is None
        whole = calc.options(deadline=5).remaining_while_open()
        assert all([0 < item <= 5 async for item in whole])


async def test_async_handlers_run_side_by_side(loop_service: Served) -> None:
    async with procall.aio.connect(loop_service.address) as calc:
        tasks = [asyncio.create_task(calc.slow(str(i))) for i in range(5)]
        assert {loop_service.line() for _ in range(5)} == {f"began {i}" for i in range(5)}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_where_handlers_run(serve: Serve) -> None:
    async with procall.aio.connect(serve("loop.py").address) as calc:
        assert await calc.on_thread() == "MainThread"
    async with procall.aio.connect(serve("loop.py", "mixed").address) as calc:
        assert await calc.on_thread() == "procall-loop"
        assert await calc.plain_thread() == "MainThread"
        with pytest.raises(procall.HandlerError, match="plain"):
            await calc.plain_boom()


async def test_a_client_that_vanishes_cancels_its_calls(loop_service: Served) -> None:
    calc = await procall.aio.connect(loop_service.address)
    task = asyncio.create_task(calc.slow("a"))
    await calc.add(1)
    assert loop_service.line() == "began a"
    await calc.close()
    with pytest.raises(procall.Closed):
        await task
    assert loop_service.line() == "cancelled a"


async def test_a_service_that_is_killed(any_service: Served) -> None:
    async with procall.aio.connect(any_service.address) as calc:
        stream = calc.endless()
        await anext(stream)
        any_service.process.kill()
        with pytest.raises(procall.ConnectionLost):
            async for _ in stream:
                pass
        with pytest.raises(procall.ConnectionLost):
            await calc.add(1, 2)


async def test_connecting_to_nobody(tmp_path) -> None:
    with pytest.raises(procall.NoWorker, match="nothing listens"):
        await procall.aio.connect(f"unix:{tmp_path}/none.sock", timeout=0)


def test_one_client_for_each_loop(plain: Served) -> None:
    async def once() -> int:
        async with procall.aio.connect(plain.address) as calc:
            result: int = await calc.add(1, 2)
            return result

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [asyncio.run(once()) for _ in range(5)] == [3] * 5


async def test_the_blocking_client_works_beside_a_loop(plain: Served) -> None:
    def blocking() -> int:
        with procall.connect(plain.address) as calc:
            return sum(calc.count(100))

    assert await asyncio.to_thread(blocking) == 4950
