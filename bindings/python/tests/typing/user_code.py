"""Callers as users write them, for type checkers: `make check` runs mypy and pyright on it, and
nothing runs it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import Executor, Future
from typing import Any, Literal, Protocol, Unpack, assert_type

import procall


class Calc(Protocol):
    def add(self, a: int, b: int) -> int: ...
    def count(self, n: int) -> Iterator[int]: ...


class CalcSoon(Protocol):
    async def add(self, a: int, b: int) -> int: ...
    def count(self, n: int) -> AsyncIterator[int]: ...


class Services(Protocol):
    """What a pool serves: its attributes are services."""

    @property
    def calc(self) -> Calc: ...


def add(a: int, b: int) -> int:
    return a + b


async def later(text: str) -> bytes:
    return text.encode()


def blocking() -> None:
    with procall.connect("calc", timeout=None) as calc:
        assert_type(calc, procall.Client)
        assert_type(calc.options(deadline=None), procall.Client)
        assert_type(calc.batch([("add", (1, 2))]), list[procall.Outcome])
        assert_type(calc.methods(), list[procall.MethodInfo])
        for method in calc.methods():
            assert_type(method.shape, Literal["unary", "items_out", "items_in", "duplex"])
        typed = calc.as_(Calc)
        assert_type(typed, Calc)
        assert_type(typed.add(1, 2), int)
        assert_type(typed.count(3), Iterator[int])
        assert_type(list(typed.count(3)), list[int])
        typed.add("1", 2)  # type: ignore[arg-type]
        typed.nothing()  # type: ignore[attr-defined]
        calc.options(deadlin=1)  # type: ignore[call-arg]
        calc.options(on_timeout="kill")  # type: ignore[arg-type]
        with calc.stream("count", 3) as numbers:
            assert_type(numbers, procall.Stream)
            for number in numbers:
                print(number)
        both = calc.duplex("sum")
        assert_type(both.send(1), bool)
        both.finish()
        print(both.result())


def pools() -> None:
    with procall.Pool("calc.py", workers=(1, 8)) as pool:
        assert_type(pool, procall.Pool)
        assert_type(pool.options(key="a"), procall.Pool)
        assert_type(pool.submit("add", 1, 2), Future[Any])
        assert_type(pool.submit(add, 1, b=2), Future[int])
        assert_type(pool.submit(later, "x"), Future[bytes])
        assert_type(pool.submit(pool.calc.add, 1, 2), Future[Any])
        pool.submit(add, "1", 2)  # type: ignore[call-overload]
        assert_type(pool.map("add", [(1, 2)], progress=True), Iterator[Any])
        assert_type(pool.map(add, [(1, 2)], ahead=8), Iterator[int])
        assert_type(pool.map(later, [("x",)]), Iterator[bytes])
        executor = pool.executor("calc")
        assert_type(executor.submit("add", 1, 2), Future[Any])
        assert_type(executor.submit(add, 1, 2), Future[int])
        assert_type(executor.submit(later, "x"), Future[bytes])
        takes_executor(executor)
        assert_type(pool.as_(Services).calc.add(1, 2), int)
        for answer in pool.broadcast("reload"):
            assert_type(answer, procall.Answer)
            assert_type(answer.error, procall.Error | None)
        for worker in pool.workers():
            assert_type(worker.pid, int | None)
            assert_type(worker.state == "ready", bool)
            if worker.state == "raedy":  # type: ignore[comparison-overlap]
                print("no such state")
        for event in pool.events():
            if event.kind == "ready":
                print(event.text)
        assert_type(pool.stats().metrics.latency.p99, float)
        assert_type(pool.health().problems, tuple[str, ...])
        assert_type([line.text for line in pool.output(0)], list[str])
    procall.Pool("calc.py", workres=4)  # type: ignore[call-arg]
    procall.Pool("calc.py", dispatch="random")  # type: ignore[arg-type]


def takes_executor(executor: Executor) -> Future[int]:
    return executor.submit(add, 1, 2)


def start(**options: Unpack[procall.PoolOptions]) -> procall.Pool:
    return procall.Pool("calc.py", **options)


def errors(calc: procall.Client) -> None:
    try:
        calc.add(1, 2)
    except TimeoutError as late:
        assert_type(late, TimeoutError)
    except procall.WorkerLost as lost:
        assert_type(lost.executed, Literal["no", "maybe", "yes"])
    except procall.Error as error:
        assert_type(error.code, str)
        assert_type(error.retryable, bool)
        assert_type(error.retry_after, float | None)
        assert_type(error.worker, str | None)
        assert_type([field.path for field in error.fields], list[str])


async def soon() -> None:
    async with procall.aio.connect("calc") as calc:
        assert_type(calc, procall.aio.Client)
        assert_type(calc.options(deadline=1), procall.aio.Client)
        typed = calc.as_(CalcSoon)
        assert_type(await typed.add(1, 2), int)
        async for number in typed.count(3):
            assert_type(number, int)
        assert_type(await calc.batch([("add", (1, 2))]), list[procall.Outcome])
        assert_type(await calc.methods(), list[procall.MethodInfo])
        async with calc.stream("count", 3) as numbers:
            assert_type(numbers, procall.aio.Stream)
            async for each in numbers:
                print(each)
    assert_type(await procall.aio.connect("calc"), procall.aio.Client)
    async with procall.aio.Pool("calc.py") as pool:
        assert_type(pool, procall.aio.Pool)
        assert_type(pool.map("add", [(1, 2)]), AsyncGenerator[Any, None])
        assert_type(pool.map(add, [(1, 2)]), AsyncGenerator[int, None])
        assert_type(pool.map(later, pairs()), AsyncGenerator[bytes, None])
        async with asyncio.timeout(1):
            await asyncio.gather(pool.call("add", 1, 2), pool.add(3, 4))
        async for event in pool.events():
            assert_type(event, procall.Event)
    assert_type(await procall.aio.Pool("calc.py", workers=1), procall.aio.Pool)


async def pairs() -> AsyncIterator[tuple[str]]:
    yield ("x",)
