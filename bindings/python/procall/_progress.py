"""How far a ``map`` has come, on standard error."""

from __future__ import annotations

import sys
from operator import length_hint
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol, TypeVar

    Result = TypeVar("Result")

    class Bar(Protocol):
        def update(self, n: int = 1, /) -> object: ...
        def close(self) -> object: ...


WIDTH = 30
INTERVAL = 0.1
"""Seconds between two drawings."""


def total_of(items: object) -> int | None:
    """How many there are, where they know it."""
    total = length_hint(items, -1)
    return total if total >= 0 else None


def bar(title: str, total: int | None) -> Bar:
    """That of tqdm when the program has imported tqdm, else a small one. Neither draws where
    standard error is no terminal.
    """
    for name in ("tqdm.auto", "tqdm"):
        if name in sys.modules:
            drawn: Bar = sys.modules[name].tqdm(desc=title, total=total, disable=None)
            return drawn
    return SmallBar(title, total)


def counted(results: Iterator[Result], make: Callable[[], Bar]) -> Iterator[Result]:
    """The same results, and a bar that moves with each, from when the first is asked for."""
    bar = make()
    try:
        for result in results:
            bar.update(1)
            yield result
    finally:
        close = getattr(results, "close", None)
        if close is not None:
            close()
        bar.close()


class SmallBar:
    """As in ``add:  40%|████████████                  | 40/100 [00:02, 19.8/s]``."""

    def __init__(self, title: str, total: int | None) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._begun = monotonic()
        self._drawn = self._begun
        # A program without standard error has None there.
        self._shown = sys.stderr is not None and sys.stderr.isatty()
        self._draw()

    def update(self, n: int = 1, /) -> None:
        self._done += n
        now = monotonic()
        if now - self._drawn >= INTERVAL:
            self._drawn = now
            self._draw()

    def close(self) -> None:
        self._draw()
        if self._shown:
            print(file=sys.stderr, flush=True)
            self._shown = False

    def _draw(self) -> None:
        if self._shown:
            print(f"\r{self.text(monotonic() - self._begun)}\x1b[K", end="", file=sys.stderr)
            sys.stderr.flush()

    def text(self, seconds: float) -> str:
        """The line after so many seconds."""
        time = f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"
        rate = f"{self._done / seconds:.1f}/s" if seconds > 0 and self._done else "?/s"
        if not self._total:
            return f"{self._title}: {self._done} [{time}, {rate}]"
        part = min(self._done / self._total, 1.0)
        filled = "█" * int(part * WIDTH)
        return (
            f"{self._title}: {int(100 * part):3}%|{filled:<{WIDTH}}| "
            f"{self._done}/{self._total} [{time}, {rate}]"
        )
