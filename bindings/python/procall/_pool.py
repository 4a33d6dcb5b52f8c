"""Pools of worker processes, for blocking code."""

from __future__ import annotations

from procall import _native
from procall._client import Calls
from procall._workers import Event, OutputLine, WorkerInfo, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Any, Self

    from procall._native import Submitted
    from procall._workers import Program

WINDOW = 64
"""Calls of one ``map`` that are under way at once; more would only wait in the pool's queue."""


class Pool(Calls):
    """Several processes that run one program, and calls spread over them.

    ::

        with procall.Pool("calc.py", workers=4) as pool:
            pool.calc.add(1, 2)

    Its attributes are services, and theirs are methods. However this process ends, its workers end
    with it.
    """

    _pool: _native.Pool

    def __init__(
        self,
        program: Program,
        **options: Any,
    ) -> None:
        """Starts the workers and waits until they are ready.

        ``program`` is a file, or the parts of a command. Options: ``workers`` (as many as there are
        processors), ``args``, ``env``, ``cwd``, ``interpreter``, ``name``, ``concurrency`` (calls
        one worker gets at once), ``queue`` (calls that may wait, 256), and the times in seconds
        ``ready_timeout`` (30), ``finish_timeout`` (10) and ``stop_timeout`` (5). What workers print
        goes to standard error unless ``show_output=False``.
        """
        self._pool = _native.Pool.start(plan(program, **options))
        super().__init__(self._pool.caller(None))

    def submit(self, method: str, /, *args: Any, **kwargs: Any) -> Submitted:
        """Starts a call and returns at once; ``result()`` waits for it."""
        return self._caller.submit(method, args, kwargs)

    def map(self, method: str, arguments: Iterable[Sequence[Any]], /) -> Iterator[Any]:
        """Calls a method with each of the tuples of arguments, many at a time; results come in
        order.
        """
        from collections import deque

        under_way: deque[Submitted] = deque()
        for args in arguments:
            under_way.append(self.submit(method, *args))
            if len(under_way) >= WINDOW:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    def workers(self) -> list[WorkerInfo]:
        """What is known of each worker."""
        return [WorkerInfo(facts) for facts in self._pool.workers()]

    def output(self, worker: int, count: int = 100) -> list[OutputLine]:
        """The last lines that a worker printed, oldest first."""
        return [OutputLine(*line) for line in self._pool.output(worker, count)]

    def events(self) -> Iterator[Event]:
        """What happens to the workers from now on; ends when the pool has stopped."""
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

    def close(self) -> None:
        """Ends the pool at once: calls that wait or run end with ``Closed``."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self.close()
