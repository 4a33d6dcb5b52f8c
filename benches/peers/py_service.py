"""A Python service for the bench; argv: socket path."""

import sys

import procall

calc = procall.Service("calc")


@calc.method
def add(a: int, b: int) -> int:
    return a + b


calc.run(listen=f"unix:{sys.argv[1]}")
