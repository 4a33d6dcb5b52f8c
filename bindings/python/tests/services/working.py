"""A service whose handlers say how far they have come, for the tests."""

import asyncio
import os
from collections.abc import Iterator

import procall

working = procall.Service("working")


def wait_for(fifo: str) -> None:
    """Until somebody has opened it for writing."""
    with open(fifo, "rb"):
        pass


@working.method
def loop(n: int, fifo: str) -> int:
    """Waits after the first report, which is then the only one that was sent at once."""
    done = 0
    for at in procall.tqdm(range(n), desc="lifting"):
        if at == 0:
            wait_for(fifo)
        done += at
    return done


@working.method
def by_hand() -> str:
    with procall.tqdm(total=10, desc="lifting") as bar:
        bar.set_postfix(loss=0.25, refresh=False)
        bar.update(10)
        assert (bar.n, len(bar)) == (10, 10)
    bar.update(1)
    return "done"


@working.method
def stream(n: int) -> Iterator[int]:
    yield from procall.tqdm(range(n))


@working.method
async def soon(n: int) -> int:
    await asyncio.sleep(0)
    return sum(1 for _ in procall.tqdm(iter(range(n)), total=n))


@working.method
async def on_a_thread(n: int) -> int:
    return await asyncio.to_thread(lambda: sum(1 for _ in procall.tqdm(range(n))))


@working.method
def outside() -> str:
    """Threads of its own have no call."""
    import threading

    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.extend(procall.tqdm([1, 2])))
    thread.start()
    thread.join()
    return str(seen)


@working.method
def say(text: str) -> None:
    # Without a flush: the pool has the output of its workers unbuffered.
    print(text)


@working.method
def say_and_wait(text: str, fifo: str) -> int:
    print(text)
    wait_for(fifo)
    return os.getpid()


if __name__ == "__main__":
    working.run()
