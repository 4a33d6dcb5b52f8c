"""A service whose handlers misbehave, for the tests."""

import ctypes
import os
import sys
import time
from collections.abc import Iterator

import procall

faulty = procall.Service("faulty")


@faulty.method
def count(what: str = "") -> Iterator[int]:
    try:
        for at in range(1_000_000):
            if at == 3 and what == "exit":
                sys.exit(5)
            if at == 3 and what == "interrupt":
                raise KeyboardInterrupt
            yield at
    finally:
        print("closed", flush=True)


@faulty.method
def stubborn() -> Iterator[int]:
    try:
        yield 1
        yield 2
    finally:
        print("closing", flush=True)
        raise ValueError("even at the end")


@faulty.method
def leave(code: int | str | None) -> None:
    sys.exit(code)


@faulty.method
def interrupt() -> None:
    raise KeyboardInterrupt


@faulty.method
def sleep(seconds: float) -> None:
    print("sleeping", flush=True)
    time.sleep(seconds)


@faulty.method
def hold_gil(fifo: str) -> int:
    """Reads in C with the GIL held, so that no other thread of the process gets on."""
    opened = os.open(fifo, os.O_RDONLY)
    buffer = ctypes.create_string_buffer(8)
    return int(ctypes.PyDLL(None).read(opened, buffer, 8))


@faulty.method
def alive() -> bool:
    return True


if __name__ == "__main__":
    faulty.run()
    print("done", flush=True)
