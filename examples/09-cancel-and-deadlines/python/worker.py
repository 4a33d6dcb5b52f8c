"""The Python worker."""

import asyncio

import procall

work = procall.Service("work")
cancelled = 0


@work.method
async def slowly(seconds: float) -> str:
    global cancelled
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        cancelled += 1
        raise
    return "done"


@work.method
async def remaining(ctx: procall.Context) -> float | None:
    return ctx.remaining  # seconds; what the handler calls has no more than this either


@work.method
async def cancels() -> int:
    return cancelled


if __name__ == "__main__":
    work.run()
