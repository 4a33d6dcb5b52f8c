"""A service of async handlers, for the tests. With the argument `mixed` it has a plain one too."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import procall

calc = procall.Service("calc")
seen: list[str] = []


@calc.method
async def add(a: int, b: int = 5) -> int:
    return a + b


@calc.method
async def echo(value: Any) -> Any:
    return value


@calc.method
async def slow(name: str) -> None:
    seen.append(f"began {name}")
    print(f"began {name}", flush=True)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        seen.append(f"cancelled {name}")
        print(f"cancelled {name}", flush=True)
        raise


@calc.method
async def what_happened() -> list[str]:
    return seen


@calc.method
async def count(n: int, size: int = 0):
    for i in range(n):
        yield b"x" * size if size else i


@calc.method
async def endless():
    seen.append("endless began")
    try:
        i = 0
        while True:
            yield i
            i += 1
    finally:
        seen.append("endless closed")
        print("closed", flush=True)


@calc.method
async def count_then_fail(n: int):
    for i in range(n):
        yield i
    raise ValueError("enough")


@calc.method
async def total(items: AsyncIterator[int], scale: int = 1) -> int:
    result = 0
    async for item in items:
        result += item
    return scale * result


@calc.method
async def double(items: AsyncIterator[int]):
    async for item in items:
        yield 2 * item


@calc.method
async def boom() -> None:
    raise ValueError("no")


@calc.method
async def unsendable() -> Any:
    return {1, 2}


@calc.method
async def remaining(ctx: procall.Context) -> float | None:
    return ctx.remaining


@calc.method
async def remaining_while_open(ctx: procall.Context):
    yield ctx.remaining
    yield ctx.remaining


@calc.method
async def nested_remaining(address: str) -> float | None:
    async with procall.aio.connect(address) as other:
        return await other.remaining()


@calc.method
async def on_thread() -> str:
    return threading.current_thread().name


@calc.method
async def hold_the_loop(fifo: str) -> str:
    with open(fifo) as said:  # noqa: ASYNC230 - it is to stop the loop
        return said.read()


if "mixed" in sys.argv:

    @calc.method
    def plain_thread() -> str:
        return threading.current_thread().name

    @calc.method
    def plain_boom() -> None:
        raise ValueError("plain")


if __name__ == "__main__":
    calc.run()
    print("done", flush=True)
