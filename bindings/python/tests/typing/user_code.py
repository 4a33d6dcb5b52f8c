"""Code as users write it, for a type checker: `make check` runs mypy on it, nothing runs it."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Executor, Future
from typing import Any, Protocol, assert_type

import procall


class Calc(Protocol):
    def add(self, a: int, b: int) -> int: ...
    def count(self, n: int) -> Iterator[int]: ...


class CalcSoon(Protocol):
    async def add(self, a: int, b: int) -> int: ...


service = procall.Service("calc")


@service.method(idempotent=True)
def add(a: int, b: int) -> int:
    return a + b


def blocking() -> None:
    with procall.connect("calc") as calc:
        assert_type(calc, procall.Client)
        assert_type(calc.options(deadline=None), procall.Client)
        assert_type(calc.batch([("add", (1, 2))]), list[procall.Outcome])
        typed = calc.as_(Calc)
        assert_type(typed.add(1, 2), int)
        assert_type(typed.count(3), Iterator[int])
        typed.add("1", 2)  # type: ignore[arg-type]
        typed.nothing()  # type: ignore[attr-defined]
    with procall.Pool("calc.py", workers=(1, 8)) as pool:
        assert_type(pool.options(key="a"), procall.Pool)
        assert_type(pool.submit("add", 1, 2), Future[Any])
        assert_type(pool.submit(add, 1, b=2), Future[int])
        pool.submit(add, "1", 2)  # type: ignore[call-overload]
        assert_type(pool.map("add", [(1, 2)], progress=True), Iterator[Any])
        assert_type(pool.map(add, [(1, 2)], ahead=8), Iterator[int])
        executor: Executor = pool.executor("calc")
        executor.submit(add, 1, 2)
        assert_type(pool.as_(Calc).add(1, 2), int)
        for answer in pool.broadcast("reload"):
            assert_type(answer, procall.Answer)
    procall.Pool("calc.py", workres=4)  # type: ignore[call-arg]
    try:
        pool.add(1, 2)
    except TimeoutError as late:
        assert_type(late, TimeoutError)
    except procall.Error as error:
        assert_type(error.retry_after, float | None)
        assert_type(error.worker, str | None)


async def soon() -> None:
    async with procall.aio.connect("calc") as calc:
        assert_type(calc, procall.aio.Client)
        assert_type(await calc.as_(CalcSoon).add(1, 2), int)
        assert_type(await calc.batch([("add", (1, 2))]), list[procall.Outcome])
    async with procall.aio.Pool("calc.py") as pool:
        assert_type(pool, procall.aio.Pool)
        results = pool.map("add", [(1, 2)])
        assert_type(results, AsyncGenerator[Any, None])
        async with asyncio.timeout(1):
            await asyncio.gather(pool.call("add", 1, 2), pool.add(3, 4))
