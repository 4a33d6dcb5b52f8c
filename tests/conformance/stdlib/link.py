"""A link to an engine: the JSON messages of section 18 of `spec/protocol.md`, calls both ways."""

import asyncio
import json
import struct
import sys
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import body

LENGTH = struct.Struct(">I")
LONGEST = 64 << 20
# The first credit of every stream, and how long a caller waits for the verdict: section 20.
ITEMS, BYTES, SLACK = 64, 1 << 20, 0.008


class Failure(Exception):
    """What the handlers of this subject fail with."""


class Refusal(Exception):
    """The error that a call of ours ended with."""

    def __init__(self, code: str, executed: str, message: str = "", **more: Any) -> None:
        super().__init__(f"{code}: {message}")
        fields = [field["path"] for field in more.get("fields", [])]
        self.error = {
            "code": code,
            "executed": executed,
            "message": message,
            "type": more.get("type"),
            "trace": more.get("trace"),
            "fields": fields,
            "candidates": more.get("candidates", []),
            "retry_after": more.get("retry_after_ms") is not None,
        }


class Now:
    """Something to await that is over."""

    def __await__(self) -> Any:
        return {}
        yield


NOW = Now()


class Stream:
    """One direction of items with its credit, as its receiver sees it."""

    def __init__(self, link: "Link", number: Any) -> None:
        self.link, self.number = link, number
        self.arrived: deque[Any] = deque()
        self.count = 0
        self.over = False
        self.news = asyncio.Event()

    def item(self, value: Any) -> None:
        self.arrived.append(value)
        self.count += 1
        self.news.set()

    def end(self) -> None:
        self.over = True
        self.news.set()

    async def take(self) -> Any:
        """The next item; the room that it took is given back."""
        while not self.arrived:
            if self.over:
                raise StopAsyncIteration
            self.news.clear()
            await self.news.wait()
        value = self.arrived.popleft()
        size = len(body.text(value).encode())
        self.link.write({"type": "credit", "id": self.number, "items": 1, "bytes": size})
        return body.plain(value)


class Sender:
    """One direction of items, as its sender sees it."""

    def __init__(self, link: "Link", number: Any) -> None:
        self.link, self.number = link, number
        self.items, self.bytes = ITEMS, BYTES
        self.count = 0
        self.over = False
        self.room = asyncio.Event()

    def credit(self, items: int, size: int) -> None:
        self.items += items
        self.bytes += size
        self.room.set()

    def stop(self) -> None:
        self.over = True
        self.room.set()

    async def send(self, value: Any) -> bool:
        """Sends one item when there is room; false when nobody wants more."""
        value = body.marked(value)
        while not self.over and (self.items < 1 or self.bytes < 1):
            self.room.clear()
            await self.room.wait()
        if self.over:
            return False
        self.items -= 1
        self.bytes -= len(body.text(value).encode())
        self.count += 1
        self.link.write({"type": "item", "id": self.number, "value": value})
        return True

    def finish(self) -> None:
        if not self.over:
            self.link.write({"type": "end", "id": self.number, "count": self.count})
            self.stop()


class Outgoing:
    """A call of ours."""

    def __init__(self, link: "Link", number: int, streams: bool) -> None:
        self.link, self.number = link, number
        self.outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Of a call that nobody waits for, the outcome is for nobody.
        self.outcome.add_done_callback(lambda outcome: outcome.exception())
        self.stream = Stream(link, number)
        self.sender = Sender(link, number)
        self.streams = streams
        self.reports: list[list[Any]] = []
        self.timer: asyncio.TimerHandle | None = None
        self.given_up: str | None = None

    def settle(self, value: Any = None, refusal: Refusal | None = None) -> None:
        self.link.outgoing.pop(self.number, None)
        if self.timer is not None:
            self.timer.cancel()
        if self.outcome.done():
            return
        if self.given_up is not None:
            executed = "yes" if refusal is None else refusal.error["executed"]
            refusal = Refusal(self.given_up, executed, "the caller gave it up")
        if refusal is None:
            self.outcome.set_result(value)
        else:
            self.outcome.set_exception(refusal)
        self.sender.stop()
        self.stream.end()

    def cancel(self, code: str = "CANCELLED") -> None:
        """Asks for the call to end, and waits a little for the verdict."""
        if self.outcome.done() or self.given_up is not None:
            return
        self.given_up = code
        reason = 1 if code == "DEADLINE_EXCEEDED" else 0
        self.link.write({"type": "cancel", "id": self.number, "reason": reason})
        loop = asyncio.get_running_loop()
        unknown = Refusal(code, "maybe", "nobody said in time whether it ran")
        self.timer = loop.call_later(SLACK, self.settle, None, unknown)

    async def result(self) -> Any:
        return await asyncio.shield(self.outcome)

    async def next(self) -> Any:
        try:
            return await self.stream.take()
        except StopAsyncIteration:
            await self.result()
            raise

    async def send(self, value: Any) -> bool:
        return await self.sender.send(value)

    def finish(self) -> None:
        self.sender.finish()


