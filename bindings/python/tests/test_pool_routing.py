"""Which worker a call goes to: by key, by name, to all; and what a time-out does to it."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
from collections.abc import Iterator

import procall
import pytest
from conftest import interrupt_when
from pools import LOOP, MORTAL, PLAIN, expect, expect_soon, pid_of


@pytest.fixture
def pool() -> Iterator[procall.Pool]:
    with procall.Pool(PLAIN, workers=3, show_output=False) as pool:
        yield pool


def test_a_key_keeps_its_worker(pool: procall.Pool) -> None:
    keys = [f"user-{n}" for n in range(32)]
    homes = {key: pool.options(key=key).pid() for key in keys}
    assert set(homes.values()) == {worker.pid for worker in pool.workers()}, "they are spread"
    for key in keys * 3:
        assert pool.options(key=key).pid() == homes[key]


def test_calls_with_a_key_wait_for_their_worker(pool: procall.Pool, tmp_path: pathlib.Path) -> None:
    user = pool.options(key="user-7")
    home = user.pid()
    user.options(meta={"a": 1}).note(0)
    blocked = user.submit("wait_for_file", str(tmp_path / "gate"))
    calls = [user.submit("note", n) for n in range(1, 6)]
    assert not any(call.done() for call in calls), "two workers are idle, but not theirs"
    (tmp_path / "gate").touch()
    assert blocked.result()
    assert [call.result() for call in calls] == [None] * 5
    assert user.notes() == [0, 1, 2, 3, 4, 5], "in the order of sending"
    assert user.pid() == home


def test_the_loss_of_a_keys_worker_is_told_once(pool: procall.Pool) -> None:
    user, events = pool.options(key="user-7"), pool.events()
    home = user.pid()
    os.kill(home, signal.SIGKILL)
    expect(events, "exited")
    with pytest.raises(procall.WorkerLost, match=r"SIGKILL.*goes to a new worker") as caught:
        user.pid()
    assert caught.value.executed == "no"
    after = user.pid()
    assert after != home
    assert [user.pid() for _ in range(5)] == [after] * 5


def test_a_call_goes_to_the_worker_it_names(pool: procall.Pool) -> None:
    for index in (2, 0, 1):
        assert pool.options(to=f"plain/{index + 1}").pid() == pid_of(pool, index)
    with pytest.raises(procall.NotFound, match=r'no worker "plain/9".*plain/1, plain/2, plain/3'):
        pool.options(to="plain/9").pid()
    stream = pool.options(to="plain/2").calc.endless()
    next(stream)
    assert [worker.state for worker in pool.workers()] == ["ready", "busy", "ready"]
    stream.close()


def test_a_broadcast(pool: procall.Pool, tmp_path: pathlib.Path) -> None:
    busy = pool.options(to="plain/2").submit("wait_for_file", str(tmp_path / "gate"))
    (tmp_path / "gate").touch()
    answers = pool.broadcast("pid")
    assert [answer.worker for answer in answers] == ["plain/1", "plain/2", "plain/3"]
    assert [answer.result() for answer in answers] == [pid_of(pool, index) for index in range(3)]
    assert [answer.error for answer in answers] == [None] * 3
    assert "plain/2: " in repr(answers[1])
    assert busy.result()
    assert [answer.result() for answer in pool.broadcast("add", 1, b=2)] == [3] * 3


def test_a_broadcast_with_one_failed_worker() -> None:
    with procall.Pool(PLAIN, workers=2, max_restarts=0, show_output=False) as pool:
        events = pool.events()
        os.kill(pid_of(pool, 0), signal.SIGKILL)
        expect(events, "failed", "plain/1")
        lost, well = pool.broadcast("pid")
        assert isinstance(lost.error, procall.NoWorker)
        assert (lost.worker, lost.error.executed) == ("plain/1", "no")
        with pytest.raises(procall.NoWorker, match="plain/1 has failed"):
            lost.result()
        assert (well.error, well.result()) == (None, pid_of(pool, 1))


def test_errors_of_a_broadcast_are_those_of_each_worker(pool: procall.Pool) -> None:
    pool.options(to="plain/2").note("here")
    for answer in pool.broadcast("boom", "oh"):
        assert isinstance(answer.error, procall.HandlerError)
        assert (answer.error.remote_type, answer.error.message) == ("ValueError", "oh")
    with pytest.raises(procall.InvalidArgument, match="set"):
        pool.broadcast("echo", {1})
    assert [answer.result() for answer in pool.broadcast("notes")] == [[], ["here"], []]


def test_a_broadcast_has_the_options_of_the_calls(pool: procall.Pool) -> None:
    answers = pool.options(deadline=0.1).broadcast("until_cancelled", "x")
    assert [type(answer.error) for answer in answers] == [procall.DeadlineExceeded] * 3
    assert [answer.result() for answer in pool.broadcast("which_ran")] == [["x"]] * 3


def test_ctrl_c_ends_a_broadcast(pool: procall.Pool) -> None:
    def all_began() -> None:
        while any("began b" not in str(pool.output(index)[-1:]) for index in range(3)):
            pass

    thread = interrupt_when(all_began)
    with pytest.raises(KeyboardInterrupt):
        pool.options(deadline=None).broadcast("until_cancelled", "b")
    thread.join()
    # The handlers run until they are cancelled, so that they answer shows that they were.
    assert [answer.result() for answer in pool.broadcast("which_ran")] == [["b"]] * 3
    assert pool.metrics().cancelled_requests == 3


def test_a_timeout_keeps_the_worker_and_calls_go_elsewhere(tmp_path: pathlib.Path) -> None:
    with procall.Pool(PLAIN, workers=2, show_output=False) as pool:
        first, second = pid_of(pool, 0), pid_of(pool, 1)
        gate = tmp_path / "gate"
        with pytest.raises(procall.DeadlineExceeded) as caught:
            pool.options(deadline=0.1, to="plain/1").wait_for_file(str(gate))
        assert caught.value.executed == "maybe"
        assert [worker.state for worker in pool.workers()] == ["busy", "ready"]
        assert {pool.pid() for _ in range(20)} == {second}
        waiting = pool.options(to="plain/1").submit("pid")
        assert not waiting.done()
        gate.touch()
        assert waiting.result() == first, "and it was not killed"
        assert sum(worker.restarts for worker in pool.workers()) == 0


def test_a_timeout_that_restarts(tmp_path: pathlib.Path) -> None:
    with procall.Pool(PLAIN, workers=1, show_output=False) as pool:
        first, events = pool.pid(), pool.events()
        hasty = pool.options(deadline=0.1, on_timeout="restart")
        with pytest.raises(procall.DeadlineExceeded):
            hasty.wait_for_file(str(tmp_path / "never"))
        told = expect(events, "replacing")
        assert (told.worker, told.pid) == ("plain/1", first)
        assert "busy with a call when its deadline passed" in str(told)
        second = pool.pid()
        assert second != first
        assert hasty.options(deadline=30).pid() == second, "in time, it restarts nothing"
        assert pool.workers()[0].restarts == 1
        with pytest.raises(procall.DeadlineExceeded):
            hasty.options(on_timeout="return", deadline=0.1).until_cancelled("x")
        assert pool.pid() == second


async def test_asyncio_keys_and_names() -> None:
    async with procall.aio.Pool(PLAIN, workers=3, show_output=False) as pool:
        user, events = pool.options(key="user-7"), pool.events()
        home = await user.pid()
        assert await asyncio.gather(*(user.pid() for _ in range(20))) == [home] * 20
        assert await pool.options(to="plain/3").pid() == pid_of(pool, 2)
        os.kill(home, signal.SIGKILL)
        await expect_soon(events, "exited")
        with pytest.raises(procall.WorkerLost) as caught:
            await user.pid()
        assert caught.value.executed == "no"
        assert await user.pid() != home


async def test_asyncio_broadcast() -> None:
    async with procall.aio.Pool(MORTAL, workers=3, max_restarts=0, show_output=False) as pool:
        events = pool.events()
        with pytest.raises(procall.WorkerLost):
            await pool.options(to="mortal/2").die("SIGKILL")
        await expect_soon(events, "failed")
        answers = await pool.broadcast("pid")
        assert [answer.worker for answer in answers] == ["mortal/1", "mortal/2", "mortal/3"]
        assert answers[0].result() == pid_of(pool, 0)
        assert isinstance(answers[1].error, procall.NoWorker)
        assert answers[2].result() == pid_of(pool, 2)


async def test_asyncio_cancelled_broadcast() -> None:
    async with procall.aio.Pool(LOOP, workers=2, show_output=False) as pool:
        task = asyncio.ensure_future(pool.broadcast("slow", "b"))
        while await asyncio.gather(*[_seen(pool, n) for n in (1, 2)]) != [["began b"]] * 2:
            pass
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        both = [["began b", "cancelled b"]] * 2
        while await asyncio.gather(*[_seen(pool, n) for n in (1, 2)]) != both:
            pass
        assert pool.metrics().cancelled_requests == 2


async def _seen(pool: procall.aio.Pool, number: int) -> list[str]:
    seen: list[str] = await pool.options(to=f"loop/{number}").what_happened()
    return seen


async def test_a_cancelled_task_keeps_the_worker_in_the_pool() -> None:
    async with procall.aio.Pool(PLAIN, workers=1, show_output=False) as pool:
        first = await pool.pid()
        for name in "abc":
            task = asyncio.ensure_future(pool.until_cancelled(name))
            while f"began {name}" not in str(pool.output(0)[-1:]):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await pool.pid() == first
        assert await pool.which_ran() == ["a", "b", "c"]
        (worker,) = pool.workers()
        assert (worker.restarts, worker.in_flight, worker.state) == (0, 0, "ready")


async def test_asyncio_timeouts(tmp_path: pathlib.Path) -> None:
    async with procall.aio.Pool(PLAIN, workers=2, show_output=False) as pool:
        first, second = pid_of(pool, 0), pid_of(pool, 1)
        events = pool.events()
        hasty = pool.options(deadline=0.1, to="plain/1")
        with pytest.raises(procall.DeadlineExceeded):
            await hasty.wait_for_file(str(tmp_path / "gate"))
        assert await asyncio.gather(*(pool.pid() for _ in range(20))) == [second] * 20
        (tmp_path / "gate").touch()
        assert await pool.options(to="plain/1").pid() == first
        with pytest.raises(procall.DeadlineExceeded):
            await hasty.options(on_timeout="restart").wait_for_file(str(tmp_path / "never"))
        assert (await expect_soon(events, "replacing")).pid == first
        await expect_soon(events, "ready", "plain/1")
        assert await pool.options(to="plain/1").pid() not in (first, second)
