"""The same server with asyncio: one thread, and a task for each request.

python server_asyncio.py [PORT]
"""

import asyncio
import contextlib
import sys
from typing import Any

from methods import failure, respond
from wire import BadMessage, encode, receive_async

# How many requests of one connection may be worked on.
# Then it is not read from until one is answered.
MAX_REQUESTS = 64


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    room = asyncio.Semaphore(MAX_REQUESTS)

    async def send(response: dict[str, Any]) -> None:
        # `write` takes the whole message at once, so no lock is needed.
        # `drain` waits while the client does not read.
        writer.write(encode(response))
        await writer.drain()

    async def work(request: dict[str, Any]) -> None:
        try:
            # A method that computes or blocks would hold up everybody here, so it goes to a thread.
            await send(await asyncio.to_thread(respond, request))
        except OSError:
            pass  # The client has gone.
        finally:
            room.release()

    async with asyncio.TaskGroup() as tasks:
        try:
            while True:
                await room.acquire()
                try:
                    request = await receive_async(reader)
                except BadMessage as error:
                    room.release()
                    await send(failure({}, "BAD_REQUEST", str(error), {}))
                    continue
                tasks.create_task(work(request))
        except (EOFError, OSError):
            pass  # The client has gone; leaving the group waits for what was begun.
    writer.close()


async def start(host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
    return await asyncio.start_server(serve, host, port)


async def main() -> None:
    server = await start(port=int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
    port = server.sockets[0].getsockname()[1]
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
