"""Workers that go on although nobody waits: those that hang tell where, and ignored cancels."""

from __future__ import annotations

import procall
import pytest
from conftest import SERVICES
from pools import expect, pid_of

HANGING = SERVICES / "hanging.py"
HANGING_LOOP = SERVICES / "hanging_loop.py"


def overrun(pool: procall.Pool, method: str, *args: object) -> None:
    with pytest.raises(procall.DeadlineExceeded):
        pool.options(deadline=0.05).call(method, *args)


@pytest.mark.parametrize(
    ("method", "args", "doing"),
    [("spin", [], "busy"), ("doze", [600], "blocked"), ("hold_the_lock", [600], "blocked")],
)
def test_a_worker_that_hangs_tells_where(method: str, args: list[int], doing: str) -> None:
    options: procall.PoolOptions = {"hang_timeout": 0.5, "stop_timeout": 0.5, "show_output": False}
    with procall.Pool(HANGING, workers=1, **options) as pool:
        pid, events = pid_of(pool, 0), pool.events()
        overrun(pool, method, *args)
        replaced = str(expect(events, "replacing"))
        assert "it was hung: no answer to pings for 0." in replaced, replaced
        assert replaced.endswith(f"past its deadline, and its process is {doing}"), replaced
        exited = expect(events, "exited")
        assert "; last stack:" not in str(exited), "it is too long for a table"
        stack = [line.text for line in pool.output(0, 100) if line.pid == pid]
        assert any(line.endswith(f" in {method}") for line in stack), stack
        expect(events, "ready")
        assert pool.pid() == pid_of(pool, 0) != pid
        (worker,) = pool.workers()
        assert (worker.restarts, (worker.last_exit or "")[:9]) == (1, "was hung:")


def test_calls_beside_one_that_hangs_are_told_the_stack() -> None:
    options: procall.PoolOptions = {"hang_timeout": 0.5, "stop_timeout": 0.5, "show_output": False}
    with procall.Pool(HANGING_LOOP, workers=1, name="hanging", **options) as pool:
        beside = pool.submit("sleep", 600)
        overrun(pool, "block", 600)
        with pytest.raises(procall.WorkerLost, match="hanging/1 was hung: no answer to") as caught:
            beside.result()
        message = caught.value.message
        assert "; last stack: Current thread" in message, message
        assert 'hanging_loop.py", line ' in message, message
        assert " in block; " in message, message
        assert len(message) < 2048 + 512
        assert " in block" in (caught.value.remote_traceback or "")


def test_a_loop_that_answers_does_not_hang() -> None:
    with procall.Pool(HANGING_LOOP, workers=1, name="hanging", hang_timeout=3) as pool:
        pid = pid_of(pool, 0)
        with pytest.raises(procall.DeadlineExceeded):
            pool.options(deadline=0.05).call("sleep", 60)
        # Cancelled at its deadline, so nothing is left to be noticed; and this one is in time.
        assert pool.options(deadline=60).sleep(4) == pid


def test_a_cancel_that_is_ignored_costs_the_process_if_that_is_wanted() -> None:
    options: procall.PoolOptions = {"on_cancel": "kill", "cancel_grace": 0.3, "show_output": False}
    with procall.Pool(HANGING, workers=1, **options) as pool:
        pid, events = pid_of(pool, 0), pool.events()
        for _ in range(3):
            overrun(pool, "heed")
        assert pool.pid() == pid, "a handler that heeds it keeps its process"
        overrun(pool, "doze", 600)
        replaced = str(expect(events, "replacing"))
        assert "it went on with a call for 0." in replaced, replaced
        assert pool.pid() != pid
        (worker,) = pool.workers()
        assert (worker.last_exit or "").startswith("went on with a call for 0."), worker


def test_it_is_for_workers_with_one_call_at_a_time() -> None:
    with pytest.raises(procall.SpawnFailed, match="hanging/1 registered for 8 calls at once"):
        procall.Pool(HANGING_LOOP, workers=1, name="hanging", on_cancel="kill", show_output=False)
