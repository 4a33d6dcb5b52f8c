"""The Python subject of the conformance cases; `spec/scenarios/README.md` says what it does.

`subject.py worker` serves, `subject.py caller` obeys the lines of its standard input.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import procall
from lines import Lines, fill, is_fill

subject = procall.Service(
    os.environ.get("SUBJECT_NAME", "subject"),
    concurrency=int(os.environ["SUBJECT_CONCURRENCY"])
    if "SUBJECT_CONCURRENCY" in os.environ
    else None,
)
events: dict[str, list[Any]] = {}


class Failure(Exception):
    pass


def record(token: str, event: Any) -> None:
    events.setdefault(token, []).append(event)


@subject.method
async def empty() -> None:
    pass


@subject.method
async def echo(value):
    return value


@subject.method(name="größe.名前")
async def named(text: str) -> str:
    return f"größe.名前: {text}"


@subject.method
async def add(a: int, b: int) -> int:
    return a + b


@subject.method
async def swap(data: bytes, size: int) -> bytes:
    if not is_fill(data):
        raise Failure("these bytes are not the pattern")
    return fill(size)


@subject.method
async def total(items: AsyncIterator[int]) -> int:
    sum_ = 0
    async for item in items:
        sum_ += item
    return sum_


@subject.method
async def each(values: list[int]):
    for value in values:
        yield value


@subject.method
async def mirror(items: AsyncIterator):
    async for item in items:
        yield item


@subject.method
async def after(items: AsyncIterator[int]):
    taken = [item async for item in items]
    for item in reversed(taken):
        yield item


@subject.method
async def first(n: int, items: AsyncIterator[int]):
    for _ in range(n):
        yield await anext(items)


@subject.method
async def broken(n: int):
    for i in range(n):
        yield i
    raise Failure(f"after {n} items")


@subject.method
async def endless(token: str):
    made = 0
    record(token, 0)
    try:
        while True:
            yield made
            made += 1
            events[token] = [made]
    finally:
        record(token, "cancelled")


@subject.method
async def sleep(token: str, ms: int) -> int:
    record(token, "started")
    try:
        await asyncio.sleep(ms / 1000)
    except asyncio.CancelledError:
        record(token, "cancelled")
        raise
    record(token, "ended")
    return ms


@subject.method
async def note(token: str, event: Any) -> None:
    record(token, event)


@subject.method
async def happened(token: str) -> list[Any]:
    return events.get(token, [])


@subject.method
async def fail(message: str) -> None:
    raise Failure(message)


@subject.method
async def bad_result():
    return 2**64


@subject.method
async def large(size: int) -> bytes:
    return fill(size)


@subject.method
async def die(code: int) -> None:
    os._exit(code)


@subject.method
async def die_once(token: str) -> str:
    """Exits when it is called with a token for the first time, whichever worker that was."""
    mark = Path(os.environ["SUBJECT_FOLDER"]) / f"died {token}"
    if not mark.exists():
        mark.touch()
        os._exit(1)
    return token


@subject.method
async def steps(ctx: procall.Context, n: int) -> int:
    for step in range(1, n + 1):
        ctx.progress(step, n, f"step {step}")
    return n


@subject.method
async def facts(ctx: procall.Context) -> dict[str, Any]:
    remaining = None if ctx.remaining is None else round(ctx.remaining * 1000)
    return {"method": ctx.method, "meta": ctx.meta, "remaining_ms": remaining}


@subject.method
async def who() -> dict[str, Any]:
    return {"language": "python", "pid": os.getpid()}


@subject.method
async def hop(targets: list[str], method: str, params: list[Any]):
    """Calls the method at the last of the targets, through all the others."""
    target, *others = targets
    async with procall.aio.connect(target, timeout=20) as client:
        if others:
            return await client.call("hop", others, method, params)
        return await client.call(method, *params)


def error_of(error: procall.Error) -> dict[str, Any]:
    return {
        "code": error.code,
        "executed": error.executed,
        "message": str(error),
        "type": error.remote_type,
        "trace": error.remote_traceback,
        "fields": [field.path for field in error.fields],
        "candidates": list(error.candidates),
        "retry_after": error.retry_after is not None,
    }


class Caller:
    """What the lines ask for."""

    def __init__(self) -> None:
        self.channels: dict[str, Any] = {}
        self.streams: dict[int, Any] = {}
        self.tasks: dict[int, asyncio.Task[Any]] = {}

    async def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        try:
            return await getattr(self, command["do"])(command)
        except procall.Error as error:
            return {"error": error_of(error)}

    async def connect(self, command):
        target = command["target"]
        if target == "mem:":
            opening = subject.aio_client()
        else:
            opening = procall.aio.connect(target, timeout=command.get("timeout_ms", 20_000) / 1000)
        self.channels[command["as"]] = await opening
        return {}

    async def pool(self, command):
        options = {name: command[name] for name in ("workers", "queue", "env") if name in command}
        pool = procall.aio.Pool(command["command"], show_output=False, **options)
        self.channels[command["as"]] = await pool
        return {}

    async def close(self, command):
        channel = self.channels.pop(command["as"])
        await (channel.stop() if hasattr(channel, "stop_soon") else channel.close())
        return {}

    def channel(self, command, reports=None):
        options = {
            name: command[name]
            for name in ("key", "to", "wait", "idempotent", "meta")
            if name in command
        }
        if "deadline_ms" in command:
            ms = command["deadline_ms"]
            options["deadline"] = None if ms is None else ms / 1000
        if reports is not None:
            options["progress"] = lambda done, total, text: reports.append([done, total, text])
        channel = self.channels[command["on"]]
        return channel.options(**options) if options else channel

    async def call(self, command):
        reports = [] if command.get("progress") else None
        channel = self.channel(command, reports)
        args, kwargs = params_of(command)
        if "items" in command:
            call = channel.duplex(command["method"], *args, **kwargs)
            for item in command["items"]:
                if not await call.send(item):
                    break
            result = await call.result()
        else:
            self.tasks[command["id"]] = task = asyncio.ensure_future(
                channel.call(command["method"], *args, **kwargs)
            )
            result = await task
        return {"result": result} | ({} if reports is None else {"progress": reports})

    async def cancel(self, command):
        self.tasks[command["call"]].cancel()
        return {}

    async def open(self, command):
        channel = self.channel(command)
        args, kwargs = params_of(command)
        make = channel.duplex if command.get("sends") else channel.stream
        self.streams[command["id"]] = make(command["method"], *args, **kwargs)
        return {}

    async def next(self, command):
        stream, items = self.streams[command["call"]], []
        count = command.get("count")
        try:
            while count is None or len(items) < count:
                items.append(await anext(stream))
        except StopAsyncIteration:
            return {"items": items, "end": True}
        except procall.Error as error:
            return {"items": items, "error": error_of(error)}
        return {"items": items}

    async def send(self, command):
        stream = self.streams[command["call"]]
        for item in command["items"]:
            await stream.send(item)
        return {}

    async def finish(self, command):
        self.streams[command["call"]].finish()
        return {}

    async def leave(self, command):
        await self.streams[command["call"]].aclose()
        return {}

    async def notify(self, command):
        args, kwargs = params_of(command)
        self.channel(command).notify(command["method"], *args, **kwargs)
        return {}


def params_of(command):
    params = command.get("params", [])
    return ([], params) if isinstance(params, dict) else (params, {})


async def obey() -> None:
    caller = Caller()
    lines = await Lines.open()

    async def answer(command: dict[str, Any]) -> None:
        try:
            answer = await caller.handle(command)
        except asyncio.CancelledError:
            # asyncio has its own word for it, which says nothing of the handler.
            answer = {"error": {"code": "CANCELLED", "executed": None}}
        except Exception as broken:
            answer = {"broken": f"{type(broken).__name__}: {broken}"}
        lines.write({"id": command["id"], **answer})

    tasks = set()
    async for command in lines:
        # Tasks begin in the order in which they are made.
        task = asyncio.create_task(answer(command))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        subject.run(name=os.environ.get("SUBJECT_WORKER_NAME"))
    else:
        asyncio.run(obey())
