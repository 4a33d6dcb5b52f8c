"""Workers that die: how is told exactly, nobody else is harmed, and nothing is left behind."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import procall
import pytest
from pools import MORTAL, children, descriptors, expect, expect_soon, pid_of


@pytest.fixture
def pool() -> Iterator[procall.Pool]:
    with procall.Pool(MORTAL, workers=2, backoff=0.001, show_output=False) as pool:
        yield pool


ENDS = {
    "null": "was killed by SIGSEGV",
    "SIGSEGV": "was killed by SIGSEGV",
    "abort": "was killed by SIGABRT",
    "SIGKILL": "was killed by SIGKILL",
    "SIGBUS": "was killed by SIGBUS",
    "_exit": "exited with code 4",
}


@pytest.mark.parametrize("how", ENDS)
def test_how_a_worker_died_is_told(pool: procall.Pool, how: str, tmp_path: pathlib.Path) -> None:
    events, gate = pool.events(), tmp_path / "gate"
    sibling = pool.options(to="mortal/2").submit("wait_for_file", str(gate))
    pid, unharmed = pid_of(pool, 0), pid_of(pool, 1)
    with pytest.raises(procall.WorkerLost) as caught:
        pool.options(to="mortal/1").die(how)
    error = caught.value
    assert (error.message, error.executed) == (f"mortal/1 {ENDS[how]}", "maybe")
    assert error.worker == f"mortal/1 (pid {pid})"
    assert f"about to die by {how}" in (error.remote_traceback or ""), "its last words"
    assert ENDS[how] in str(expect(events, "exited"))
    expect(events, "ready")
    (worker, _) = pool.workers()
    assert (worker.last_exit or "").endswith(ENDS[how])
    assert worker.restarts == 1
    assert pool.options(to="mortal/1").pid() not in (pid, unharmed)
    gate.touch()
    assert sibling.result() == unharmed


def test_a_worker_that_exits_in_order(pool: procall.Pool, tmp_path: pathlib.Path) -> None:
    events, gate = pool.events(), tmp_path / "gate"
    sibling = pool.options(to="mortal/2").submit("wait_for_file", str(gate))
    with pytest.raises(procall.HandlerError, match="SystemExit: 3"):
        pool.options(to="mortal/1").die("exit")
    assert "exited with code 3" in str(expect(events, "exited"))
    expect(events, "ready")
    gate.touch()
    assert sibling.result() == pid_of(pool, 1)


@pytest.mark.parametrize("how", ENDS)
async def test_asyncio_deaths(how: str) -> None:
    async with procall.aio.Pool(MORTAL, workers=1, backoff=0.001, show_output=False) as pool:
        pid, events = pid_of(pool, 0), pool.events()
        with pytest.raises(procall.WorkerLost, match=f"mortal/1 {ENDS[how]}"):
            await pool.die(how)
        await expect_soon(events, "ready")
        assert await pool.pid() == pid_of(pool, 0) != pid


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import nonsense_that_is_not_there\n", "ModuleNotFoundError: No module named 'nonsense_"),
        ("def f():\n    raise ValueError('at import')\nf()\n", "ValueError: at import"),
        ("def f(:\n", "SyntaxError: invalid syntax"),
    ],
)
async def test_an_exception_at_import_is_shown(
    script: Callable[..., str], program: str, said: str
) -> None:
    path = script(program, "broken.py")
    with pytest.raises(procall.SpawnFailed, match=r"broken/1 .*exited with code 1") as caught:
        procall.Pool(path, workers=1, show_output=False, backoff=0.001)
    error = caught.value
    assert error.executed == "no"
    lines = (error.remote_traceback or "").strip().splitlines()
    assert lines[-1].startswith(said), lines
    assert any("broken.py" in line for line in lines), "and where"
    with pytest.raises(procall.SpawnFailed) as caught:
        await procall.aio.Pool(path, workers=1, show_output=False, backoff=0.001)
    assert said in (caught.value.remote_traceback or "")


UNTIRING: Any = {
    "backoff": 0.001,
    "max_backoff": 0.001,
    "max_restarts": 1000,
    "show_output": False,
}


def test_a_hundred_deaths_leave_nothing_behind() -> None:
    # What this process keeps for all of its pools is there after the first.
    with procall.Pool(MORTAL, workers=1, show_output=False) as pool:
        pool.pid()
    before, family = descriptors(), children()
    with procall.Pool(MORTAL, **UNTIRING, workers=1) as pool:
        pids, events = [pool.pid()], pool.events()
        with_one = descriptors()
        for _ in range(100):
            os.kill(pids[-1], signal.SIGKILL)
            assert "was killed by SIGKILL" in str(expect(events, "exited"))
            assert expect(events, "ready").pid == pid_of(pool, 0)
            pids.append(pool.options(deadline=60).pid())
            assert children() - family == {pids[-1]}, "one worker, and nobody undead"
            # A connection has one descriptor more once a thread has waited on it.
            assert abs(descriptors() - with_one) <= 1
        assert len(set(pids)) == 101
        assert [worker.restarts for worker in pool.workers()] == [100]
        metrics = pool.metrics()
        assert (metrics.successful_requests, metrics.failed_requests) == (101, 0)
        assert metrics.restarts == 100
    del events, pool
    assert descriptors() == before
    assert children() == family


async def test_asyncio_deaths_leave_nothing_behind() -> None:
    async with procall.aio.Pool(MORTAL, workers=2, show_output=False) as pool:
        await pool.pid()
    before, family = descriptors(), children()
    async with procall.aio.Pool(MORTAL, **UNTIRING, workers=2) as pool:
        events = pool.events()
        for _ in range(10):
            with pytest.raises(procall.WorkerLost):
                await pool.die("SIGKILL")
            await expect_soon(events, "ready")
            assert {await pool.options(to=f"mortal/{n}").pid() for n in (1, 2)} == {
                worker.pid for worker in pool.workers()
            }
        assert len(children() - family) == 2
    assert descriptors() == before
    assert children() == family
