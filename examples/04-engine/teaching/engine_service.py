"""The methods of this folder behind the engine: it connects, and is called like a server.

    python engine_service.py [HOST:PORT]

The engine routes calls to whoever has registered the method, so nobody needs to know where this
process is. The messages of workers are those of the engine dialect, with a `type` each.
"""

import socket
import sys

from client_threads import parse_address
from methods import METHODS, respond
from wire import encode, receive

NUMBER = {"type": "number"}
PARAMS = {"type": "object", "properties": {"a": NUMBER, "b": NUMBER}, "required": ["a", "b"]}


def main() -> None:
    with socket.create_connection(parse_address(sys.argv, 8080)) as sock:
        methods = [
            {"name": name, "params_schema": PARAMS, "result_schema": NUMBER} for name in METHODS
        ]
        registration = {"name": "calc", "description": "Adds and divides.", "methods": methods}
        sock.sendall(encode({"type": "register", **registration, "broadcasts": False}))
        while True:
            try:
                message = receive(sock)
            except EOFError:
                return
            match message["type"]:
                case "register":
                    print(f"registered as {message['name']}", flush=True)
                case "invokefunctionmessage" | "call":
                    response = respond(message)
                    response["type"] = "result"
                    if not response["ok"]:
                        response["error"]["code"] = response["error"]["code"].lower()
                    sock.sendall(encode(response))
                case "error":
                    sys.exit(message["message"])


if __name__ == "__main__":
    main()
