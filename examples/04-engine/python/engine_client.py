"""A client of the engine in plain Python: the standard library, TCP and JSON, nothing of Procall.

It registers `math.add`, answers calls of it, says every few seconds that it is alive,
and prints what arrives.

    python engine_client.py --addr 127.0.0.1:8080 --heartbeat 5 --run-for 30

Each message is JSON behind its length, four bytes with the highest first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import struct
import sys
from datetime import UTC, datetime
from typing import Any

LENGTH = struct.Struct(">I")
MAX_MESSAGE = 64 * 1024 * 1024

REGISTER = {
    "type": "register",
    "name": "example_client",
    "description": "Provides math.add",
    "methods": [
        {
            "name": "math.add",
            "params_schema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
                "required": ["a", "b"],
                "additionalProperties": False,
            },
            "result_schema": {"type": "number"},
        }
    ],
}


class Failure(Exception):
    """Why a call fails, with the code that its caller gets."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def serve(method: str, params: Any) -> Any:
    """Does what a call asks for."""
    if method != "math.add":
        raise Failure("method_not_found", f"no handler for method {method}")
    if isinstance(params, list) and len(params) == 2:
        params = {"a": params[0], "b": params[1]}
    if not isinstance(params, dict) or not (
        is_number(params.get("a")) and is_number(params.get("b"))
    ):
        raise Failure("invalid_params", "expected the numbers 'a' and 'b'")
    return params["a"] + params["b"]


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
        # One write for both: messages of two tasks cannot mix.
        self.writer.write(LENGTH.pack(len(data)) + data)
        await self.writer.drain()

    async def receive(self) -> Any | None:
        """The next message; None at the end."""
        try:
            (length,) = LENGTH.unpack(await self.reader.readexactly(LENGTH.size))
            if length > MAX_MESSAGE:
                raise ConnectionError(f"a message of {length} bytes is too long")
            return json.loads(await self.reader.readexactly(length))
        except asyncio.IncompleteReadError:
            return None

    async def listen(self) -> None:
        """Answers and prints what arrives, until the engine closes the connection."""
        while (message := await self.receive()) is not None:
            print(json.dumps(message), flush=True)
            match message.get("type"):
                case "invokefunctionmessage" | "call":
                    await self.send(answer(message))
                case "ping":
                    await self.send({**message, "type": "pong"})
        print("the engine closed the connection", file=sys.stderr)

    async def beat(self, period: float) -> None:
        """Says at once, and then again and again, that this client is alive."""
        while True:
            now = datetime.now(UTC).isoformat()
            beat = {
                "type": "notify",
                "to": None,
                "method": "client.heartbeat",
                "params": {"ts": now},
            }
            await self.send(beat)
            await asyncio.sleep(period)


def answer(call: dict[str, Any]) -> dict[str, Any]:
    result = {"type": "result", "id": call.get("id")}
    try:
        return {**result, "ok": True, "result": serve(call.get("method", ""), call.get("params"))}
    except Failure as failure:
        error = {"code": failure.code, "message": str(failure)}
        return {**result, "ok": False, "error": error}


async def run(addr: str, heartbeat: float, run_for: float | None) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    host, _, port = addr.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    client = Client(reader, writer)
    await client.send(REGISTER)
    listening = asyncio.create_task(client.listen())
    tasks = [listening, asyncio.create_task(stop.wait())]
    if heartbeat > 0:
        tasks.append(asyncio.create_task(client.beat(heartbeat)))
    try:
        # Whatever is done first is the end: the time, a signal, the engine, or an error.
        done, _ = await asyncio.wait(tasks, timeout=run_for, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return 1 if listening in done and not stop.is_set() else 0
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()


def arguments() -> argparse.Namespace:
    env = os.environ
    parser = argparse.ArgumentParser(description="A client of the engine in plain Python.")
    parser.add_argument(
        "--addr",
        default=env.get("ENGINE_ADDR", "127.0.0.1:8080"),
        metavar="HOST:PORT",
        help="where the engine listens (ENGINE_ADDR; %(default)s)",
    )
    # argparse runs defaults that are texts through `type`: a wrong variable is told like an option.
    parser.add_argument(
        "--heartbeat",
        type=float,
        default=env.get("ENGINE_HEARTBEAT", "5"),
        metavar="SECONDS",
        help="time between two signs of life, 0 for none (ENGINE_HEARTBEAT; %(default)s)",
    )
    parser.add_argument(
        "--run-for",
        type=float,
        default=env.get("ENGINE_RUN_FOR"),
        metavar="SECONDS",
        help="end after this time (ENGINE_RUN_FOR; by default it runs until Ctrl-C)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    try:
        sys.exit(asyncio.run(run(options.addr, options.heartbeat, options.run_for)))
    except (OSError, ValueError) as error:
        sys.exit(f"{options.addr}: {error}")
