"""Pools of worker processes, for blocking code."""

from __future__ import annotations

from procall import _native
from procall._client import Calls
from procall._public import public
from procall._workers import Answer, Event, Watched, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Unpack

    from procall._futures import MethodExecutor
    from procall._options import PoolOptions
    from procall._workers import Program


@public
class Pool(Watched, Calls):
    """Several processes that run one program, and calls spread over them.

    ::

        with procall.Pool("calc.py", workers=4) as pool:
            pool.calc.add(1, 2)  # 3
            pool.call("add", 1, 2)  # 3
            list(pool.stream("count", 3))  # [0, 1, 2]
            pool.notify("log", "hello")
            pool.restart()  # one after the other; no call is lost
            print(pool.methods(), pool.metrics(), pool.health(), pool.workers())
            print(pool.stats(), pool.output(0))
            pool.drain()

    Its attributes are services, and theirs are methods. However this process ends, its workers end
    with it. ``pool.stop()`` is the end of ``with``.
    """

    def __init__(self, program: Program, **options: Unpack[PoolOptions]) -> None:
        """Starts the workers and waits until they are ready.

        ``program`` is a file, or the parts of a command. All times are in seconds.

        ``workers`` is how many processes there are: as many as processors. ``(1, 8)`` makes the
        pool elastic: it grows while calls wait, and shrinks when workers have been idle for
        ``idle_timeout`` (60). ``dispatch`` says which worker with room gets a call: ``idle_first``,
        ``least_loaded`` or ``round_robin``. ``concurrency`` is how many calls one worker gets at
        once, ``queue`` how many may wait (256).

        A worker is replaced without losing a call after ``max_calls``, or above ``max_memory``
        (``"2GiB"``, or bytes). One that dies is started again after ``backoff`` (0.1), which
        doubles up to ``max_backoff`` (10); after ``max_restarts`` (5) within ``restart_window``
        (60), or ``max_unready`` (3) exits in a row before being ready, it stays down. One that
        hangs is ended after ``hang_timeout`` (never), and one that ignores a cancel after
        ``cancel_grace`` (5) with ``on_cancel="kill"``.
        ``heartbeat=False`` asks for no signs of life.

        ``args``, ``env``, ``cwd``, ``interpreter`` and ``name`` describe the processes;
        ``ready_timeout`` (30), ``finish_timeout`` (10) and ``stop_timeout`` (5) bound their start
        and end. ``transport`` is how to talk to them: ``shm``, ``unix`` or ``auto``, which is
        shared memory when both sides can. What they print goes to standard error unless
        ``show_output=False``.

        ::

            procall.Pool("calc.py", workers=(1, 8), idle_timeout=30)
            procall.Pool("model.py", workers=1, max_memory="8GiB", ready_timeout=300)
            procall.Pool(["uv", "run", "calc.py"], dispatch="round_robin")
        """
        self._pool = _native.Pool.start(*plan(program, options))
        super().__init__(self._pool.caller(None))

    def executor(self, service: str | None = None) -> MethodExecutor:
        """This pool as a ``concurrent.futures.Executor``, for what wants one.

        What is submitted to it is the name of a method, or a function whose name is that of the
        method; ``service`` completes names without a dot. Its ``map`` reads its input as it goes.
        Shutting it down leaves the pool alone.

        ::

            with pool.executor("calc") as executor:
                sums = list(executor.map("add", range(10), range(10)))
                executor.submit("add", 1, 2).result()  # 3
        """
        from procall._futures import MethodExecutor

        return MethodExecutor(self, service)

    def broadcast(self, method: str, /, *args: Any, **kwargs: Any) -> list[Answer]:
        """Calls a method on every worker, and gives all answers in the order of the workers. A
        worker that is busy or starting gets the call when it has room.

        ::

            for answer in pool.broadcast("reload", "model.bin"):
                print(answer.worker, answer.error or answer.result())
        """
        caller = getattr(self._caller, "native", self._caller)
        answers: list[Answer] = self._pool.broadcast(caller, Answer, method, args, kwargs)
        return answers

    def events(self) -> Iterator[Event]:
        """What happens to the workers from now on; ends when the pool has stopped.

        ::

            events = pool.events()
            pool.stop()
            for event in events:
                print(event)  # calc/1 is stopped, and the like
        """
        events = self._pool.events(None)
        return (Event(*event) for event in events)

    def restart(self, worker: int | None = None) -> None:
        """Starts one worker anew, or all one after the other. Calls in flight finish first."""
        self._pool.restart(worker)

    def drain(self) -> None:
        """Takes no more calls, and waits until those there are have ended. The workers live on."""
        self._pool.drain()

    def stop(self) -> None:
        """Lets calls in flight finish, then ends the workers and waits until nothing of them is
        left.
        """
        self._pool.stop()

    def _leave(self, failed: bool) -> None:
        if failed:
            self.close()
        else:
            self.stop()
