"""Many calls at a time, results in order."""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, Protocol, TypeVar

    class Cancellable(Protocol):
        def cancel(self) -> object: ...

    Item = TypeVar("Item")
    Begun = TypeVar("Begun", bound=Cancellable)
    Result = TypeVar("Result")

AHEAD = 64
"""Calls of one ``map`` that are under way at once; more would only wait in the pool's queue."""


def ahead(
    items: Iterable[Item],
    start: Callable[[Item], Begun],
    finish: Callable[[Begun], Result],
    count: int,
) -> Iterator[Result]:
    """Starts up to ``count`` of them before the first is finished. What is left is cancelled when
    one fails, and when nobody wants more.
    """
    begun: deque[Begun] = deque()
    try:
        for item in items:
            begun.append(start(item))
            if len(begun) >= count:
                yield finish(begun.popleft())
        while begun:
            yield finish(begun.popleft())
    finally:
        for left in begun:
            left.cancel()


def check_count(count: int) -> int:
    """How many calls may be under way at once."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        from procall._errors import InvalidArgument

        raise InvalidArgument(f"ahead is {count!r}: give a whole number from 1")
    return count


def check_args(args: Sequence[Any]) -> Sequence[Any]:
    """The arguments of one call: a tuple or a list, and not a text, whose letters they would be."""
    if isinstance(args, (tuple, list)):
        return args
    from procall._errors import InvalidArgument

    raise InvalidArgument(
        f"{args!r} is no tuple of arguments: for a method with one argument give ({args!r},)"
    )


def name_of(method: Callable[..., Any] | str) -> str:
    """The name of a method that is given as itself, or as a function of the same name."""
    if isinstance(method, str):
        return method
    name = getattr(method, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise TypeError(
            f"{method!r} names no method: give a name such as 'calc.add', a method such as "
            "pool.calc.add, or a function whose name is that of the method"
        )
    return name
