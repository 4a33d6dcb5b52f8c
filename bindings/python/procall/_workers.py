"""What is known of a pool's workers, and how a pool is described to the native half."""

from __future__ import annotations

import os
import sys

from procall._public import public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Literal

    from procall import _native
    from procall._errors import Error
    from procall._figures import Health, Stats
    from procall._options import PoolOptions

    Program = str | os.PathLike[str] | Sequence[str]
    WorkerState = Literal["starting", "ready", "busy", "draining", "backoff", "failed", "stopped"]
    EventKind = Literal[
        "started",
        "ready",
        "suspected",
        "recovered",
        "draining",
        "replacing",
        "exited",
        "restarting",
        "failed",
        "stopped",
    ]


@public
class WorkerInfo:
    """What is known of one worker.

    ::

        for worker in pool.workers():
            print(worker.name, worker.state, worker.pid)  # calc/1 ready 4131
    """

    __slots__ = (
        "calls",
        "in_flight",
        "index",
        "last_exit",
        "memory",
        "name",
        "pid",
        "restarts",
        "round_trip",
        "state",
        "uptime",
    )

    index: int
    """Its place in the pool, from 0."""
    name: str
    """As in ``calc/2``."""
    pid: int | None
    """Its process, while there is one."""
    state: WorkerState
    """What it does now."""
    calls: int
    """Calls it was given, across its restarts."""
    in_flight: int
    """Calls it is busy with."""
    restarts: int
    """How often it was started again."""
    last_exit: str | None
    """How its last process ended, as in ``was killed by SIGKILL``."""
    uptime: float | None
    """Seconds that its present process has been ready."""
    round_trip: float | None
    """Seconds from the last ping to its answer."""
    memory: int | None
    """Its resident memory in bytes; behind a launcher, that of the launcher."""

    def __init__(self, facts: dict[str, Any]) -> None:
        for name in self.__slots__:
            setattr(self, name, facts[name])

    def __repr__(self) -> str:
        return f"<worker {self.name} (pid {self.pid}) {self.state}>"


@public
class OutputLine:
    """A line that a worker printed.

    ::

        for line in pool.output(0, count=20):
            print(line.worker, line.stream, line.text)
    """

    __slots__ = ("call", "method", "pid", "stream", "text", "worker")

    worker: str
    """As in ``calc/2``."""
    pid: int
    """The process that printed it."""
    stream: Literal["stdout", "stderr"]
    """Where it printed it."""
    text: str
    """The line, without its end."""
    call: int | None
    """The call that printed it, by the number that ``Context.log`` shows, when that is known:
    no other call was running at the worker, nor had one run since its output was last read to
    the end. What a thread prints that outlives its call is taken for that of whoever runs.
    """
    method: str | None
    """The method of that call, as its caller named it."""

    def __init__(
        self,
        worker: str,
        pid: int,
        stream: Literal["stdout", "stderr"],
        text: str,
        call: int | None = None,
        method: str | None = None,
    ) -> None:
        self.worker = worker
        self.pid = pid
        self.stream = stream
        self.text = text
        self.call = call
        self.method = method

    def __str__(self) -> str:
        return f"{self.worker} | {self.text}"

    def __repr__(self) -> str:
        return f"<output {self}>"


@public
class Event:
    """Something that happened to a worker.

    ::

        events = pool.events()
        pool.stop()
        for event in events:
            if event.kind == "exited":
                print(event.worker, event.text)
    """

    __slots__ = ("index", "kind", "pid", "text", "worker")

    worker: str
    """As in ``calc/2``."""
    index: int
    """Its place in the pool, from 0."""
    pid: int | None
    """Its process, while there is one."""
    kind: EventKind
    """What happened."""
    text: str
    """The same in one sentence."""

    def __init__(
        self, worker: str, index: int, pid: int | None, kind: EventKind, text: str
    ) -> None:
        self.worker = worker
        self.index = index
        self.pid = pid
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<event {self.text}>"


@public
class Outcome:
    """What became of one call of a batch.

    ::

        good, bad = calc.batch([("add", (1, 2)), ("add", (1, "x"))])
        good.result()  # 3
        print(bad.error)
    """

    __slots__ = ("_value", "error")

    error: Error | None
    """Why there is no result."""

    def __init__(self, value: Any, error: Error | None) -> None:
        self.error = error
        self._value = value

    def result(self) -> Any:
        """What the call gave; raises ``error`` when there is one."""
        if self.error is not None:
            raise self.error
        return self._value

    def __repr__(self) -> str:
        return f"<outcome: {self._told()}>"

    def _told(self) -> str:
        return repr(self._value) if self.error is None else str(self.error)


@public
class Answer(Outcome):
    """One worker's part in a broadcast.

    ::

        for answer in pool.broadcast("reload", "model.bin"):
            print(answer.worker, answer.error or answer.result())
    """

    __slots__ = ("worker",)

    worker: str
    """As in ``calc/2``."""

    def __init__(self, worker: str, value: Any, error: Error | None) -> None:
        super().__init__(value, error)
        self.worker = worker

    def __repr__(self) -> str:
        return f"<answer of {self.worker}: {self._told()}>"


def outcome(worker: str, value: Any, error: Error | None) -> Outcome:
    """An outcome as the native half makes it; which worker it was is told for broadcasts only."""
    return Outcome(value, error)


def entries(calls: Iterable[Sequence[Any]]) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """The calls of a batch as the native half wants them told."""
    from procall._ahead import check_args, name_of

    told = []
    for call in calls:
        method, *rest = check_args(call)
        args = check_args(rest[0]) if rest else ()
        kwargs = rest[1] if len(rest) > 1 else {}
        told.append((name_of(method), tuple(args), dict(kwargs)))
    return told


class Watched:
    """What pools tell of themselves, in blocking code and in asyncio. None of it waits."""

    _pool: _native.Pool

    def workers(self) -> list[WorkerInfo]:
        """What is known of each worker."""
        return [WorkerInfo(facts) for facts in self._pool.workers()]

    def health(self) -> Health:
        """Whether the pool takes calls and has workers for them, and what is wrong."""
        from procall._figures import health

        return health(self._pool.health())

    def stats(self) -> Stats:
        """All there is to know at once: the metrics, the health, and each worker."""
        from procall import _figures

        metrics, health, workers = self._pool.stats()
        return _figures.Stats(
            _figures.metrics(metrics),
            _figures.health(health),
            [WorkerInfo(facts) for facts in workers],
        )

    def output(self, worker: int, count: int = 100) -> list[OutputLine]:
        """The last lines that a worker printed, oldest first."""
        return [OutputLine(*line) for line in self._pool.output(worker, count)]


def plan(program: Program, options: PoolOptions) -> tuple[Program, dict[str, Any]]:
    """A pool as the native half wants it told. All rules for the options are there."""
    told: dict[str, Any] = {**options}
    if (
        isinstance(program, (str, os.PathLike))
        and os.fspath(program).endswith(".py")
        and told.get("interpreter") is None
    ):
        # Workers run with the interpreter that runs this, and so with what is installed for it.
        # Where that is no virtual environment, one that lies beside the file goes first.
        active = sys.prefix != sys.base_prefix and "VIRTUAL_ENV" not in (told.get("env") or {})
        which = "interpreter" if active else "default_python"
        if told.get(which) is None:
            told[which] = sys.executable or None
    return program, told
