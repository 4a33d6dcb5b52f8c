"""A service that looks at arrays, for tests."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import procall

lent = procall.Service("lent")
kept: list[Any] = []


@lent.method
def total(array: Any) -> float:
    return float(array.sum())


@lent.method
def facts(array: Any) -> list[Any]:
    return [str(array.dtype), list(array.shape), bool(array.flags.writeable)]


@lent.method
def mirror(array: Any) -> Any:
    return array


@lent.method
def keep(array: Any) -> int:
    kept.append(array)
    return os.getpid()


@lent.method
def totals() -> list[float]:
    return [float(array.sum()) for array in kept]


@lent.method
def forget() -> None:
    kept.clear()


@lent.method
def series(count: int, size: int) -> Iterator[Any]:
    for number in range(count):
        yield np.full(size, number, "float32")


@lent.method
def sums(items: Iterator[Any]) -> Iterator[float]:
    for item in items:
        yield float(item.sum())


@lent.method
async def awaited(array: Any) -> Any:
    return array + 1


lent.run()
