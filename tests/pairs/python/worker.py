"""The Python worker."""

import asyncio
import os
import sys
from collections.abc import Iterator

import procall

pairs = procall.Service("pairs")
seen = 0


class Failure(Exception):
    pass


@pairs.method
def add(a: int, b: int) -> int:
    return a + b


@pairs.method
def echo(value):
    return value


@pairs.method
def nothing() -> None:
    pass


@pairs.method
def greet(name: str, greeting: str = "hello") -> str:
    return f"{greeting} {name}"


@pairs.method
def too_large():
    return 2**64


@pairs.method
def launched() -> dict[str, object]:
    """How this process was started."""
    env = {name: value for name, value in os.environ.items() if name.startswith("PAIRS_")}
    return {
        "language": "python",
        "program": sys.executable,
        "args": sys.argv[1:],
        "cwd": os.getcwd(),
        "env": env,
    }


@pairs.method
def mirror(items: Iterator):
    yield from items


@pairs.method
def fail(message: str) -> None:
    raise Failure(message)


@pairs.method
def count(n: int):
    yield from range(n)


@pairs.method
def endless():
    global seen
    n = 0
    try:
        while True:
            yield n
            n += 1
    finally:
        seen += 1


@pairs.method
def total(items: Iterator[int]) -> int:
    return sum(items)


@pairs.method
async def sleep(ms: int) -> int:
    global seen
    try:
        await asyncio.sleep(ms / 1000)
    except asyncio.CancelledError:
        seen += 1
        raise
    return ms


@pairs.method
def cancels() -> int:
    return seen


@pairs.method
def die(code: int) -> None:
    os._exit(code)


if __name__ == "__main__":
    pairs.run()
