"""The same with handlers on an event loop: several calls at once, all of which one can block."""

import asyncio
import os
import time

import procall

hanging = procall.Service("hanging", concurrency=8)


@hanging.method
async def block(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - so that the loop answers nothing


@hanging.method
async def sleep(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return os.getpid()


if __name__ == "__main__":
    hanging.run()
