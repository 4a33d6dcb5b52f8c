"""A worker that uses as little as it can."""

import sys

import procall

light = procall.Service("light")


@light.method
def add(a: int, b: int) -> int:
    return a + b


@light.method
def modules() -> list[str]:
    return list(sys.modules)


light.run()
