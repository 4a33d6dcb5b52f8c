"""The options of a pool, for whoever checks types or passes them on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from procall._public import public

Dispatch = Literal["idle_first", "least_loaded", "round_robin"]
Transport = Literal["auto", "unix", "shm"]


@public
class PoolOptions(TypedDict, total=False):
    """What ``procall.Pool`` takes beside the program. ``None`` is the same as absent: the default.

    ::

        options: procall.PoolOptions = {"workers": 2, "max_memory": "2GiB"}
        with procall.Pool("calc.py", **options) as pool:
            pool.calc.add(1, 2)  # 3

    All times are in seconds, and ``float("inf")`` is for ever.
    """

    workers: int | tuple[int, int] | None
    """How many processes: as many as this process may use processors. ``(1, 8)`` is an elastic
    pool: one process is always there, another one is started when a call has waited for 50 ms,
    up to eight.
    """
    idle_timeout: float | None
    """How long a worker beyond the least of an elastic pool may be idle before it is ended: 60."""
    dispatch: Dispatch | None
    """Which of several workers with room gets the next call. ``idle_first``, the default, takes
    the one with the fewest calls in hand, and of equal ones the first: under light load the same
    few do all the work. ``least_loaded`` spreads the work evenly, ``round_robin`` takes one after
    the other.
    """
    max_calls: int | None
    """A worker is replaced by a new process after so many calls: never. It finishes its calls
    first, and a few more may reach it while others are being replaced.
    """
    max_memory: int | str | None
    """A worker is replaced when its resident memory is above so much: never. Bytes, or a text such
    as ``"2GiB"`` or ``"300MB"``; looked at once a second.
    """
    concurrency: int | None
    """Calls that one worker gets at once, instead of what it asks for."""
    queue: int | None
    """Calls that may wait for a worker: 256. The next one is refused with ``Overloaded``."""
    max_restarts: int | None
    """Restarts of one worker within ``restart_window`` before it stays down: 5."""
    restart_window: float | None
    """The time in which restarts are counted: 60."""
    max_unready: int | None
    """Exits of one worker in a row before it was ready, before it stays down: 3."""
    backoff: float | None
    """The pause before the first restart: 0.1. It doubles with each further one in the window."""
    max_backoff: float | None
    """The longest pause: 10."""
    heartbeat: bool | None
    """Whether workers are asked for a sign of life every 5 s: ``True``. One that gives none gets
    no new calls until it does.
    """
    args: Sequence[str | os.PathLike[str]] | None
    """Arguments of the program. There is no shell: they arrive as they are."""
    env: Mapping[str, str] | None
    """Variables of the workers' environment, beside this process's own."""
    cwd: str | os.PathLike[str] | None
    """The workers' working directory: this process's own. The program of a command is meant from
    there, as its arguments are; a worker's file is meant from here.
    """
    interpreter: str | os.PathLike[str] | None
    """What runs the file: a program, or the folder of a virtual environment. Without it, a ``.py``
    file runs with the interpreter that runs this; where that is no virtual environment, a ``.venv``
    in the file's folder or above it goes first. Other files run with what fits their name.
    """
    default_python: str | os.PathLike[str] | None
    """What runs a ``.py`` file when no virtual environment is active and none lies beside the file
    or above it: the interpreter that runs this.
    """
    name: str | None
    """The pool's name; its workers are ``name/1``, ``name/2`` and so on. Without it, that of the
    file or program.
    """
    transport: Transport | None
    """How to talk to the workers: ``"shm"`` in shared memory, ``"unix"`` over sockets, ``"auto"``
    in shared memory when both sides can. Without it, ``PROCALL_TRANSPORT`` says, which says
    ``auto`` unless it is set.
    """
    compression: bool | None
    """Whether long messages to and from the workers travel compressed: ``False``. On one machine
    that costs more than it saves.
    """
    ready_timeout: float | None
    """How long a worker may take from its start, or from the last line it printed, until it is
    ready: 30.
    """
    finish_timeout: float | None
    """How long calls may take to finish when the pool or a worker is stopped or restarted: 10."""
    stop_timeout: float | None
    """How long a worker without calls may take to exit before it is killed: 5."""
    show_output: bool | None
    """Whether what workers print goes to standard error, with their names before it, in colour on a
    terminal unless ``NO_COLOR`` is set: ``True``. The last lines are kept either way.
    """
