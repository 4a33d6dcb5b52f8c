"""The Python worker of every scenario; what its methods do is said in the README."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import procall

chaos = procall.Service("chaos")
folder = os.environ["CHAOS_LEDGER"]
ledger = os.open(os.path.join(folder, str(os.getpid())), os.O_CREAT | os.O_APPEND | os.O_WRONLY)


def note(*words: object) -> None:
    # One write for each line, so that none is torn when the process is killed.
    os.write(ledger, (" ".join(map(str, words)) + "\n").encode())


@chaos.method
def work(id: int, nonce: int, millis: int, payload: bytes) -> tuple[int, bytes]:
    note("S", id)
    if millis > 0:
        time.sleep(millis / 1000)
    note("E", id)
    return nonce, payload


@chaos.method
async def wait(id: int, millis: int) -> int:
    note("S", id)
    try:
        await asyncio.sleep(millis / 1000)
    except asyncio.CancelledError:
        note("C", id, time.time_ns())
        raise
    note("E", id)
    return id


@chaos.method
def count(id: int, n: int, most: int) -> Iterator[tuple[int, bytes]]:
    made = 0
    try:
        while made < n:
            made += 1
            at = made - 1
            yield at, bytes([at & 255]) * ((at * 7919 + id) % (most + 1))
    finally:
        note("P", id, made, time.time_ns())


@chaos.method
def swallow(payload: bytes) -> int:
    return len(payload)


@chaos.method
def give(size: int) -> bytes:
    return bytes(size)


@chaos.method(idempotent=True)
def fickle(id: int, nonce: int, millis: int, payload: bytes) -> tuple[int, bytes]:
    note("A", id)
    if os.path.exists(os.path.join(folder, "down")):
        raise procall.Unavailable("down, as wanted")
    return work(id, nonce, millis, payload)


@chaos.method(idempotent=True)
def die(id: int, way: str) -> int:
    note("D", id)
    if way == "exit":
        os._exit(7)
    elif way == "exit-call":
        sys.exit(7)
    elif way == "abort":
        os.abort()
    os.kill(os.getpid(), signal.SIGSEGV if way == "segv" else signal.SIGKILL)
    time.sleep(60)
    return id


@chaos.method
def spew(size: int) -> int:
    """Gives the longest time that one write took, in microseconds."""
    chunk = bytes(at % 256 for at in range(1 << 16)).replace(b"\n", b"\0")
    longest = 0
    for number in range(size // len(chunk)):
        begun = time.monotonic_ns()
        left = memoryview(chunk)
        while left:
            left = left[os.write(1 + number % 2, left) :]
        longest = max(longest, time.monotonic_ns() - begun)
    return longest // 1000


@chaos.method
def heard(number: int, payload: bytes) -> None:
    note("N", number, time.time_ns())


if __name__ == "__main__":
    start = os.environ.get("CHAOS_START")
    if start and not os.path.exists(os.path.join(folder, "healed")):
        for line in range(30):
            print("line", line, "of a worker that does not come up", file=sys.stderr)
        if start == "silent":
            time.sleep(3600)
        elif start == "exit":
            sys.exit(3)
        threading.Timer(1.0, lambda: os._exit(4)).start()
    chaos.run()
