"""The Python worker: a generator is a stream, and a parameter of the type Iterator takes one."""

from collections.abc import Iterator

import procall

streams = procall.Service("streams")
left_early = 0


@streams.method
def count(n: int) -> Iterator[int]:
    yield from range(n)


@streams.method
def total(items: Iterator[int]) -> int:
    return sum(items)


@streams.method
def double(items: Iterator[int]) -> Iterator[int]:
    for item in items:
        yield 2 * item


@streams.method
def endless() -> Iterator[int]:
    global left_early
    n = 0
    try:
        while True:
            yield n
            n += 1
    finally:  # the reader has left
        left_early += 1


@streams.method
def left() -> int:
    return left_early


if __name__ == "__main__":
    streams.run()
