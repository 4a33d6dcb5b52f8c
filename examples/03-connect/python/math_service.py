"""The Python service: run by hand, it listens under its name."""

import math

import procall

service = procall.Service("math-service")


@service.method(idempotent=True)
def add(a: int, b: int) -> int:
    return a + b


@service.method(idempotent=True)
def multiply(a: int, b: int) -> int:
    return a * b


@service.method(idempotent=True)
def factorial(n: int) -> int:
    return math.factorial(n)


if __name__ == "__main__":
    service.run()
