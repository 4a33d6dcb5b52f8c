"""Handlers that misbehave: their callers are told, and nobody else is harmed."""

from __future__ import annotations

import os
import pathlib
import signal
import time

import procall
import pytest
from conftest import SERVICES, Serve
from pools import pid_of


def test_a_generator_that_is_left_runs_its_finally(serve: Serve) -> None:
    served = serve("faulty.py")
    with procall.connect(served.address) as client:
        items = client.count()
        assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
        items.close()
        assert served.line() == "closed"
        assert client.alive()


def test_a_generator_whose_caller_is_gone_runs_its_finally(serve: Serve) -> None:
    served = serve("faulty.py")
    client = procall.connect(served.address)
    assert next(client.count()) == 0
    client.close()
    assert served.line() == "closed"
    with procall.connect(served.address) as other:
        assert other.alive()


def test_a_finally_that_raises_harms_nobody(serve: Serve) -> None:
    served = serve("faulty.py")
    with procall.connect(served.address) as client:
        items = client.stubborn()
        assert next(items) == 1
        items.close()
        assert served.line() == "closing"
        assert client.alive()


@pytest.mark.parametrize(("code", "status"), [(7, 7), (None, 0), ("a last word", 1)])
def test_sys_exit_in_a_handler(serve: Serve, code: object, status: int) -> None:
    served = serve("faulty.py")
    with procall.connect(served.address) as client:
        with pytest.raises(procall.HandlerError) as caught:
            client.leave(code)
        assert (caught.value.remote_type, caught.value.executed) == ("SystemExit", "yes")
    assert served.wait() == status


def test_sys_exit_in_a_generator(serve: Serve) -> None:
    served = serve("faulty.py")
    with procall.connect(served.address) as client:
        items = client.count("exit")
        assert [next(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(procall.HandlerError, match="SystemExit: 5"):
            next(items)
    assert served.wait() == 5


@pytest.mark.parametrize("method", ["interrupt", "count"])
def test_a_handler_that_raises_keyboard_interrupt(serve: Serve, method: str) -> None:
    served = serve("faulty.py")
    with procall.connect(served.address) as client:
        with pytest.raises(procall.Error) as caught:
            list(client.count("interrupt")) if method == "count" else client.interrupt()
        # It ends the service as Ctrl-C does; the caller has its outcome all the same.
        assert caught.value.executed == "yes"
    assert served.wait() == -signal.SIGINT


def test_ctrl_c_lets_the_handler_finish(serve: Serve) -> None:
    served = serve("faulty.py")
    with procall.connect(served.address) as client:
        call = client._caller.submit("sleep", (0.1,), {})
        assert served.line() == "sleeping"
        served.signal(signal.SIGINT)
        assert call.result() is None
    assert served.wait() == 0


def test_sys_exit_in_a_worker_of_a_pool() -> None:
    with procall.Pool(SERVICES / "faulty.py", workers=1, show_output=False) as pool:
        with pytest.raises(procall.HandlerError, match="SystemExit"):
            pool.faulty.leave(3)
        assert pool.faulty.alive()


def test_a_worker_that_holds_the_gil_is_not_taken_for_dead(tmp_path: pathlib.Path) -> None:
    """Its signs of life need no Python: they come while nothing in the interpreter gets on."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with procall.Pool(SERVICES / "faulty.py", workers=1, show_output=False) as pool:
        events = pool.events()
        before = pid_of(pool, 0)
        held = pool.options(deadline=120).submit("hold_gil", str(fifo))
        # Opens once the worker has; from then on nothing in it runs.
        with open(fifo, "wb", buffering=0) as release:
            pings = pool.workers()[0].round_trip
            patience = time.monotonic() + 60
            while pool.workers()[0].round_trip == pings:
                assert time.monotonic() < patience, "no sign of life came"
                os.sched_yield()
            assert not held.done()
            release.write(b"go on")
        assert held.result() == 5
        assert pool.faulty.alive()
        assert pid_of(pool, 0) == before
        assert pool.workers()[0].restarts == 0
    assert {event.kind for event in events} & {"suspected", "restarting"} == set()


def test_while_a_worker_holds_the_gil_calls_wait_or_are_refused(tmp_path: pathlib.Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with procall.Pool(SERVICES / "faulty.py", workers=1, queue=1, show_output=False) as pool:
        held = pool.submit("hold_gil", str(fifo))
        with open(fifo, "wb", buffering=0) as release:
            waiting = pool.submit("alive")
            with pytest.raises(procall.Overloaded) as refused:
                pool.alive()
            assert refused.value.executed == "no"
            # Only a place in the queue was missing; deadlines hold there too.
            assert waiting.cancel()
            with pytest.raises(procall.DeadlineExceeded) as late:
                pool.options(deadline=0.05).alive()
            assert late.value.executed == "no"
            release.write(b"go on")
        assert held.result() == 5
        assert pool.alive()
        assert pool.workers()[0].restarts == 0
