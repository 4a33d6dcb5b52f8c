"""What is known of a pool's workers, and how a pool is described to the native half."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Program = str | os.PathLike[str] | Sequence[str]


class WorkerInfo:
    """What is known of one worker."""

    __slots__ = (
        "calls",
        "in_flight",
        "index",
        "last_exit",
        "name",
        "pid",
        "restarts",
        "round_trip",
        "state",
    )

    index: int
    """Its place in the pool, from 0."""
    name: str
    """As in ``calc/2``."""
    pid: int | None
    """Its process, while there is one."""
    state: str
    """``starting``, ``ready``, ``busy``, ``draining``, ``backoff``, ``failed`` or ``stopped``."""
    calls: int
    """Calls it was given, across its restarts."""
    in_flight: int
    """Calls it is busy with."""
    restarts: int
    """How often it was started again."""
    last_exit: str | None
    """How its last process ended, as in ``was killed by SIGKILL``."""
    round_trip: float | None
    """Seconds from the last ping to its answer."""

    def __init__(self, facts: dict[str, Any]) -> None:
        for name in self.__slots__:
            setattr(self, name, facts[name])

    def __repr__(self) -> str:
        return f"<worker {self.name} (pid {self.pid}) {self.state}>"


class OutputLine:
    """A line that a worker printed."""

    __slots__ = ("pid", "stream", "text", "worker")

    def __init__(self, worker: str, pid: int, stream: str, text: str) -> None:
        self.worker = worker
        """As in ``calc/2``."""
        self.pid = pid
        self.stream = stream
        """``stdout`` or ``stderr``."""
        self.text = text

    def __str__(self) -> str:
        return f"{self.worker} | {self.text}"

    def __repr__(self) -> str:
        return f"<output {self}>"


class Event:
    """Something that happened to a worker."""

    __slots__ = ("index", "kind", "pid", "text", "worker")

    def __init__(self, worker: str, index: int, pid: int | None, kind: str, text: str) -> None:
        self.worker = worker
        """As in ``calc/2``."""
        self.index = index
        """Its place in the pool, from 0."""
        self.pid = pid
        self.kind = kind
        """``started``, ``ready``, ``suspected``, ``recovered``, ``draining``, ``exited``,
        ``restarting``, ``failed`` or ``stopped``.
        """
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<event {self.text}>"


def plan(
    program: Program,
    *,
    workers: int | None = None,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    interpreter: str | None = None,
    name: str | None = None,
    concurrency: int | None = None,
    queue: int | None = None,
    ready_timeout: float | None = None,
    finish_timeout: float | None = None,
    stop_timeout: float | None = None,
    show_output: bool = True,
) -> dict[str, Any]:
    """The options of a pool, checked by being named here; what is ``None`` has its default in the
    native half.
    """
    file: str | None = None
    argv: list[str] | None = None
    if isinstance(program, (str, os.PathLike)):
        file = os.fspath(program)
        if interpreter is None and file.endswith(".py"):
            # Workers run with the interpreter that runs this, and so with what is installed for it.
            interpreter = sys.executable or None
    else:
        argv = [os.fspath(part) for part in program]
    return {
        "file": file,
        "argv": argv,
        "args": list(args),
        "env": list((env or {}).items()),
        "cwd": cwd,
        "interpreter": interpreter,
        "name": name,
        "workers": workers,
        "concurrency": concurrency,
        "queue": queue,
        "ready_timeout": ready_timeout,
        "finish_timeout": finish_timeout,
        "stop_timeout": stop_timeout,
        "show_output": show_output,
    }
