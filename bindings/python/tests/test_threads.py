"""Plain handlers on threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import procall
import pytest
from conftest import Serve


def together(count: int, threads: int) -> procall.Service:
    service = procall.Service("s", threads=threads)
    barrier = threading.Barrier(count)

    @service.method
    def meet(at: int) -> list[object]:
        barrier.wait(30)
        return [at, threading.current_thread().name]

    @service.method
    def endless() -> Iterator[int]:
        at = 0
        try:
            while True:
                yield at
                at += 1
        finally:
            closed.set()

    @service.method
    def total(items: Iterator[int]) -> int:
        return sum(items)

    @service.method
    def fail() -> None:
        raise ValueError("no")

    @service.method
    def bad_items() -> Iterator[int]:
        yield 1
        yield "x"  # type: ignore[misc]

    @service.method
    async def on_loop() -> str:
        return threading.current_thread().name

    closed = threading.Event()
    service.closed = closed  # type: ignore[attr-defined]
    return service


def test_so_many_handlers_run_at_once() -> None:
    service = together(3, 3)
    assert service.document()["concurrency"] == 3
    with service.client() as client:
        calls = [client._caller.submit("meet", (at,), {}) for at in range(3)]
        results = [call.result() for call in calls]
        assert [at for at, _ in results] == [0, 1, 2]
        assert {name for _, name in results} == {"procall-1", "procall-2", "procall-3"}
        assert client.on_loop() == "procall-loop"
    left = {each.name for each in threading.enumerate() if each.name.startswith("procall")}
    # The thread that completes futures stays once there was one, in whichever test.
    assert left <= {"procall-futures"}


def test_streams_and_errors() -> None:
    service = together(1, 2)
    with service.client() as client:
        with client.endless() as items:
            assert [next(items) for _ in range(200)] == list(range(200))
        assert service.closed.wait(10)  # type: ignore[attr-defined]
        with client.duplex("total") as stream:
            for item in range(100):
                stream.send(item)
            assert stream.result() == 4950
        with pytest.raises(procall.HandlerError, match="ValueError: no"):
            client.fail()
        items = client.bad_items()
        assert next(items) == 1
        with pytest.raises(procall.InvalidResult, match="the item must be int, not str"):
            next(items)
        assert client.meet(1)[0] == 1


def test_a_call_that_waited_too_long_is_not_begun() -> None:
    service = procall.Service("s", threads=1)
    gate = threading.Event()
    begun = []

    @service.method
    def hold() -> None:
        gate.wait(30)

    @service.method
    def work() -> None:
        begun.append(1)

    with service.client() as client:
        holding = client._caller.submit("hold", (), {})
        with pytest.raises(procall.DeadlineExceeded):
            client.options(deadline=0.05).work()
        gate.set()
        holding.result()
        client.hold()
    assert not begun


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "2"])
def test_wrong_numbers_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="threads is"):
        procall.Service("s", threads=wrong)  # type: ignore[arg-type]


def test_a_worker_with_threads(serve: Serve) -> None:
    served = serve("threaded.py")
    with procall.connect(served.address) as client:
        calls = [client._caller.submit("meet", (), {}) for _ in range(2)]
        assert {call.result() for call in calls} == {"procall-1", "procall-2"}
        with pytest.raises(procall.HandlerError, match="SystemExit"):
            client.leave()
    assert served.wait() == 4
