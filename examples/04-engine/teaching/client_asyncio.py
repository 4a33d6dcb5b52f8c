"""The same client with asyncio.

python client_asyncio.py [HOST:PORT]
"""

import asyncio
import itertools
import sys
from typing import Any

from client_threads import RemoteError, parse_address, result_of
from wire import BadMessage, encode, receive_async


class Client:
    """Any number of tasks may call on one connection: `async with Client(host, port) as client`."""

    def __init__(self, host: str, port: int) -> None:
        self.address = host, port
        self.ids = itertools.count(1)
        self.waiting: dict[Any, asyncio.Future[dict[str, Any]]] = {}
        self.closed = False

    async def __aenter__(self) -> "Client":
        self.reader, self.writer = await asyncio.open_connection(*self.address)
        self.reading = asyncio.create_task(self.read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        await self.reading

    async def read(self) -> None:
        try:
            while True:
                response = await receive_async(self.reader)
                future = self.waiting.pop(response.get("id"), None)
                if future is not None and not future.done():
                    future.set_result(response)
        except (EOFError, OSError, BadMessage):
            pass
        self.closed = True
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(
                    RemoteError("CONNECTION_CLOSED", "the connection has ended", {})
                )

    async def call(self, method: str, params: Any = None, timeout: float = 30.0) -> Any:
        if self.closed:
            raise RemoteError("CONNECTION_CLOSED", "the connection has ended", {})
        number = next(self.ids)
        meta = {"timeout_ms": int(timeout * 1000)}
        data = encode(
            {"type": "request", "id": number, "method": method, "params": params, "meta": meta}
        )
        self.waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                self.writer.write(data)
                await self.writer.drain()
                return result_of(await self.waiting[number])
        except TimeoutError:
            raise RemoteError("TIMEOUT", f"no response in {timeout} s", {}) from None
        finally:
            # Also when the caller was cancelled: nobody waits any more.
            self.waiting.pop(number, None)


async def main() -> None:
    async with Client(*parse_address(sys.argv)) as client:
        # Two at the same time, on one connection.
        total, quotient = await asyncio.gather(
            client.call("add", [2, 3]), client.call("divide", {"a": 10, "b": 4})
        )
        print("add(2, 3) =", total)
        print("divide(10, 4) =", quotient)
        try:
            await client.call("divide", [10, 0])
        except RemoteError as error:
            print("divide(10, 0):", error)


if __name__ == "__main__":
    asyncio.run(main())
