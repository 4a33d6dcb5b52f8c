"""Many calls: ``map`` and ``batch``."""

from __future__ import annotations

import asyncio
import itertools
import pathlib
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterator

import procall
import pytest
from conftest import Serve, Served
from pools import LOOP, PLAIN
from procall._progress import SmallBar, total_of
from terminal import on_terminal


@pytest.fixture
def pool() -> Iterator[procall.Pool]:
    with procall.Pool(PLAIN, workers=2, show_output=False) as pool:
        yield pool


def counted(items: list[int], n: int) -> Iterator[tuple[int, int]]:
    """Pairs, of which `items` says how many were read."""
    for i in range(n):
        items.append(i)
        yield (i, i)


def test_the_input_is_read_as_the_results_are_taken(pool: procall.Pool) -> None:
    read: list[int] = []
    results = pool.map("add", counted(read, 100), ahead=5)
    assert read == []
    assert next(results) == 0
    assert len(read) == 5
    assert next(results) == 2
    assert len(read) == 6
    assert list(results) == [2 * n for n in range(2, 100)]
    assert len(read) == 100


def test_an_endless_input(pool: procall.Pool) -> None:
    results = pool.map("add", ((n, 1) for n in itertools.count()))
    assert [next(results) for _ in range(200)] == list(range(1, 201))


@pytest.mark.parametrize("ahead", [0, -1, True, 1.5, "many"])
def test_wrong_counts(pool: procall.Pool, ahead: object) -> None:
    with pytest.raises(procall.InvalidArgument, match="a whole number from 1"):
        pool.map("add", [], ahead=ahead)  # type: ignore[call-overload]


@pytest.mark.parametrize("wrong", [5, "ab", {"a": 1}, None])
def test_arguments_that_are_no_tuple(pool: procall.Pool, wrong: object) -> None:
    with pytest.raises(procall.InvalidArgument, match="is no tuple of arguments"):
        list(pool.map("echo", [wrong]))  # type: ignore[list-item]


def left_nothing_running(happened: list[str]) -> bool:
    """Whether what began was cancelled; what was cancelled before it began has left no trace."""
    began, cancelled = (
        {line.removeprefix(word) for line in happened if line.startswith(word)}
        for word in ("began ", "cancelled ")
    )
    return began == cancelled


def test_an_error_ends_a_map() -> None:
    with procall.Pool(LOOP, workers=1, show_output=False) as pool:
        results = pool.map("slow", [(1,), ("fine",), ("left",)])
        with pytest.raises(procall.InvalidArgument, match="name"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)
        # Perhaps before their handlers began, so that the caller is asked and not the worker.
        while pool.metrics().cancelled_requests != 2:
            pass
        # A handler hears of it in its own turn of the worker's loop.
        while not left_nothing_running(pool.what_happened()):
            pass


def test_leaving_a_map_early_cancels_what_is_under_way(tmp_path: pathlib.Path) -> None:
    with procall.Pool(PLAIN, workers=2, show_output=False) as pool:
        gate = tmp_path / "gate"
        gate.touch()
        calls = [(str(gate),), (str(tmp_path / "never"),), (str(tmp_path / "never"),)]
        results = pool.map("wait_for_file", calls)
        assert next(results) is True
        del results
        # The pool ends at once, and not after 10 s, because nothing is under way in it any more.
        assert pool.metrics().cancelled_requests == 2


def test_an_input_that_fails_ends_a_map() -> None:
    with procall.Pool(LOOP, workers=1, show_output=False) as pool:

        def arguments() -> Iterator[tuple[str]]:
            yield ("a",)
            while "began a" not in pool.what_happened():
                pass
            raise LookupError("the input fails")

        results = pool.map("slow", arguments())
        with pytest.raises(LookupError):
            next(results)
        while "cancelled a" not in pool.what_happened():
            pass


async def test_asyncio_map() -> None:
    async with procall.aio.Pool(LOOP, workers=2, show_output=False) as pool:
        read: list[int] = []
        results = pool.map("add", counted(read, 300), ahead=7)
        assert await anext(results) == 0
        assert len(read) == 7
        assert [n async for n in results] == [2 * n for n in range(1, 300)]
        assert len(read) == 300


async def test_asyncio_map_of_an_async_input() -> None:
    async with procall.aio.Pool(LOOP, workers=1, show_output=False) as pool:
        more: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()

        async def arguments() -> AsyncIterator[tuple[int, int]]:
            while (item := await more.get()) is not None:
                yield item

        results = pool.map("add", arguments())
        more.put_nowait((1, 2))
        # A result does not wait for the next of the input.
        assert await asyncio.wait_for(anext(results), 30) == 3
        more.put_nowait((3, 4))
        more.put_nowait(None)
        assert [n async for n in results] == [7]


async def test_asyncio_map_errors_and_early_ends() -> None:
    async with procall.aio.Pool(LOOP, workers=1, show_output=False) as pool:
        results = pool.map("slow", [(1,), ("fine",)])
        with pytest.raises(procall.InvalidArgument):
            await anext(results)
        while pool.metrics().cancelled_requests != 1:
            await asyncio.sleep(0)
        results = pool.map("slow", [("early",)])
        task = asyncio.ensure_future(anext(results))
        while "began early" not in await pool.what_happened():
            pass
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while "cancelled early" not in await pool.what_happened():
            pass
        with pytest.raises(procall.InvalidArgument):
            pool.map("add", [], ahead=0)


