"""How messages travel: JSON in UTF-8, behind its length in four bytes, the highest first.

TCP carries a stream of bytes and knows nothing of messages: one `send` may arrive in several
pieces, and several may arrive in one.
The length says where a message ends.
"""

import asyncio
import json
import socket
import struct
from typing import Any

LENGTH = struct.Struct(">I")

# Without a bound, four wrong bytes would make us wait for, and keep, up to 4 GiB.
MAX_MESSAGE = 1 << 20


class BadMessage(Exception):
    """The bytes were there, and are no JSON object. The next message can still be read."""


def encode(message: dict[str, Any]) -> bytes:
    # `NaN` is not JSON, though Python would write it: better an error here than one at the reader.
    data = json.dumps(message, allow_nan=False).encode()
    if len(data) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(data)} bytes is longer than {MAX_MESSAGE}")
    return LENGTH.pack(len(data)) + data


def decode(data: bytes) -> dict[str, Any]:
    try:
        # UnicodeDecodeError and JSONDecodeError are ValueErrors.
        # A long row of brackets is a RecursionError.
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise BadMessage(f"not an object but {type(message).__name__}")
    return message


def length_of(head: bytes) -> int:
    (length,) = LENGTH.unpack(head)
    if length > MAX_MESSAGE:
        # The reader cannot skip what it does not want to read, so this ends the connection.
        raise ConnectionError(f"a message of {length} bytes is longer than {MAX_MESSAGE}")
    return int(length)


def receive_exactly(sock: socket.socket, count: int) -> bytes:
    """`recv` returns what there is, at least one byte; none is the end of the stream."""
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def receive(sock: socket.socket) -> dict[str, Any]:
    """The next message. EOFError at the end, BadMessage when it is none."""
    return decode(receive_exactly(sock, length_of(receive_exactly(sock, LENGTH.size))))


async def receive_async(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The same for asyncio: `readexactly` has the loop, its IncompleteReadError is an EOFError."""
    return decode(await reader.readexactly(length_of(await reader.readexactly(LENGTH.size))))
