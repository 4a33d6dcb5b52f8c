"""A peer that sends whatever bytes it likes, and the MessagePack that it takes to read answers."""

import contextlib
import itertools
import json
import queue
import socket
import struct
import threading
from typing import Any

from runner.processes import PATIENCE, Silent

LENGTH = struct.Struct(">I")
numbers = itertools.count(1)


class NotHere(Exception):
    """A value that the lines of subjects have no word for: a typed buffer."""


def unpack(data: bytes) -> tuple[Any, int]:
    """The first value in the bytes, and how many it takes."""
    kind, at = data[0], 1

    def take(form: str) -> Any:
        nonlocal at
        shape = struct.Struct(f">{form}")
        (value,) = shape.unpack_from(data, at)
        at += shape.size
        return value

    def chunk(length: int) -> bytes:
        nonlocal at
        at += length
        return data[at - length : at]

    def value() -> Any:
        nonlocal at
        found, length = unpack(data[at:])
        at += length
        return found

    def array(length: int) -> list[Any]:
        return [value() for _ in range(length)]

    def pairs(length: int) -> dict[str, Any]:
        return {value(): value() for _ in range(length)}

    match kind:
        case _ if kind < 0x80:
            found: Any = kind
        case _ if kind < 0x90:
            found = pairs(kind & 0xF)
        case _ if kind < 0xA0:
            found = array(kind & 0xF)
        case _ if kind < 0xC0:
            found = chunk(kind & 0x1F).decode()
        case 0xC0:
            found = None
        case 0xC2 | 0xC3:
            found = kind == 0xC3
        case 0xC4 | 0xC5 | 0xC6:
            found = chunk(take("BHI"[kind - 0xC4]))
        case 0xCA | 0xCB:
            found = take("fd"[kind - 0xCA])
        case _ if 0xCC <= kind <= 0xD3:
            found = take("BHIQbhiq"[kind - 0xCC])
        case 0xD9 | 0xDA | 0xDB:
            found = chunk(take("BHI"[kind - 0xD9])).decode()
        case 0xDC | 0xDD:
            found = array(take("HI"[kind - 0xDC]))
        case 0xDE | 0xDF:
            found = pairs(take("HI"[kind - 0xDE]))
        case _ if kind >= 0xE0:
            found = kind - 256
        case _:
            raise NotHere(f"{kind:#x}")
    return found, at


class Raw:
    """One end of a link. Pings and registrations are answered while nobody asks what was heard."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.heard: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    @classmethod
    def connect(cls, address: str) -> "Raw":
        scheme, _, place = address.partition(":")
        if scheme == "unix":
            link = socket.socket(socket.AF_UNIX)
            link.connect(place)
        else:
            host, _, port = place.rpartition(":")
            link = socket.create_connection((host, int(port)))
        return cls(link)

    def say(self, message: bytes) -> None:
        self.link.sendall(LENGTH.pack(len(message)) + message)

    def hear(self) -> dict[str, Any] | None:
        """The next message; `None` at the end."""
        try:
            return self.heard.get(timeout=PATIENCE)
        except queue.Empty:
            raise Silent("nothing was heard") from None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            # The other side may have ended it.
            self.link.shutdown(socket.SHUT_RDWR)
        self.reader.join()
        self.link.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while (head := self._exactly(LENGTH.size)) is not None:
                message = self._exactly(LENGTH.unpack(head)[0])
                if message is None:
                    break
                if (heard := self._understood(message)) is not None:
                    self.heard.put(heard)
        self.heard.put(None)

    def _understood(self, message: bytes) -> dict[str, Any] | None:
        if message[:1] == b"{":
            return {"json": json.loads(message)}
        header, length = unpack(message)
        match header[0]:
            case 2:
                # What it serves, in a message with an id of one byte.
                self.say(bytes([0x93, 0x03, header[1], 0x00]))
            case 13:
                self.say(bytes([0x92, 0x0E]) + message[2:length])
            case _:
                body = message[length:]
                return {"header": header, "body": unpack(body)[0] if body else None}
        return None

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            part = self.link.recv(count - len(data))
            if not part:
                return None
            data += part
        return data


def listen(folder: str, kind: str) -> tuple[socket.socket, str]:
    """A place where one subject may come, and its address."""
    if kind == "unix":
        door = socket.socket(socket.AF_UNIX)
        path = f"{folder}/raw-{next(numbers)}.sock"
        door.bind(path)
        address = f"unix:{path}"
    else:
        door = socket.create_server(("127.0.0.1", 0))
        address = f"tcp:127.0.0.1:{door.getsockname()[1]}"
    door.listen(1)
    door.settimeout(PATIENCE)
    return door, address
