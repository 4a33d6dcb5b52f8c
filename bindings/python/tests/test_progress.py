"""How far handlers have come: said by them, shown to callers."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Callable, Iterator

import procall
import pytest
from conftest import SERVICES
from terminal import on_terminal

WORKING = SERVICES / "working.py"

Report = tuple[int, "int | None", str]


@pytest.fixture(scope="module")
def pool() -> Iterator[procall.Pool]:
    with procall.Pool(WORKING, workers=1, show_output=False) as pool:
        yield pool


def release(fifo: pathlib.Path) -> None:
    with open(fifo, "wb"):
        pass


@pytest.fixture
def fifo(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_a_loop_reports_through_its_call(pool: procall.Pool, fifo: pathlib.Path) -> None:
    seen: list[Report] = []

    def hear(*report: int | str | None) -> None:
        seen.append(report)  # type: ignore[arg-type]
        if len(seen) == 1:
            # It came while the handler was at work.
            release(fifo)

    assert pool.options(progress=hear).loop(100_000, str(fifo)) == sum(range(100_000))
    assert (seen[0], seen[-1]) == ((0, 100_000, "lifting"), (100_000, 100_000, "lifting"))
    assert len(seen) < 1000, "far fewer travel than were made"


def test_reports_by_hand(pool: procall.Pool) -> None:
    seen: list[Report] = []
    told = pool.options(progress=lambda *report: seen.append(report))
    assert told.by_hand() == "done"
    assert seen == [(10, 10, "lifting, loss=0.25")]
    assert told.options(progress=False).by_hand() == "done"
    assert len(seen) == 1


@pytest.mark.parametrize("method", ["soon", "on_a_thread"])
def test_async_handlers_report_too(pool: procall.Pool, method: str) -> None:
    seen: list[Report] = []
    told = pool.options(progress=lambda *report: seen.append(report))
    assert told.call(method, 50) == 50
    assert seen[-1] == (50, 50, "")


def test_streams_report_too(pool: procall.Pool) -> None:
    seen: list[Report] = []
    told = pool.options(progress=lambda *report: seen.append(report))
    assert list(told.stream("stream", 5)) == [0, 1, 2, 3, 4]
    assert seen[-1] == (5, 5, "")


async def test_asyncio() -> None:
    seen: list[Report] = []
    async with procall.aio.Pool(WORKING, workers=1, show_output=False) as pool:
        told = pool.options(progress=lambda *report: seen.append(report))
        assert await told.by_hand() == "done"
        assert seen == [(10, 10, "lifting, loss=0.25")]
        assert [n async for n in told.stream("stream", 5)] == [0, 1, 2, 3, 4]
        assert seen[-1] == (5, 5, "")


def test_futures(pool: procall.Pool) -> None:
    seen: list[Report] = []
    told = pool.options(progress=lambda *report: seen.append(report))
    assert told.submit("by_hand").result() == "done"
    assert seen == [(10, 10, "lifting, loss=0.25")]


def test_who_is_told_may_fail(pool: procall.Pool) -> None:
    def refuse(*_: object) -> None:
        raise LookupError("not for me")

    with pytest.raises(LookupError, match="not for me"):
        pool.options(progress=refuse).by_hand()
    assert pool.by_hand() == "done"


def test_without_a_call_it_only_iterates(
    pool: procall.Pool, capfd: pytest.CaptureFixture[str]
) -> None:
    assert list(procall.tqdm([1, 2, 3], desc="here", unit="it", leave=False)) == [1, 2, 3]
    assert pool.outside() == "[1, 2]"
    with pytest.raises(TypeError, match="give an iterable"):
        iter(procall.tqdm(total=3)).__next__()
    with pytest.raises(TypeError, match="give total"):
        len(procall.tqdm(n for n in [1]))
    assert capfd.readouterr() == ("", "")


ON_A_TERMINAL = """
import sys
import procall

with procall.Pool(sys.argv[1], workers=1, show_output=False) as pool:
    pool.options(progress=True).by_hand()
    pool.by_hand()
    try:
        with open("/nowhere/at/all"):
            pass
    except OSError:
        print("after", file=sys.stderr)
"""


def test_a_bar_on_a_terminal(script: Callable[..., str]) -> None:
    drawn = on_terminal(sys.executable, script(ON_A_TERMINAL), str(WORKING))
    last = drawn.rpartition("\rby_hand")[2]
    assert last.startswith(": 100%|"), drawn
    assert "| 10/10 [00:00<00:00, " in last
    assert "/s, lifting, loss=0.25]" in last
    # The bar is over when the call is.
    assert drawn.endswith("\x1b[K\r\nafter\r\n")


def test_no_bar_elsewhere(pool: procall.Pool, capfd: pytest.CaptureFixture[str]) -> None:
    assert pool.options(progress=True).by_hand() == "done"
    assert capfd.readouterr().err == ""


def test_tqdm_draws_when_the_program_has_it(
    pool: procall.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import types

    seen: list[object] = []

    class Bar:
        n = 0
        total: int | None = None

        def __init__(self, **options: object) -> None:
            seen.append(options)

        def set_postfix_str(self, s: str, refresh: bool) -> None:
            seen.append((s, refresh))

        def refresh(self) -> None:
            seen.append((self.n, self.total))

        def close(self) -> None:
            seen.append("closed")

    module = types.ModuleType("tqdm")
    module.tqdm = Bar  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tqdm", module)
    assert pool.options(progress=True).by_hand() == "done"
    assert seen == [
        {"desc": "by_hand", "total": 10, "disable": None},
        ("lifting, loss=0.25", False),
        (10, 10),
        "closed",
    ]
