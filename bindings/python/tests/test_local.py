"""Clients for a service in the same process."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator

import procall
import pytest

calc = procall.Service("calc")
closed = threading.Event()


@calc.method
def add(a: int, b: int = 1) -> int:
    return a + b


@calc.method
def total(items: Iterator[int]) -> int:
    return sum(items)


@calc.method
def count(n: int) -> Iterator[int]:
    yield from range(n)


@calc.method
def endless() -> Iterator[int]:
    closed.clear()
    at = 0
    try:
        while True:
            yield at
            at += 1
    finally:
        closed.set()


@calc.method
async def double(items: AsyncIterator[int]) -> AsyncIterator[int]:
    async for item in items:
        yield 2 * item


@calc.method
def leave() -> None:
    raise SystemExit(3)


@calc.method
def facts(ctx: procall.Context) -> list[object]:
    ctx.progress(1, 2, "half")
    return [ctx.meta, ctx.caller.pid, ctx.caller.runtime, ctx.remaining is not None]


def threads() -> int:
    """Threads of services; the one that completes futures stays once there was a future."""
    names = [thread.name for thread in threading.enumerate()]
    return sum(name.startswith("procall") and name != "procall-futures" for name in names)


def test_it_is_like_any_other_client() -> None:
    with calc.client() as client:
        assert client.add(1, b=2) == 3
        assert list(client.count(3)) == [0, 1, 2]
        with pytest.raises(procall.InvalidArgument, match="argument a must be int, not str"):
            client.add("x")
        with pytest.raises(procall.NotFound):
            client.ad(1)
        with client.duplex("total") as stream:
            for item in (1, 2, 3):
                stream.send(item)
            assert stream.result() == 6
        with client.duplex("double") as stream:
            stream.send(4)
            stream.finish()
            assert list(stream) == [8]
        names = [method.name for method in client.methods()]
        assert names[:2] == ["calc.add", "calc.total"]
    with pytest.raises(procall.Closed):
        client.add(1)
    assert threads() == 0


async def test_asyncio() -> None:
    async with calc.aio_client() as client:
        assert await client.add(1, b=2) == 3
        assert [item async for item in client.count(3)] == [0, 1, 2]
        with pytest.raises(procall.InvalidArgument):
            await client.add("x")
    client = await calc.aio_client()
    assert await client.add(1) == 2
    await client.close()
    assert threads() == 0


def test_all_async() -> None:
    service = procall.Service("s")

    @service.method
    async def add(a: int, b: int) -> int:
        return a + b

    with service.client() as client:
        assert client.add(1, 2) == 3


def test_several_at_once() -> None:
    with calc.client() as one, calc.client() as two:
        assert one.add(1) == two.add(1) == 2


def test_a_handler_that_exits_ends_only_its_client() -> None:
    with calc.client() as client, pytest.raises(procall.HandlerError, match="SystemExit"):
        client.leave()
    with calc.client() as client:
        assert client.add(1) == 2


def test_a_stream_that_is_left_closes_its_generator() -> None:
    with calc.client() as client:
        with client.endless() as items:
            assert next(items) == 0
        assert closed.wait(10)


def test_the_context_is_there() -> None:
    import os

    seen: list[object] = []
    with calc.client() as client:
        other = client.options(meta={"user": 7}, progress=lambda *each: seen.append(each))
        meta, pid, runtime, limited = other.facts()
        assert (meta, pid, limited) == ({"user": 7}, os.getpid(), True)
        assert runtime == f"python/{procall.__version__}"
    assert seen == [(1, 2, "half")]


def test_lines_say_which_call_they_are_about(capfd: pytest.CaptureFixture[str]) -> None:
    service = procall.Service("s")

    @service.method
    def work(ctx: procall.Context) -> None:
        ctx.log("one\ntwo")

    with service.client() as client:
        client.work()
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition("] ")[2] for line in lines] == ["one", "two"]
    assert all(line.startswith("[s.work #") for line in lines)


def test_a_service_that_cannot_be_described_says_so() -> None:
    service = procall.Service("s")

    @service.method
    def late(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match=r"s\.late: parameter a has the hint 'Nowhere'"):
        service.client()
    with pytest.raises(TypeError, match="Nowhere"):
        service.document()
