"""A service of plain handlers, for the tests."""

import dataclasses
import enum
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, Literal, TypedDict

import procall

calc = procall.Service("calc", version="1.2", description="Sums and more")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Named(TypedDict):
    name: str


@calc.method(idempotent=True)
def add(a: int, b: int = 5) -> int:
    """Adds two numbers.

    And says no more.
    """
    return a + b


@calc.method
def echo(value: Any) -> Any:
    return value


@calc.method
def kinds(
    whole: int,
    real: float,
    text: str,
    flag: bool,
    data: bytes,
    items: list[int],
    *,
    extra: dict[str, int],
) -> list[str]:
    return [type(each).__name__ for each in (whole, real, text, flag, data, items, extra)]


@calc.method
def shaped(
    point: Point, colour: Colour, mode: Literal["a", "b"], maybe: int | None, named: Named
) -> Any:
    assert isinstance(point, Point)
    assert isinstance(colour, Colour)
    return [point, colour, mode, maybe, named]


@calc.method
def far(point: Point) -> int:
    return point.x + point.y


@calc.method
def everything(*args, **kwargs):
    return [list(args), kwargs]


@calc.method
def boom(text: str = "no"):
    raise ValueError(text)


@calc.method
def refuse():
    raise procall.PermissionDenied("not for you")


@calc.method
def pass_on(address: str):
    with procall.connect(address) as other:
        return other.nothing()


@calc.method
def unsendable():
    return {"ok": 1, "bad": [1, {2, 3}]}


@calc.method
def huge():
    return b"x" * ((256 << 20) + 1)


@calc.method
def count(n: int, size: int = 0):
    for i in range(n):
        yield b"x" * size if size else i


@calc.method
def count_then_fail(n: int):
    yield from range(n)
    raise ValueError("enough")


@calc.method
def bad_item():
    yield 1
    yield {1}


made = 0
closed = 0


@calc.method
def endless():
    global made, closed
    try:
        while True:
            made += 1
            yield made
    finally:
        closed += 1


@calc.method
def endless_state() -> list:
    return [made, closed]


@calc.method
def total(items: Iterator[int], scale: int = 1) -> int:
    return scale * sum(items)


@calc.method
def first(items: Iterator[int]) -> int:
    return next(items)


@calc.method
def double(items: Iterator[int]):
    for item in items:
        yield 2 * item


@calc.method
def remaining(ctx: procall.Context) -> float | None:
    return ctx.remaining


@calc.method
def remaining_while_open(ctx: procall.Context):
    yield ctx.remaining
    yield ctx.remaining


@calc.method
def nested_remaining(address: str) -> float | None:
    with procall.connect(address) as other:
        return other.remaining()


@calc.method
def context(a: int, ctx: procall.Context, b: int = 2) -> list:
    ctx.progress(1, 2, "half")
    ctx.progress(2, 2)
    return [a, b, ctx.method, ctx.cancelled, ctx.meta]


ran: list[str] = []


@calc.method
def until_cancelled(name: str, ctx: procall.Context) -> None:
    print(f"began {name}", flush=True)
    ran.append(name)
    while not ctx.cancelled:
        time.sleep(0.001)
    print(f"ended {name}", flush=True)


@calc.method
def which_ran() -> list[str]:
    return ran


@calc.method
def wait_for_file(path: str) -> bool:
    print("waiting", flush=True)
    while not os.path.exists(path):
        time.sleep(0.001)
    return True


@calc.method
def pid() -> int:
    return os.getpid()


@calc.method
def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@calc.method
def leave() -> None:
    sys.exit(3)


@calc.method
def caller(ctx: procall.Context) -> str:
    return ctx.caller.name


noted: list[Any] = []


@calc.method
def note(what: Any) -> None:
    noted.append(what)
    if what == "raise":
        raise ValueError("nobody hears this")


@calc.method
def notes() -> list[Any]:
    return noted


if __name__ == "__main__":
    calc.run()
    print("done", flush=True)
