"""Services as users write them, for type checkers: `make check` runs mypy and pyright on it, and
nothing runs it.
"""

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, Protocol, assert_type

import procall

calc = procall.Service("calc", threads=2)


@procall.register_error
class NotPositive(Exception):
    value: int


@procall.register_error(name="Unlucky")
class UnluckyNumber(Exception): ...


@calc.method(idempotent=True, raises=[NotPositive, UnluckyNumber])
def add(a: int, b: int = 0) -> int:
    return a + b


@calc.method
def count(n: int) -> Iterator[int]:
    yield from range(n)


@calc.method
async def later(ctx: procall.Context, text: str) -> bytes:
    assert_type(ctx.remaining, float | None)
    assert_type(ctx.caller, procall.Peer)
    ctx.progress(1, 2, "half")
    return text.encode()


@calc.method
def total(numbers: Iterator[int]) -> int:
    return sum(numbers)


class Store(procall.Service):
    def __init__(self) -> None:
        super().__init__("store")
        self.entries: dict[str, int] = {}

    @procall.method(idempotent=True)
    def get(self, key: str) -> int | None:
        return self.entries.get(key)

    @procall.method
    def put(self, key: str, value: int) -> None:
        self.entries[key] = value

    def keys(self) -> Iterator[str]:
        yield from self.entries


def functions_stay_what_they_are() -> None:
    assert_type(add(1), int)
    assert_type(add(a=1, b=2), int)
    assert_type(count(3), Iterator[int])
    add("1")  # type: ignore[arg-type]
    add(1, c=2)  # type: ignore[call-arg]
    store = Store()
    assert_type(store.get("a"), int | None)
    store.put("a")  # type: ignore[call-arg]
    assert_type(NotPositive().value, int)
    # A misspelt option.
    calc.method(idempotnt=True)  # type: ignore[call-overload]
    calc.method(raises=[int])  # type: ignore[list-item]


def async_functions_too(ctx: procall.Context) -> Coroutine[Any, Any, bytes]:
    return later(ctx, "x")


class Calc(Protocol):
    def add(self, a: int, b: int = 0) -> int: ...


class CalcSoon(Protocol):
    async def add(self, a: int, b: int = 0) -> int: ...
    def count(self, n: int) -> AsyncIterator[int]: ...


def own_clients() -> None:
    with calc.client() as client:
        assert_type(client, procall.Client)
        assert_type(client.as_(Calc).add(1, 2), int)
    with Store().client() as client:
        assert_type(client.as_(Store).get("a"), int | None)


async def own_clients_soon() -> None:
    async with calc.aio_client() as client:
        assert_type(client, procall.aio.Client)
        assert_type(await client.as_(CalcSoon).add(1), int)


if __name__ == "__main__":
    calc.run(listen="tcp:127.0.0.1:0")
