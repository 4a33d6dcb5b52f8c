"""What the tests of pools have in common."""

from __future__ import annotations

import asyncio
import gc
import os
import pathlib
import signal
from collections.abc import AsyncIterator, Iterator

import procall
from conftest import SERVICES

PLAIN = SERVICES / "plain.py"
LOOP = SERVICES / "loop.py"
MORTAL = SERVICES / "mortal.py"


PATIENCE = 60
"""Seconds after which an event that does not come fails the test instead of hanging it."""


def expect(events: Iterator[procall.Event], kind: str, worker: str | None = None) -> procall.Event:
    """The next event of this kind."""

    def give_up(*_: object) -> None:
        raise AssertionError(f"nothing was {kind} within {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    try:
        for event in events:
            if event.kind == kind and worker in (None, event.worker):
                return event
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    raise AssertionError(f"the pool has stopped and nothing was {kind}")


async def expect_soon(
    events: AsyncIterator[procall.Event], kind: str, worker: str | None = None
) -> procall.Event:
    async with asyncio.timeout(PATIENCE):
        async for event in events:
            if event.kind == kind and worker in (None, event.worker):
                return event
    raise AssertionError(f"the pool has stopped and nothing was {kind}")


def pid_of(pool: procall.Pool | procall.aio.Pool, index: int) -> int:
    """The process of the worker at this place."""
    (pid,) = [worker.pid for worker in pool.workers() if worker.index == index]
    assert pid is not None
    return pid


def children() -> set[int]:
    """Processes that this one has started and not reaped, zombies included."""
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(stat.rpartition(")")[2].split()[1]) == os.getpid():
            found.add(int(entry.name))
    return found


def descriptors() -> int:
    """How many descriptors this process has open. What earlier tests left to the collector is
    gone first.
    """
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