def test_no_bar_without_a_terminal(pool: procall.Pool, capfd: pytest.CaptureFixture[str]) -> None:
    assert list(pool.map("add", [(1, 2)], progress=True)) == [3]
    assert capfd.readouterr().err == ""


ON_A_TERMINAL = """
import sys
import procall

with procall.Pool(sys.argv[1], workers=1, show_output=False) as pool:
    for _ in pool.map("add", [(n, n) for n in range(20)], progress=True):
        pass
"""


def test_a_bar_on_a_terminal(script: Callable[..., str]) -> None:
    drawn = on_terminal(sys.executable, script(ON_A_TERMINAL), str(PLAIN))
    assert drawn.startswith("\r")
    last = drawn.rpartition("\radd")[2]
    assert ": 100%|" in last
    assert "| 20/20 [" in last
    assert drawn.endswith("\r\n")


async def test_the_bar_is_tqdms_when_the_program_has_it(
    pool: procall.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    class Bar:
        def __init__(self, **options: object) -> None:
            seen.append(options)

        def update(self, n: int = 1) -> None:
            seen.append(n)

        def close(self) -> None:
            seen.append("closed")

    module = types.ModuleType("tqdm")
    module.tqdm = Bar  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tqdm", module)
    told = [{"desc": "add", "total": 2, "disable": None}, 1, 1, "closed"]
    assert list(pool.map("add", [(1, 2), (3, 4)], progress=True)) == [3, 7]
    assert seen == told
    seen.clear()
    async with procall.aio.Pool(PLAIN, workers=1, show_output=False) as soon:
        results = soon.map("add", [(1, 2), (3, 4)], progress=True)
        assert [n async for n in results] == [3, 7]
    assert seen == told


def test_the_text_of_the_bar() -> None:
    bar = SmallBar("add", 40)
    bar.update(10)
    assert bar.text(2.0) == "add:  25%|███████                       | 10/40 [00:02<00:06, 5.0/s]"
    bar.set_postfix_str("a\x1b[2Jb", False)
    assert bar.text(2.0).endswith("| 10/40 [00:02<00:06, 5.0/s, a [2Jb]")
    assert SmallBar("add", 40).text(3700).endswith("| 0/40 [1:01:40<?, ?/s]")
    unknown = SmallBar("add", None)
    unknown.update(3)
    assert unknown.text(61) == "add: 3 [01:01, 0.0/s]"
    assert (total_of([1, 2]), total_of(x for x in [1])) == (2, None)


def test_a_batch(calc: procall.Client) -> None:
    outcomes = calc.batch(
        [("add", (1, 2)), ("boom", ("bad",)), ("add", (), {"a": 3, "b": 4}), ("pid",), ("nope",)]
    )
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        procall.HandlerError,
        type(None),
        type(None),
        procall.NotFound,
    ]
    assert outcomes[0].result() == 3
    assert outcomes[2].result() == 7
    with pytest.raises(procall.HandlerError, match="bad"):
        outcomes[1].result()
    assert repr(outcomes[0]) == "<outcome: 3>"
    assert calc.batch([]) == []


def test_a_batch_of_a_pool(pool: procall.Pool) -> None:
    outcomes = pool.batch(("add", (n, n)) for n in range(200))
    assert [outcome.result() for outcome in outcomes] == [2 * n for n in range(200)]


def test_a_batch_that_is_too_large_says_so_for_what_is_left_out(pool: procall.Pool) -> None:
    outcomes = pool.batch([("add", (n, n)) for n in range(1000)])
    errors = {type(outcome.error) for outcome in outcomes}
    assert errors == {type(None), procall.Overloaded}
    assert outcomes[0].result() == 0


def test_a_batch_that_cannot_be_sent_stays_here(client: procall.Client) -> None:
    with pytest.raises(procall.InvalidArgument, match="set") as caught:
        client.batch([("note", (1,)), ("note", ({1},))])
    assert caught.value.__notes__ == ["in call 1 of the batch, counted from 0"]
    assert client.notes() == []
    with pytest.raises(procall.InvalidArgument, match="is no tuple"):
        client.batch([("add", 1)])


async def test_asyncio_batch(plain: Served) -> None:
    async with procall.aio.connect(plain.address) as calc:
        outcomes = await calc.batch([("add", (n, n)) for n in range(500)] + [("boom",)])
        assert [outcome.result() for outcome in outcomes[:-1]] == [2 * n for n in range(500)]
        assert isinstance(outcomes[-1].error, procall.HandlerError)
    async with procall.aio.Pool(PLAIN, workers=2, show_output=False) as pool:
        outcomes = await pool.batch([("add", (1, 2)), ("boom",)])
        assert outcomes[0].result() == 3
        assert isinstance(outcomes[1].error, procall.HandlerError)


def test_ten_thousand_calls_of_one_client(calc: procall.Client) -> None:
    results = calc.map("add", ((n, 1) for n in range(10_000)), ahead=1000)
    assert list(results) == list(range(1, 10_001))


async def test_ten_thousand_calls_of_one_client_in_asyncio(serve: Serve) -> None:
    async with procall.aio.connect(serve("loop.py").address) as calc:
        results = calc.map("add", ((n, 1) for n in range(10_000)), ahead=1000)
        assert [n async for n in results] == list(range(1, 10_001))
