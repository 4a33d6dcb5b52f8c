"""A service for an engine: ``shop.py KIND [VERSION [NAME]]``, its handlers plain or async."""

import asyncio
import dataclasses
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator

import procall

kind, version, name, *_ = [*sys.argv[1:], "", ""]
shop = procall.Service("shop", version=version)
sold = itertools.count(1)


@dataclasses.dataclass
class SoldOut(Exception):
    item: str
    wanted: int


if kind == "plain":

    @shop.method
    def add(a: int, b: int) -> int:
        return a + b

    @shop.method
    def pid() -> int:
        return os.getpid()

    @shop.method
    def serial(_of: int = 0) -> int:
        return next(sold)

    @shop.method
    def which() -> str:
        return version

    @shop.method
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    @shop.method
    def total(items: Iterator[int]) -> int:
        return sum(items)

    @shop.method(raises=[SoldOut])
    def order(item: str, wanted: int) -> None:
        raise SoldOut(item, wanted)

    @shop.method
    def hang() -> None:
        print("hanging", flush=True)
        while True:
            time.sleep(60)

    @shop.method
    def brief() -> str:
        print("brief", flush=True)
        sys.stdin.readline()
        return "finished"

else:

    @shop.method(name="add")
    async def add_soon(a: int, b: int) -> int:
        return a + b

    @shop.method(name="pid")
    async def pid_soon() -> int:
        return os.getpid()

    @shop.method(name="which")
    async def which_soon() -> str:
        return version

    @shop.method(name="count")
    async def count_soon(n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    @shop.method(name="total")
    async def total_soon(items: AsyncIterator[int]) -> int:
        return sum([item async for item in items])

    @shop.method(name="order", raises=[SoldOut])
    async def order_soon(item: str, wanted: int) -> None:
        raise SoldOut(item, wanted)

    @shop.method(name="hang")
    async def hang_soon() -> None:
        print("hanging", flush=True)
        await asyncio.Event().wait()

    @shop.method(name="brief")
    async def brief_soon() -> str:
        print("brief", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        return "finished"


if __name__ == "__main__":
    shop.run(name=name or None, identity=os.environ.get("SHOP_IDENTITY"))
    print("done", flush=True)
