"""The server with threads: one for each connection reads, and a few work on the requests.

python server_threads.py [PORT]
"""

import contextlib
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from methods import failure, respond
from wire import BadMessage, encode, receive


class Connection:
    """Requests are worked on at the same time, and answered in the order in which they are done."""

    # How many requests of one connection may wait. A client that sends more is not read from
    # until one is answered, and TCP makes it wait in turn: that is backpressure.
    MAX_REQUESTS = 64

    def __init__(self, sock: socket.socket, workers: ThreadPoolExecutor) -> None:
        self.sock = sock
        self.workers = workers
        self.sending = threading.Lock()
        self.room = threading.BoundedSemaphore(self.MAX_REQUESTS)

    def serve(self) -> None:
        with self.sock:
            try:
                while True:
                    self.room.acquire()
                    try:
                        request = receive(self.sock)
                    except BadMessage as error:
                        self.room.release()
                        self.send(failure({}, "BAD_REQUEST", str(error), {}))
                        continue
                    self.workers.submit(self.work, request)
            except (EOFError, OSError):
                # The client has gone, or the server stops. What was begun is still answered.
                self.room.release()
            for _ in range(self.MAX_REQUESTS):
                self.room.acquire()

    def work(self, request: dict[str, Any]) -> None:
        try:
            self.send(respond(request))
        except OSError:
            pass  # The client has gone.
        finally:
            self.room.release()

    def send(self, response: dict[str, Any]) -> None:
        # Two threads that wrote at the same time would mix their bytes.
        with self.sending:
            self.sock.sendall(encode(response))


class Server:
    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.listener = socket.create_server((host, port))
        self.port: int = self.listener.getsockname()[1]
        self.workers = ThreadPoolExecutor(max_workers=8)
        self.connections: set[socket.socket] = set()
        self.lock = threading.Lock()

    def serve_forever(self) -> None:
        """Until `stop`, which makes `accept` fail."""
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections.add(sock)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock: socket.socket) -> None:
        try:
            Connection(sock, self.workers).serve()
        finally:
            with self.lock:
                self.connections.discard(sock)

    def stop(self) -> None:
        """Takes nobody new, finishes what was begun, and then hangs up: no half answers."""
        # Closing alone would leave a thread in `accept` waiting.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            connections = list(self.connections)
        for sock in connections:
            with contextlib.suppress(OSError):  # It has gone by itself.
                sock.shutdown(socket.SHUT_RD)
        self.workers.shutdown()


if __name__ == "__main__":
    server = Server(port=int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
    print(f"listening on 127.0.0.1:{server.port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.stop()
