"""A subject in plain Python that was written from `spec/` alone and imports nothing of Procall.

It speaks the JSON messages of section 18 of `spec/protocol.md` with an engine, whose TCP address is
in `SUBJECT_ENGINE`. `spec/scenarios/README.md` says what it does: `subject.py worker` serves,
`subject.py caller` obeys lines.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

# The interpreter is started without its usual places, so that there is nothing of Procall to find.
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "python")]

from lines import Lines, fill, is_fill  # noqa: E402
from link import NOW, Call, Failure, Link, Refusal  # noqa: E402

ENGINE = os.environ.get("SUBJECT_ENGINE", "")
NAME = os.environ.get("SUBJECT_NAME", "subject")
events: dict[str, list[Any]] = {}


def record(token: str, event: Any) -> None:
    events.setdefault(token, []).append(event)


async def total(call: Call) -> int:
    sum_ = 0
    async for item in call.items():
        sum_ += item
    return sum_


async def each(call: Call, values: list[int]) -> None:
    for value in values:
        await call.send(value)


async def mirror(call: Call) -> None:
    async for item in call.items():
        await call.send(item)


async def after(call: Call) -> None:
    for item in reversed([item async for item in call.items()]):
        await call.send(item)


async def first(call: Call, n: int) -> None:
    items = call.items()
    for _ in range(n):
        await call.send(await anext(items))


async def broken(call: Call, n: int) -> None:
    for i in range(n):
        await call.send(i)
    raise Failure(f"after {n} items")


async def endless(call: Call, token: str) -> None:
    made = 0
    events[token] = [0]
    try:
        while True:
            await call.send(made)
            made += 1
            events[token] = [made]
    finally:
        record(token, "cancelled")


async def sleep(call: Call, token: str, ms: int) -> int:
    record(token, "started")
    try:
        await asyncio.sleep(ms / 1000)
    except asyncio.CancelledError:
        record(token, "cancelled")
        raise
    record(token, "ended")
    return ms


async def empty(call: Call) -> None:
    pass


async def echo(call: Call, value: Any) -> Any:
    return value


async def named(call: Call, text: str) -> str:
    return f"größe.名前: {text}"


async def add(call: Call, a: int, b: int) -> int:
    return a + b


async def swap(call: Call, data: bytes, size: int) -> bytes:
    if not is_fill(data):
        raise Failure("these bytes are not the pattern")
    return fill(size)


async def note(call: Call, token: str, event: Any) -> None:
    record(token, event)


async def happened(call: Call, token: str) -> list[Any]:
    return events.get(token, [])


async def fail(call: Call, message: str) -> None:
    raise Failure(message)


async def bad_result(call: Call) -> int:
    return 2**64


async def large(call: Call, size: int) -> bytes:
    return fill(size)


async def die(call: Call, code: int) -> None:
    os._exit(code)


async def die_once(call: Call, token: str) -> str:
    """Exits when it is called with a token for the first time, whichever worker that was."""
    mark = Path(os.environ["SUBJECT_FOLDER"]) / f"died {token}"
    if not mark.exists():
        mark.touch()
        os._exit(1)
    return token


async def steps(call: Call, n: int) -> int:
    for step in range(1, n + 1):
        call.progress(step, n, f"step {step}")
    return n


async def facts(call: Call) -> dict[str, Any]:
    left = call.remaining_ms()
    return {"method": call.method, "meta": call.meta, "remaining_ms": left}


async def who(call: Call) -> dict[str, Any]:
    return {"language": "stdlib", "pid": os.getpid()}


async def hop(call: Call, targets: list[str], method: str, params: list[Any]) -> Any:
    """Calls the method at the last of the targets, through all the others."""
    target, *others = targets
    wanted = (
        (f"{target}.hop", [others, method, params]) if others else (f"{target}.{method}", params)
    )
    # The engine leads to everybody, so the link that the call came by does for this one.
    onwards = call.link.start(*wanted, timeout_ms=call.remaining_ms())
    try:
        return await onwards.result()
    except asyncio.CancelledError:
        onwards.cancel()
        raise


# Each with the JSON Schema of its params.
INTEGER, TEXT, ANY = {"type": "integer"}, {"type": "string"}, {}
TEXTS, LIST = {"type": "array", "items": TEXT}, {"type": "array"}
BYTES = {"type": "string", "contentEncoding": "base64", "x-procall": "bytes"}
METHODS: list[tuple[str, Any, str, dict[str, Any]]] = [
    ("empty", empty, "unary", {}),
    ("echo", echo, "unary", {"value": ANY}),
    ("größe.名前", named, "unary", {"text": TEXT}),
    ("add", add, "unary", {"a": INTEGER, "b": INTEGER}),
    ("swap", swap, "unary", {"data": BYTES, "size": INTEGER}),
    ("total", total, "items_in", {}),
    ("each", each, "items_out", {"values": LIST}),
    ("mirror", mirror, "duplex", {}),
    ("after", after, "duplex", {}),
    ("first", first, "duplex", {"n": INTEGER}),
    ("broken", broken, "items_out", {"n": INTEGER}),
    ("endless", endless, "items_out", {"token": TEXT}),
    ("sleep", sleep, "unary", {"token": TEXT, "ms": INTEGER}),
    ("note", note, "unary", {"token": TEXT, "event": ANY}),
    ("happened", happened, "unary", {"token": TEXT}),
    ("fail", fail, "unary", {"message": TEXT}),
    ("bad_result", bad_result, "unary", {}),
    ("large", large, "unary", {"size": INTEGER}),
    ("die", die, "unary", {"code": INTEGER}),
    ("die_once", die_once, "unary", {"token": TEXT}),
    ("steps", steps, "unary", {"n": INTEGER}),
    ("facts", facts, "unary", {}),
    ("who", who, "unary", {}),
    ("hop", hop, "unary", {"targets": TEXTS, "method": TEXT, "params": LIST}),
]


def document() -> dict[str, Any]:
    """What is registered: section 12."""
    methods = [
        {
            "name": name if "." in name else f"{NAME}.{name}",
            "params": list(properties),
            "params_schema": {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            },
            "shape": shape,
        }
        for name, _, shape, properties in METHODS
    ]
    concurrency = int(os.environ.get("SUBJECT_CONCURRENCY", "128"))
    return {"name": NAME, "concurrency": concurrency, "methods": methods}


async def serve() -> None:
    handlers = {name: (handler, list(names)) for name, handler, _, names in METHODS}
    while True:
        try:
            link = await Link.connect(ENGINE, NAME, handlers)
            await link.register(document())
        except OSError:
            # An engine that is started again takes a moment until it listens.
            await asyncio.sleep(0.05)
            continue
        print(f"registered with {ENGINE}", file=sys.stderr, flush=True)
        await link.ended()


class Caller:
    """What the lines ask for."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self.targets: dict[str, str] = {}
        self.calls: dict[int, Any] = {}

    def begin(self, command: dict[str, Any]) -> Any:
        """Begins at once, in the order of the lines; what it gives is to be awaited."""
        return getattr(self, command["do"])(command)

    async def connect(self, command):
        self.links[command["as"]] = await Link.connect(ENGINE, "caller", {})
        self.targets[command["as"]] = command["target"]
        return {}

    def full(self, command):
        """The method's full name: a bare one is one of the service that was connected to."""
        method = command["method"]
        return method if "." in method else f"{self.targets[command['on']]}.{method}"

    def start(self, command, streams):
        named = {
            name: command[name]
            for name in ("deadline_ms", "key", "to", "wait", "idempotent", "meta")
            if name in command
        }
        timeout_ms = named.pop("deadline_ms", 30_000)
        meta = dict(named.pop("meta", {}))
        meta |= {name: named.pop(name) for name in ("key", "wait") if name in named}
        call = self.links[command["on"]].start(
            self.full(command),
            command.get("params", []),
            timeout_ms=timeout_ms,
            meta=meta,
            items_in="items" in command or bool(command.get("sends")),
            items_out=streams,
            **named,
        )
        self.calls[command["id"]] = call
        return call

    def call(self, command):
        return self.outcome(self.start(command, False), command)

    async def outcome(self, call, command):
        if "items" in command:
            for item in command["items"]:
                await call.send(item)
            call.finish()
        result = await call.result()
        return {"result": result} | ({"progress": call.reports} if command.get("progress") else {})

    async def cancel(self, command):
        self.calls[command["call"]].cancel()
        return {}

    leave = cancel

    def open(self, command):
        self.start(command, True)
        return NOW

    async def next(self, command):
        items, count = [], command.get("count")
        call = self.calls[command["call"]]
        try:
            while count is None or len(items) < count:
                items.append(await call.next())
        except StopAsyncIteration:
            return {"items": items, "end": True}
        except Refusal as refusal:
            return {"items": items, "error": refusal.error}
        return {"items": items}

    async def send(self, command):
        for item in command["items"]:
            await self.calls[command["call"]].send(item)
        return {}

    async def finish(self, command):
        self.calls[command["call"]].finish()
        return {}

    def notify(self, command):
        meta = command.get("meta", {})
        self.links[command["on"]].notify(self.full(command), command.get("params", []), meta)
        return NOW


async def obey() -> None:
    caller = Caller()
    lines = await Lines.open()
    tasks = set()

    async def answer(number: int, begun: Any) -> None:
        try:
            answer = await begun
        except Refusal as refusal:
            answer = {"error": refusal.error}
        except Exception as broken:
            answer = {"broken": f"{type(broken).__name__}: {broken}"}
        lines.write({"id": number, **answer})

    async for command in lines:
        try:
            begun = caller.begin(command)
        except Refusal as refusal:
            lines.write({"id": command["id"], "error": refusal.error})
            continue
        task = asyncio.create_task(answer(command["id"], begun))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "worker" else obey())
