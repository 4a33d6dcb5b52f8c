"""Serving with async handlers: their loop runs on the main thread when there are no others, else on
a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import signal

from procall._native import Hub, Server
from procall._service import StopSignals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from threading import Thread

    from procall._native import Call
    from procall._service import Service

_current: contextvars.ContextVar[Call | None] = contextvars.ContextVar("procall_call", default=None)
# Calls that a handler makes inherit what is left of its own deadline.
Server.set_current(_current)

DRAIN = 10.5
"""Seconds after which a service that was told to stop looks whether its time is up."""


def run(service: Service, listen: str | None) -> None:
    """``Service.run`` for a service that has async handlers."""
    if all(method.is_async for method in service._methods.values()):
        asyncio.run(_serve(service, listen))
        return
    loop = LoopThread()
    server = service._open(listen, loop.hub)
    try:
        with StopSignals(server.stop):
            service._announce(server)
            server.pull(loop.take)
    finally:
        loop.end()


async def _serve(service: Service, listen: str | None) -> None:
    loop = asyncio.get_running_loop()
    tasks = Tasks()
    loop.add_reader(tasks.hub.fileno(), tasks.hub.turn)
    server = service._open(listen, tasks.hub)
    over = loop.create_future()

    def turn() -> None:
        calls = server.turn()
        if calls is None:
            if not over.done():
                over.set_result(None)
            return
        tasks.start(calls)

    def stop() -> None:
        if tasks.stopping:
            over.cancel()
        tasks.stopping = True
        server.stop()
        loop.call_later(DRAIN, turn)

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except (RuntimeError, ValueError):
            # Only the main thread may have handlers.
            break
    loop.add_reader(server.fileno(), turn)
    try:
        service._announce(server)
        turn()
        await over
    finally:
        loop.remove_reader(server.fileno())
        await tasks.end()
        server.close()


class Tasks:
    """The calls that a loop serves, each in a task of its own."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, calls: Iterable[Call]) -> None:
        for call in calls:
            task = asyncio.get_running_loop().create_task(self._answer(call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            call.watch(self.hub, task)

    async def _answer(self, call: Call) -> None:
        _current.set(call)
        try:
            if call.streams:
                await self._answer_with_items(call)
            else:
                call.reply(await call.invoke())
        except asyncio.CancelledError:
            call.cancelled()
        except Exception as error:
            call.fail(error)
        except BaseException as error:
            call.fail(error)
            raise

    async def _answer_with_items(self, call: Call) -> None:
        items = call.invoke()
        try:
            async for item in items:
                if not await call.send(self.hub, item):
                    call.cancelled()
                    return
        finally:
            await items.aclose()
        call.finish()

    async def end(self) -> None:
        """Cancels what is left."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


class LoopThread:
    """A loop on a thread of its own, which begins with the first call for it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks = Tasks()
        self.hub = self._tasks.hub
        self._thread: Thread | None = None

    def take(self, calls: list[Call]) -> None:
        if self._thread is None:
            import threading

            self._loop.add_reader(self.hub.fileno(), self.hub.turn)
            self._thread = threading.Thread(target=self._run, name="procall-loop", daemon=True)
            self._thread.start()
        self._loop.call_soon_threadsafe(self._tasks.start, calls)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def end(self) -> None:
        if self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._tasks.end(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
