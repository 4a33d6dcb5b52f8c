"""A service that calls on: ``hopper.py KIND NAME CONCURRENCY``.

``go`` calls the first of the services that it is given with the rest, and tells how many calls
that made, or the cycle that the innermost call met and whether that was executed.
"""

import asyncio
import sys
import threading
from typing import Any

import procall

kind, name, concurrency = sys.argv[1:]
slots = int(concurrency)
hopper = procall.Service(name, concurrency=slots, threads=slots if kind == "plain" else 0)

# Two threads at once in ``sys.stdin.readline`` may lose a line to the buffer of one of them.
reading = threading.Lock()


def read_line() -> str:
    with reading:
        return sys.stdin.readline()


def met(error: procall.Deadlock) -> dict[str, Any]:
    return {"chain": list(error.chain), "executed": error.executed, "says": error.message}


if kind == "plain":

    @hopper.method
    def go(path: list[str]) -> Any:
        if not path:
            return 1
        with procall.connect(path[0]) as client:
            try:
                rest = client.go(path[1:])
            except procall.Deadlock as error:
                return met(error)
        return rest + 1 if isinstance(rest, int) else rest

    @hopper.method
    def hold() -> None:
        print("held", flush=True)
        read_line()

else:
    left: set[asyncio.Task[None]] = set()

    async def call_on(path: list[str]) -> Any:
        async with procall.aio.connect(path[0]) as client:
            try:
                rest = await client.go(path[1:])
            except procall.Deadlock as error:
                return met(error)
        return rest + 1 if isinstance(rest, int) else rest

    @hopper.method(name="go")
    async def go_soon(path: list[str]) -> Any:
        if not path:
            return 1
        # The chain goes where the task's context goes.
        return await asyncio.create_task(call_on(path))

    @hopper.method(name="hold")
    async def hold_soon() -> None:
        print("held", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, read_line)

    @hopper.method
    async def leave(path: list[str]) -> None:
        """Returns at once, and calls on afterwards."""

        async def later() -> None:
            await asyncio.get_running_loop().run_in_executor(None, read_line)
            print(await call_on(path), flush=True)

        task = asyncio.create_task(later())
        left.add(task)
        task.add_done_callback(left.discard)


if __name__ == "__main__":
    hopper.run()
