"""Progress of a handler, reported the way loops report it elsewhere."""

from __future__ import annotations

from typing import Generic, TypeVar

from procall import _progress
from procall._native import reporter
from procall._public import public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Any, Self

T = TypeVar("T")


@public
class tqdm(Generic[T]):
    """Reports to the caller how far a handler's loop has come; elsewhere it only iterates.

    In a handler it may stand where ``tqdm.tqdm`` would: what the caller sees is up to the caller,
    as in ``pool.options(progress=True)``. Options of tqdm that say how a bar is drawn are accepted
    and have no effect. At most ten reports a second travel.

    ::

        def squares(n: int) -> list[int]:
            return [i * i for i in procall.tqdm(range(n), desc="squaring")]

        squares(3)  # [0, 1, 4]

    Or step by step::

        with procall.tqdm(total=300, desc="training") as bar:
            for epoch in range(3):
                bar.set_description(f"epoch {epoch}")
                bar.update(100)
                bar.set_postfix(loss=0.25)  # or bar.set_postfix_str("loss=0.25")
            bar.reset(total=10)
            bar.refresh()
        bar.close()  # the end of `with` does it too
    """

    def __init__(
        self,
        iterable: Iterable[T] | None = None,
        desc: str | None = None,
        total: float | None = None,
        *,
        initial: float = 0,
        **drawing: Any,
    ) -> None:
        self.iterable = iterable
        self.desc: str = desc or ""
        """What is being done."""
        self.total: float | None = total if total is not None else _progress.total_of(iterable)
        """How many steps there are, where that is known."""
        self.n: float = initial
        """How many of them are done."""
        self._postfix = ""
        # The call is that of whoever makes it, whichever thread goes on with it.
        self._reporter = reporter()

    def __iter__(self) -> Iterator[T]:
        if self.iterable is None:
            raise TypeError("there is nothing to iterate over: give an iterable, or use update()")
        self.refresh()
        for item in self.iterable:
            yield item
            self.update()

    def __len__(self) -> int:
        if self.total is None:
            raise TypeError("its length is not known: give total")
        return int(self.total)

    def update(self, n: float = 1) -> None:
        """So many steps more are done."""
        self.n += n
        self.refresh()

    def refresh(self, *_: object, **__: object) -> None:
        """Reports where it stands."""
        if self._reporter is not None:
            text = ", ".join(part for part in (self.desc, self._postfix) if part)
            total = None if self.total is None else max(int(self.total), 0)
            self._reporter.progress(max(int(self.n), 0), total, text)

    def reset(self, total: float | None = None) -> None:
        """Begins anew."""
        self.n = 0
        if total is not None:
            self.total = total
        self.refresh()

    def set_description(self, desc: str | None = None, refresh: bool = True) -> None:
        """Says what is being done."""
        self.desc = desc or ""
        if refresh:
            self.refresh()

    def set_postfix(self, ordered_dict: Any = None, refresh: bool = True, **values: Any) -> None:
        """Says how it is going, as in ``set_postfix(loss=0.25)``."""
        shown = {**(ordered_dict or {}), **values}
        parts = (
            f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in shown.items()
        )
        self.set_postfix_str(", ".join(parts), refresh)

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """The same in words."""
        self._postfix = s
        if refresh:
            self.refresh()

    def close(self) -> None:
        """Nothing more will be reported."""
        self._reporter = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
