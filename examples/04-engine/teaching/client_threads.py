"""The client with threads: any number of them may call on one connection.

python client_threads.py [HOST:PORT]
"""

import contextlib
import itertools
import socket
import sys
import threading
from concurrent.futures import Future
from typing import Any

from wire import BadMessage, encode, receive


class RemoteError(Exception):
    """What the server, or this client, says instead of a result."""

    def __init__(self, code: str, message: str, details: dict[str, Any]) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details


class Client:
    """One thread reads, and gives each response to whoever waits for its id, in any order."""

    def __init__(self, host: str, port: int) -> None:
        self.sock = socket.create_connection((host, port))
        self.ids = itertools.count(1)
        self.waiting: dict[int, Future[dict[str, Any]]] = {}
        self.closed = False
        self.lock = threading.Lock()
        self.sending = threading.Lock()
        self.reading = threading.Thread(target=self.read, daemon=True)
        self.reading.start()

    def read(self) -> None:
        try:
            while True:
                response = receive(self.sock)
                with self.lock:
                    future = self.waiting.pop(response.get("id"), None)  # type: ignore[arg-type]
                # Nobody waits for the response to a call whose time was over.
                if future is not None:
                    future.set_result(response)
        except (EOFError, OSError, BadMessage):
            pass
        # Whoever still waits would wait for ever.
        with self.lock:
            self.closed = True
            left, self.waiting = self.waiting, {}
        for future in left.values():
            future.set_exception(RemoteError("CONNECTION_CLOSED", "the connection has ended", {}))

    def start(
        self, method: str, params: Any = None, **meta: Any
    ) -> tuple[int, Future[dict[str, Any]]]:
        """Sends a request, and returns at once: several can be under way."""
        future: Future[dict[str, Any]] = Future()
        with self.lock:
            if self.closed:
                raise RemoteError("CONNECTION_CLOSED", "the connection has ended", {})
            number = next(self.ids)
            self.waiting[number] = future
        request = {
            "type": "request",
            "id": number,
            "method": method,
            "params": params,
            "meta": meta,
        }
        try:
            data = encode(request)
            with self.sending:
                self.sock.sendall(data)
        except BaseException:
            with self.lock:
                self.waiting.pop(number, None)
            raise
        return number, future

    def call(self, method: str, params: Any = None, timeout: float = 30.0) -> Any:
        """The result. The server is told how much time there is; we wait no longer."""
        number, future = self.start(method, params, timeout_ms=int(timeout * 1000))
        try:
            response = future.result(timeout)
        except TimeoutError:
            with self.lock:
                self.waiting.pop(number, None)
            raise RemoteError("TIMEOUT", f"no response in {timeout} s", {}) from None
        return result_of(response)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # The server was first.
            self.sock.shutdown(socket.SHUT_RDWR)
        self.reading.join()
        self.sock.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def result_of(response: dict[str, Any]) -> Any:
    if response.get("ok"):
        return response.get("result")
    error = response.get("error") or {}
    raise RemoteError(
        error.get("code", "INTERNAL"), error.get("message", ""), error.get("details", {})
    )


def parse_address(arguments: list[str], port: int = 5000) -> tuple[str, int]:
    """What the command line says, or this port here."""
    if len(arguments) < 2:
        return "127.0.0.1", port
    host, _, text = arguments[1].rpartition(":")
    return host, int(text)


if __name__ == "__main__":
    with Client(*parse_address(sys.argv)) as client:
        print("add(2, 3) =", client.call("add", [2, 3]))
        print("divide(10, 4) =", client.call("divide", {"a": 10, "b": 4}))
        try:
            client.call("divide", [10, 0])
        except RemoteError as error:
            print("divide(10, 0):", error)
