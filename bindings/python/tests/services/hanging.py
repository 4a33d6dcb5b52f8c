"""A service whose handlers do not come back, for the tests."""

import ctypes
import os
import time

import procall

hanging = procall.Service("hanging")


@hanging.method
def pid() -> int:
    return os.getpid()


@hanging.method
def spin() -> None:
    while True:
        pass


@hanging.method
def doze(seconds: float) -> None:
    time.sleep(seconds)


@hanging.method
def hold_the_lock(seconds: int) -> None:
    """No other thread runs Python meanwhile."""
    ctypes.PyDLL(None).sleep(seconds)


@hanging.method
def heed(ctx: procall.Context) -> None:
    while not ctx.cancelled:
        time.sleep(0.001)


if __name__ == "__main__":
    hanging.run()
