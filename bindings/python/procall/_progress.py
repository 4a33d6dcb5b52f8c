"""How far a ``map`` or a call has come, on standard error."""

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
        n: int | float
        total: int | float | None

        def update(self, n: int = 1, /) -> object: ...
        def refresh(self) -> object: ...
        def set_postfix_str(self, s: str, refresh: bool) -> object: ...
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


class CallBar:
    """The bar of one call: it begins with the first report, and ends with the last reference."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: Bar | None = None

    def __call__(self, done: int, total: int | None, text: str) -> None:
        if self._bar is None:
            self._bar = bar(self._title, total)
        # A handler may begin to count anew.
        self._bar.total = total
        self._bar.n = done
        self._bar.set_postfix_str(text, False)
        self._bar.refresh()

    def __del__(self) -> None:
        if self._bar is not None:
            self._bar.close()


class SmallBar:
    """As in ``add:  40%|████████████                  | 40/100 [00:02<00:03, 19.8/s, shards]``.

    There is one line to draw on: while a bar has it, others draw nothing.
    """

    _drawing: SmallBar | None = None

    def __init__(self, title: str, total: int | None) -> None:
        self._title = title
        self._text = ""
        self._begun = monotonic()
        self._drawn = self._begun
        self.n: int | float = 0
        self.total: int | float | None = total
        # A program without standard error has None there.
        self._shown = SmallBar._drawing is None and sys.stderr is not None and sys.stderr.isatty()
        if self._shown:
            SmallBar._drawing = self
        self.refresh()

    def update(self, n: int = 1, /) -> None:
        self.n += n
        now = monotonic()
        if now - self._drawn >= INTERVAL:
            self._drawn = now
            self.refresh()

    def set_postfix_str(self, s: str, refresh: bool) -> None:
        # What others say must not act on the terminal, nor be longer than what can be taken away.
        self._text = "".join(c if c.isprintable() else " " for c in s)[:60]
        if refresh:
            self.refresh()

    def close(self) -> None:
        self.refresh()
        if self._shown:
            print(file=sys.stderr, flush=True)
            self._shown = False
            SmallBar._drawing = None

    def refresh(self) -> None:
        if self._shown:
            print(f"\r{self.text(monotonic() - self._begun)}\x1b[K", end="", file=sys.stderr)
            sys.stderr.flush()

    def text(self, seconds: float) -> str:
        """The line after so many seconds."""
        rate = self.n / seconds if seconds > 0 else 0.0
        pace = f"{rate:.1f}/s" if rate else "?/s"
        said = f", {self._text}" if self._text else ""
        if not self.total:
            return f"{self._title}: {self.n} [{clock(seconds)}, {pace}{said}]"
        part = min(self.n / self.total, 1.0)
        left = clock(max(self.total - self.n, 0) / rate) if rate else "?"
        filled = "█" * int(part * WIDTH)
        return (
            f"{self._title}: {int(100 * part):3}%|{filled:<{WIDTH}}| "
            f"{self.n}/{self.total} [{clock(seconds)}<{left}, {pace}{said}]"
        )


def clock(seconds: float) -> str:
    """As in ``02:05``, or ``1:00:00``."""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60:02}:{rest % 60:02}"
