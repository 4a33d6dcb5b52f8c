"""A service that is found by name: ``named.py NAME KIND``, its handlers plain, async or both."""

import asyncio
import os
import sys
import time

import procall

_, name, kind = sys.argv
service = procall.Service(name)


def add(a: int, b: int) -> int:
    return a + b


def hang() -> None:
    print("hanging", flush=True)
    while True:
        time.sleep(60)


def leave() -> None:
    sys.exit(3)


def seek(target: str) -> None:
    try:
        procall.connect(target, timeout=600)
    except procall.NoWorker as error:
        print(type(error).__name__, flush=True)


async def add_soon(a: int, b: int) -> int:
    return a + b


async def hang_soon() -> None:
    print("hanging", flush=True)
    await asyncio.Event().wait()


async def seek_soon(target: str) -> None:
    try:
        await procall.aio.connect(target, timeout=600)
    except procall.NoWorker as error:
        print(type(error).__name__, flush=True)


if kind in ("plain", "mixed"):
    for handler in (add, hang, leave, seek):
        service.method(handler)
if kind in ("async", "mixed"):
    for soon in (add_soon, hang_soon, seek_soon):
        service.method(soon)

if __name__ == "__main__":
    service.run()
    print("done", os.getpid(), flush=True)