class Call:
    """A call of a peer's, as its handler sees it."""

    def __init__(self, link: "Link", message: dict[str, Any]) -> None:
        self.link, self.number = link, message.get("id")
        self.method = message["method"]
        self.meta = body.plain(message.get("meta") or {})
        timeout = message.get("timeout_ms")
        self.until = None if timeout is None else time.monotonic() + timeout / 1000
        self.stream = Stream(link, self.number)
        self.sender = Sender(link, self.number)
        self.gives = bool(message.get("items_out"))
        self.late = False
        self.started = False
        self.task: asyncio.Task[None] | None = None

    def remaining_ms(self) -> int | None:
        """What is left of the deadline, in whole milliseconds rounded up."""
        if self.until is None:
            return None
        return max(0, -int(-(self.until - time.monotonic()) * 1000 // 1))

    async def items(self) -> AsyncIterator[Any]:
        while True:
            try:
                item = await self.stream.take()
            except StopAsyncIteration:
                return
            yield item

    async def send(self, value: Any) -> None:
        await self.sender.send(value)

    def progress(self, done: int, total: int, text: str) -> None:
        report = {"type": "progress", "id": self.number, "done": done, "total": total, "text": text}
        self.link.write(report)

    def cancel(self, late: bool) -> None:
        self.late = late
        if self.task is not None:
            self.task.cancel()

    async def run(self, handler: Any, args: dict[str, Any]) -> None:
        self.started = True
        result = await handler(self, **args)
        if self.gives:
            self.sender.finish()
        elif self.number is not None:
            answer = {"type": "result", "id": self.number, "ok": True}
            try:
                self.link.write({**answer, "result": body.marked(result)})
            except ValueError as wrong:
                self.refuse("INVALID_RESULT", "yes", str(wrong))

    def refuse(self, code: str, executed: str, message: str, **more: Any) -> None:
        error = {"code": code, "executed": executed, "message": message, **more}
        if self.number is not None:
            self.link.write({"type": "result", "id": self.number, "ok": False, "error": error})

    def over(self, task: asyncio.Task[None]) -> None:
        """The handler has ended: tells why, where it did not answer."""
        self.link.incoming.pop(self.number, None)
        if task.cancelled():
            code = "DEADLINE_EXCEEDED" if self.late else "CANCELLED"
            self.refuse(code, "yes" if self.started else "no", "it is not wanted any more")
        elif (error := task.exception()) is not None:
            if isinstance(error, Refusal):
                message = f"a call of the handler's: {error}"
            else:
                message = str(error)
            trace = "".join(traceback.format_exception(error))[-8192:]
            kind = type(error).__name__
            self.refuse("HANDLER_ERROR", "yes", message, type=kind, trace=trace)


class Link:
    def __init__(self, reader: Any, writer: Any, handlers: dict[str, Any], name: str) -> None:
        self.reader, self.writer, self.handlers, self.name = reader, writer, handlers, name
        self.outgoing: dict[int, Outgoing] = {}
        self.incoming: dict[Any, Call] = {}
        self.registered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.welcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.document: dict[str, Any] = {}
        self.last = 0

    @classmethod
    async def connect(cls, address: str, name: str, handlers: dict[str, Any]) -> "Link":
        host, _, port = address.removeprefix("tcp:").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=LONGEST)
        link = cls(reader, writer, handlers, name)
        link.reading = asyncio.create_task(link.read())
        info = {"name": name, "runtime": "stdlib/1"}
        link.write({"type": "hello", "min": 1, "max": 1, "info": info})
        await link.welcome
        return link

    def write(self, message: dict[str, Any]) -> None:
        data = body.text(message).encode()
        self.writer.write(LENGTH.pack(len(data)) + data)

    async def ended(self) -> None:
        await self.reading

    async def read(self) -> None:
        try:
            while True:
                (length,) = LENGTH.unpack(await self.reader.readexactly(4))
                message = json.loads(await self.reader.readexactly(length))
                for each in message if isinstance(message, list) else [message]:
                    self.handle(each)
        except (asyncio.IncompleteReadError, ConnectionError) as end:
            # What was on its way may have run.
            print(f"the link has ended: {end}", file=sys.stderr, flush=True)
        finally:
            for call in list(self.outgoing.values()):
                call.settle(refusal=Refusal("CONNECTION_LOST", "maybe", "the engine is gone"))
            for served in list(self.incoming.values()):
                served.cancel(False)
            gone = ConnectionError("the engine is gone")
            for waited in (self.welcome, self.registered):
                if not waited.done():
                    waited.set_exception(gone)
                    # It may be that nobody waits for it.
                    waited.exception()

    def handle(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        ours = self.outgoing.get(number)
        theirs = self.incoming.get(number)
        match message["type"]:
            case "welcome":
                self.welcome.set_result(None)
            case "registered":
                self.registered.set_result(None)
            case "call" | "invokefunctionmessage" | "notify":
                self.serve(message)
            case "result" | "error" if ours is not None:
                if message.get("ok"):
                    try:
                        ours.settle(body.plain(message.get("result")))
                    except ValueError as wrong:
                        ours.settle(refusal=Refusal("PROTOCOL_ERROR", "yes", str(wrong)))
                else:
                    error = dict(message.get("error", message))
                    code, executed = error.pop("code"), error.pop("executed", "maybe")
                    ours.settle(refusal=Refusal(code, executed, **error))
            case "error":
                print(f"the engine complains: {message}", file=sys.stderr, flush=True)
            case "fault":
                raise ConnectionError(f"the engine ends the link: {message}")
            # Both sides may have a call of one number; an item of one that is over is late.
            case "item" if ours is not None and ours.streams:
                ours.stream.item(message.get("value"))
            case "item" if theirs is not None:
                theirs.stream.item(message.get("value"))
            case "end" if ours is not None and ours.streams:
                if message["count"] == ours.stream.count:
                    ours.settle()
                else:
                    ours.settle(refusal=Refusal("PROTOCOL_ERROR", "yes", "items are missing"))
            case "end" if theirs is not None:
                theirs.stream.end()
            case "credit":
                for call in (ours, theirs):
                    if call is not None:
                        call.sender.credit(message["items"], message["bytes"])
            case "progress" if ours is not None:
                report = [message["done"], message.get("total"), message.get("text", "")]
                ours.reports.append(report)
            case "cancel" if theirs is not None:
                theirs.cancel(message.get("reason") == 1)
            case "ping":
                self.write({**message, "type": "pong"})
        # Whatever else comes is for those who know it.

    def serve(self, message: dict[str, Any]) -> None:
        try:
            call = Call(self, message)
            params = body.plain(message.get("params"))
        except ValueError as wrong:
            refusal = {"code": "INVALID_ARGUMENT", "executed": "no", "message": str(wrong)}
            answer = {"type": "result", "id": message.get("id"), "ok": False, "error": refusal}
            return self.write(answer)
        handler, names = self.handlers.get(call.method.removeprefix(f"{self.name}."), (None, []))
        if handler is None:
            return call.refuse("NOT_FOUND", "no", f"nobody serves {call.method}")
        params = [] if params is None else params
        args = params if isinstance(params, dict) else dict(zip(names, params, strict=False))
        wrong = set(names) ^ set(args)
        if wrong or len(params) > len(names):
            fields = [{"path": f"/{name}", "message": "missing or unknown"} for name in wrong]
            return call.refuse("INVALID_ARGUMENT", "no", "the arguments do not fit", fields=fields)
        if message.get("timeout_ms") == 0:
            return call.refuse("DEADLINE_EXCEEDED", "no", "its time was over when it came")
        call.task = asyncio.create_task(call.run(handler, args))
        if call.number is not None:
            self.incoming[call.number] = call
            if call.until is not None and not message.get("opening"):
                loop = asyncio.get_running_loop()
                loop.call_later(call.until - time.monotonic(), call.cancel, True)
        call.task.add_done_callback(call.over)

    async def register(self, document: dict[str, Any]) -> None:
        self.document = document
        self.write({"type": "register", "id": "registration", **document})
        await self.registered

    def start(
        self,
        method: str,
        params: Any,
        *,
        timeout_ms: int | None = None,
        meta: dict[str, Any] | None = None,
        items_in: bool = False,
        items_out: bool = False,
        to: str | None = None,
        idempotent: bool = False,
    ) -> Outgoing:
        """Starts a call."""
        if timeout_ms == 0:
            raise Refusal("DEADLINE_EXCEEDED", "no", "its time was over before it began")
        self.last += 1
        message = {"type": "call", "id": self.last, "method": method, "timeout_ms": timeout_ms}
        flags = {"items_in": items_in, "items_out": items_out, "idempotent": idempotent}
        message |= {name: True for name, given in flags.items() if given}
        # The usual time of a stream is that for its first item.
        if items_out and timeout_ms == 30_000:
            message["opening"] = True
        call = Outgoing(self, self.last, items_out)
        try:
            message["params"] = body.marked(params)
            message |= {} if to is None else {"to": to}
            message |= {"meta": body.marked(meta)} if meta else {}
            self.write({key: value for key, value in message.items() if value is not None})
        except ValueError as wrong:
            raise Refusal("INVALID_ARGUMENT", "no", str(wrong)) from None
        self.outgoing[self.last] = call
        if timeout_ms is not None and not items_out:
            loop = asyncio.get_running_loop()
            call.timer = loop.call_later(timeout_ms / 1000, call.cancel, "DEADLINE_EXCEEDED")
        return call

    def notify(self, method: str, params: Any, meta: dict[str, Any]) -> None:
        message = {"type": "notify", "method": method, "params": body.marked(params)}
        self.write(message | ({"meta": body.marked(meta)} if meta else {}))
