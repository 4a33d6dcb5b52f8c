"""Futures of calls, and pools as executors."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import procall
import pytest
from conftest import Served
from pools import LOOP, PLAIN

PATIENCE = 30


@pytest.fixture
def pool() -> Iterator[procall.Pool]:
    with procall.Pool(PLAIN, workers=2, show_output=False) as pool:
        yield pool


def test_a_future_is_a_future(pool: procall.Pool) -> None:
    future = pool.submit("add", 1, b=2)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(PATIENCE) == 3
    assert future.done()
    assert not future.cancelled()
    assert future.exception() is None
    assert future.result() == 3, "it can be asked again"


def test_errors_of_futures(pool: procall.Pool) -> None:
    future = pool.submit("boom", "bad luck")
    error = future.exception(PATIENCE)
    assert isinstance(error, procall.HandlerError)
    assert error.remote_type == "ValueError"
    with pytest.raises(procall.HandlerError, match="bad luck"):
        future.result()
    with pytest.raises(procall.InvalidArgument, match="set"):
        pool.submit("add", {1}, 2)


def test_waiting_for_a_while(pool: procall.Pool, tmp_path: pathlib.Path) -> None:
    gate = tmp_path / "gate"
    future = pool.submit("wait_for_file", str(gate))
    with pytest.raises(TimeoutError):
        future.result(0.01)
    assert not future.done()
    gate.touch()
    assert future.result(PATIENCE) is True


def test_wait_and_as_completed(pool: procall.Pool, tmp_path: pathlib.Path) -> None:
    gate = tmp_path / "gate"
    slow = pool.submit("wait_for_file", str(gate))
    fast = pool.submit("add", 1, 2)
    done, left = concurrent.futures.wait([slow, fast], PATIENCE, concurrent.futures.FIRST_COMPLETED)
    assert (done, left) == ({fast}, {slow})
    gate.touch()
    assert set(concurrent.futures.as_completed([slow, fast], PATIENCE)) == {slow, fast}


def test_callbacks_run_on_one_thread(pool: procall.Pool) -> None:
    before = threading.active_count()
    names: list[str] = []
    futures = [pool.submit("add", n, n) for n in range(50)]
    for future in futures:
        future.add_done_callback(lambda _: names.append(threading.current_thread().name))
    assert threading.active_count() <= before + 1
    assert [future.result(PATIENCE) for future in futures] == [2 * n for n in range(50)]
    heard = threading.Event()
    last = pool.submit("add", 1, 2)
    last.add_done_callback(lambda _: heard.set())
    assert heard.wait(PATIENCE)
    # Those added after the outcome was there run at once, where they are added.
    assert set(names) <= {"procall-futures", "MainThread"}


def test_a_callback_may_submit_and_fail(
    pool: procall.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    after: list[concurrent.futures.Future[int]] = []
    heard = threading.Event()

    def go_on(future: concurrent.futures.Future[int]) -> None:
        after.append(pool.submit("add", future.result(), 1))
        heard.set()
        raise LookupError("a callback that fails")

    pool.submit("add", 1, 2).add_done_callback(go_on)
    assert heard.wait(PATIENCE)
    assert after[0].result(PATIENCE) == 4
    assert pool.submit("add", 1, 2).result(PATIENCE) == 3, "the thread lives on"


def test_cancel_ends_a_call_that_runs(pool: procall.Pool) -> None:
    with procall.Pool(LOOP, workers=1, show_output=False) as loop:
        future = loop.submit("slow", "x")
        while "began x" not in loop.what_happened():
            pass
        assert future.cancel()
        assert future.cancelled()
        with pytest.raises(concurrent.futures.CancelledError):
            future.result()
        with pytest.raises(procall.Cancelled):
            future.exception()
        while "cancelled x" not in loop.what_happened():
            pass
    done = pool.submit("add", 1, 2)
    assert done.result(PATIENCE) == 3
    assert not done.cancel()


def test_a_call_that_is_cancelled_before_its_task_begins_frees_its_place(
    tmp_path: pathlib.Path,
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    argv = [sys.executable, str(LOOP), "mixed"]
    with procall.Pool(argv, workers=1, concurrency=8, show_output=False) as pool:
        held = pool.submit("hold_the_loop", str(fifo))
        with open(fifo, "w") as release:
            given_up = [pool.submit("slow", "x") for _ in range(4)]
            # It comes behind them, so they are with the worker, where the loop stands still.
            assert pool.plain_thread() != ""
            assert all(future.cancel() for future in given_up)
            # Behind the cancels, too.
            assert pool.plain_thread() != ""
            release.write("go on")
        assert held.result(PATIENCE) == "go on"
        patience = time.monotonic() + PATIENCE
        while (busy := pool.workers()[0].in_flight) > 0:
            assert time.monotonic() < patience, f"{busy} places are still taken"
        assert pool.what_happened() == [], "none of them has begun"


def test_wait_sees_a_cancelled_future(pool: procall.Pool, tmp_path: pathlib.Path) -> None:
    future = pool.submit("wait_for_file", str(tmp_path / "never"))
    waiting = threading.Event()
    done: list[object] = []

    def wait() -> None:
        waiting.set()
        done.extend(concurrent.futures.wait([future], PATIENCE).done)

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    assert future.cancel()
    thread.join(PATIENCE)
    assert done == [future]
    (tmp_path / "never").touch()


def test_a_forgotten_future_runs_on(pool: procall.Pool) -> None:
    one = pool.options(to="plain/1")
    one.submit("note", "forgotten")
    assert one.notes() == ["forgotten"]


def test_a_lost_worker_and_a_closed_pool(tmp_path: pathlib.Path) -> None:
    pool = procall.Pool(PLAIN, workers=1, show_output=False)
    with pytest.raises(procall.WorkerLost):
        pool.submit("kill").result(PATIENCE)
    future = pool.submit("wait_for_file", str(tmp_path / "never"))
    pool.close()
    assert isinstance(future.exception(PATIENCE), procall.Closed)
    with pytest.raises(procall.Closed):
        pool.submit("add", 1, 2)


def test_the_deadline_ends_a_future(pool: procall.Pool, tmp_path: pathlib.Path) -> None:
    hurried = pool.options(deadline=0.05)
    error = hurried.submit("wait_for_file", str(tmp_path / "gate")).exception(PATIENCE)
    assert isinstance(error, procall.DeadlineExceeded)
    (tmp_path / "gate").touch()


def test_clients_submit_too(calc: procall.Client) -> None:
    futures = [calc.submit("add", n, 1) for n in range(20)]
    assert [future.result(PATIENCE) for future in futures] == list(range(1, 21))
    assert calc.add(1, 2) == 3, "calls that wait themselves work beside them"


def test_a_service_that_is_killed(plain: Served, client: procall.Client) -> None:
    future = client.submit("wait_for_file", "/nowhere")
    assert plain.line() == "waiting"
    plain.signal(9)
    assert isinstance(future.exception(PATIENCE), procall.ConnectionLost)


def test_functions_stand_for_their_names(pool: procall.Pool) -> None:
    def add(a: int, b: int) -> int:
        raise AssertionError("it does not run here")

    assert pool.submit(add, 1, 2).result(PATIENCE) == 3
    assert pool.submit(pool.calc.add, 1, 2).result(PATIENCE) == 3
    assert list(pool.map(add, [(1, 2)])) == [3]
    with pytest.raises(TypeError, match="names no method"):
        pool.submit(lambda a: a, 1)


async def test_futures_in_asyncio(pool: procall.Pool, tmp_path: pathlib.Path) -> None:
    assert await asyncio.wrap_future(pool.submit("add", 1, 2)) == 3
    waiting = pool.submit("wait_for_file", str(tmp_path / "never"))
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    waiting.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
    asyncio.wrap_future(waiting).cancel()
    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert waiting.cancelled()
    (tmp_path / "never").touch()
    executor = pool.executor("calc")
    assert await loop.run_in_executor(executor, pool.calc.add, 1, 2) == 3


def test_an_executor(pool: procall.Pool, tmp_path: pathlib.Path) -> None:
    with pool.executor("calc") as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        assert executor.submit("add", 1, b=2).result(PATIENCE) == 3
        assert list(executor.map("add", range(500), range(500))) == [2 * n for n in range(500)]
        slow = executor.submit("wait_for_file", str(tmp_path / "gate"))
        results = executor.map("wait_for_file", [str(tmp_path / "gate")], timeout=0.01)
        with pytest.raises(TimeoutError):
            next(results)
        (tmp_path / "gate").touch()
    assert slow.done(), "leaving it waits"
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit("add", 1, 2)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.map("add", [1], [2])
    assert pool.add(1, 2) == 3, "the pool lives on"


def test_an_executor_that_cancels(pool: procall.Pool, tmp_path: pathlib.Path) -> None:
    executor = pool.executor()
    future = executor.submit("wait_for_file", str(tmp_path / "never"))
    executor.shutdown(cancel_futures=True)
    assert future.cancelled()
    (tmp_path / "never").touch()


AT_THE_END = """
import sys, threading
import procall

pool = procall.Pool(sys.argv[1], workers=1, show_output=False, finish_timeout=0)
how = sys.argv[2]
if how == "future":
    future = pool.submit("wait_for_file", "/nowhere")
    future.add_done_callback(lambda future: None)
elif how == "thread":
    events = pool.events()
    threading.Thread(target=lambda: pool.wait_for_file("/nowhere"), daemon=True).start()
    while not pool.workers()[0].in_flight:
        pass
elif how == "map":
    results = pool.map("add", ((n, n) for n in range(1000)))
    next(results)
elif how == "stream":
    items = pool.endless()
    next(items)
print("bye", flush=True)
"""


@pytest.mark.parametrize("how", ["future", "thread", "map", "stream"])
def test_the_interpreter_may_end_with_calls_in_flight(script: Callable[..., str], how: str) -> None:
    done = subprocess.run(
        [sys.executable, script(AT_THE_END), str(PLAIN), how],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "bye\n", "")
