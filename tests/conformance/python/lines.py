"""The lines of a subject: JSON, one object a line, with marks for values that JSON has no word for.

Nothing of Procall is needed here, so the stdlib subject uses it too.
"""

import asyncio
import base64
import json
import math
import sys
from typing import Any

SAFE = 2**53 - 1
CYCLE = bytes(range(251))


def fill(size: int) -> bytes:
    """The bytes that everybody knows: 0 to 250, again and again."""
    return (CYCLE * (size // 251 + 1))[:size]


def is_fill(data: bytes) -> bool:
    return data == fill(len(data))


def read(value: Any) -> Any:
    """A value of a line as the language's own."""
    if isinstance(value, list):
        return [read(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((mark, content),) = value.items()
        match mark:
            case "$bytes":
                return base64.b64decode(content)
            case "$fill":
                return fill(content)
            case "$int":
                return int(content)
            case "$float":
                return float(content)
            case "$text":
                return content[0] * content[1]
    return {key[1:] if key[:2] == "$$" else key: read(each) for key, each in value.items()}


def write(value: Any) -> Any:
    """A value of the language as one for a line."""
    match value:
        case bytes() if len(value) > 256 and is_fill(value):
            return {"$fill": len(value)}
        case bytes():
            return {"$bytes": base64.b64encode(value).decode()}
        case bool() | None:
            return value
        case int() if abs(value) > SAFE:
            return {"$int": str(value)}
        case float() if not math.isfinite(value) or value == int(value):
            return {"$float": repr(value)}
        case list() | tuple():
            return [write(each) for each in value]
        case dict():
            return {f"${key}" if key[:1] == "$" else key: write(value[key]) for key in value}
    return value


class Lines:
    """Standard input and output of the process."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    @classmethod
    async def open(cls) -> "Lines":
        reader = asyncio.StreamReader(limit=64 << 20)
        protocol = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        return cls(reader)

    def __aiter__(self) -> "Lines":
        return self

    async def __anext__(self) -> dict[str, Any]:
        line = await self._reader.readline()
        if not line:
            raise StopAsyncIteration
        return read(json.loads(line))

    def write(self, message: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(write(message)) + "\n")
        sys.stdout.flush()
