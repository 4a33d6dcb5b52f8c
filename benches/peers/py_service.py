"""A Python service for the bench; argv: socket path."""

import sys
import time

import procall
from load import PAGE
from load import touch as touched

calc = procall.Service("calc")


@calc.method
def add(a: int, b: int) -> int:
    return a + b


@calc.method
def touch(content: bytes) -> int:
    return touched(content)


@calc.method
def look(numbers) -> float:
    """The same with an array of float32."""
    return sum(numbers[:: PAGE // 4])


@calc.method
def count(n: int):
    yield from range(n)


@calc.method
def cpu() -> float:
    return time.process_time()


calc.run(listen=f"unix:{sys.argv[1]}")
