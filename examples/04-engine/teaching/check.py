"""Tries every server with every client, and what clients should not send.

python check.py                  the servers of this folder
python check.py 127.0.0.1:5000   whatever serves `add` and `divide` there, the engine for instance
"""

import asyncio
import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import client_asyncio
import client_threads
import server_asyncio
import server_threads
from client_threads import RemoteError
from methods import METHODS
from wire import LENGTH, receive

Address = tuple[str, int]

# What is called, and what it gives or with which code it fails.
CALLS: list[tuple[str, Any, Any]] = [
    ("add", [2, 3], 5),
    ("add", {"a": 2.5, "b": -1}, 1.5),
    ("divide", [10, 4], 2.5),
    ("divide", [10, 0], "INTERNAL"),
    ("nothing", [], "METHOD_NOT_FOUND"),
]


def agrees(expected: Any, outcome: Any) -> None:
    got = outcome.code if isinstance(outcome, RemoteError) else outcome
    assert got == expected, f"expected {expected!r}, got {outcome!r}"


def call_with_threads(address: Address) -> None:
    with client_threads.Client(*address) as client:

        def outcome(method: str, params: Any) -> Any:
            try:
                return client.call(method, params)
            except RemoteError as error:
                return error

        for method, params, expected in CALLS:
            agrees(expected, outcome(method, params))
        # Many threads on one connection: each gets its own answer.
        with ThreadPoolExecutor(16) as threads:
            for n, result in enumerate(
                threads.map(lambda n: client.call("add", [n, n]), range(500))
            ):
                assert result == 2 * n
    agrees("CONNECTION_CLOSED", outcome("add", [1, 2]))


async def call_with_asyncio(address: Address) -> None:
    async with client_asyncio.Client(*address) as client:
        for method, params, expected in CALLS:
            try:
                agrees(expected, await client.call(method, params))
            except RemoteError as error:
                agrees(expected, error)
        # All at once; a server may refuse what is more than it lets wait.
        results = await asyncio.gather(*(client.call("add", [n, n]) for n in range(100)))
        assert results == [2 * n for n in range(100)]


def send_what_nobody_should(address: Address) -> None:
    """Each is answered, and the connection stays usable."""

    def request(message: Any) -> bytes:
        return json.dumps(message).encode()

    with socket.create_connection(address) as sock:
        # Belongs to the dialect, so that a server of several knows what is spoken.
        wrong = [
            (request({"id": 1, "method": "add", "params": [1, 2]}), None),
            (b"{", "BAD_REQUEST"),
            (b"[1, 2]", "BAD_REQUEST"),
            (b"\xff\xfe", "BAD_REQUEST"),
            (b"[" * 100_000, "BAD_REQUEST"),
            (request({"id": 2}), "BAD_REQUEST"),
            (request({"id": 3, "method": 5}), "BAD_REQUEST"),
            (request({"id": 4, "method": "add", "meta": 5}), "BAD_REQUEST"),
            (request({"id": 5, "method": "add", "params": [1, 2]}), None),
        ]
        for data, code in wrong:
            # One byte after the other: a message is whole when all of it is there.
            pieces = [bytes([byte]) for byte in data] if len(data) < 100 else [data]
            for piece in [LENGTH.pack(len(data)), *pieces]:
                sock.sendall(piece)
            response = receive(sock)
            error = response["error"]
            assert (error and error["code"]) == code, (data[:40], response)
    with socket.create_connection(address) as sock:
        sock.sendall(LENGTH.pack(2**32 - 1))
        assert sock.recv(1) == b"", "a length of 4 GiB ends the connection"


@contextlib.contextmanager
def threads_server() -> Iterator[Address]:
    server = server_threads.Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield "127.0.0.1", server.port
    finally:
        server.stop()
        thread.join()


@contextlib.contextmanager
def asyncio_server() -> Iterator[Address]:
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(server_asyncio.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield "127.0.0.1", server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def stop_while_a_call_is_under_way() -> None:
    """A server that is stopped still answers what it has begun."""
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        go_on.wait()
        return "done"

    METHODS["slow"] = slow
    server = server_threads.Server()
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    with client_threads.Client("127.0.0.1", server.port) as client:
        _, future = client.start("slow", [])
        begun.wait()
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        serving.join()  # Nobody is accepted any more.
        go_on.set()
        assert client_threads.result_of(future.result(30)) == "done"
        stopping.join()


CHECKS: dict[str, Callable[[Address], None]] = {
    "client with threads": call_with_threads,
    "client with asyncio": lambda address: asyncio.run(call_with_asyncio(address)),
    "wrong messages": send_what_nobody_should,
}


def main() -> None:
    if len(sys.argv) > 1:
        for name, check in CHECKS.items():
            check(client_threads.parse_address(sys.argv))
            print(f"ok    {sys.argv[1]}, {name}")
        return
    for server, context in [("threads", threads_server), ("asyncio", asyncio_server)]:
        with context() as address:
            for name, check in CHECKS.items():
                check(address)
                print(f"ok    server with {server}, {name}")
    stop_while_a_call_is_under_way()
    print("ok    server with threads, stopped while a call is under way")


if __name__ == "__main__":
    main()
