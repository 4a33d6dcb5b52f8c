"""Serving with async handlers: their loop runs on the main thread when there are no others, else on
a thread of its own. And serving with threads for plain handlers.
"""

from __future__ import annotations

import asyncio
import contextvars
import signal
from collections.abc import Callable, Iterable

from procall._native import Hub, Server
from procall._service import StopSignals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import Thread

    from procall._native import Call, File
    from procall._service import Service

    Tls = tuple[File | None, File | None, File | None, File | None]
    Place = tuple[str | None, str | None, str | None, str | None, Tls, bool | None]
    """Where to serve and how, as ``Service.run`` is told: ``listen``, ``engine``, ``name``,
    ``identity``, the files for TLS, ``compression``."""

_current: contextvars.ContextVar[Call | None] = contextvars.ContextVar("procall_call", default=None)
# Calls that a handler makes inherit what is left of its own deadline.
Server.set_current(_current)

DRAIN = 10.5
"""Seconds after which a service that was told to stop looks whether its time is up."""


Open = Callable[[Hub | None], Server]
"""Opens the service, with the hub of its loop when it has one."""


def run(service: Service, place: Place) -> None:
    """``Service.run`` for a service that has async handlers, or threads for plain ones."""

    def open(hub: Hub | None) -> Server:
        return service._open(place, hub)

    serve(service, open, service._announce)


def serve(service: Service, open: Open, announce: Callable[[Server], None]) -> None:
    """Serves what ``open`` opens until it is over. ``announce`` comes when signals are heard."""
    methods = service._settled()
    if methods and all(method.is_async for method in methods):
        asyncio.run(_serve(open, announce))
        return
    loop = LoopThread() if any(method.is_async for method in methods) else None
    threads = Threads(service._threads) if service._threads else None
    try:
        server = open(loop.hub if loop is not None else None)

        def hand_over(calls: list[Call]) -> None:
            if threads is not None:
                plain = [call for call in calls if not call.is_async]
                threads.take(plain, server)
                calls = [call for call in calls if call.is_async]
            if loop is not None and calls:
                loop.take(calls)

        with StopSignals(server.stop):
            announce(server)
            server.pull(hand_over if loop is not None or threads is not None else None)
    finally:
        if threads is not None:
            threads.end()
        if loop is not None:
            loop.end()
    if threads is not None and threads.exit is not None:
        raise threads.exit


async def _serve(open: Open, announce: Callable[[Server], None]) -> None:
    loop = asyncio.get_running_loop()
    tasks = Tasks()
    loop.add_reader(tasks.hub.fileno(), tasks.hub.turn)
    server = open(tasks.hub)
    over = loop.create_future()

    def turn() -> None:
        try:
            calls = server.turn()
        except Exception as error:
            # The engine takes the service no more.
            calls = None
            if not over.done():
                over.set_exception(error)
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
        announce(server)
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


class Threads:
    """Threads for plain handlers; the first calls start them."""

    def __init__(self, count: int) -> None:
        import queue

        # Bounded by the calls that each session takes at once.
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._most = count
        self._threads: list[Thread] = []
        self.exit: BaseException | None = None
        """What a handler raised to end the service."""

    def take(self, calls: list[Call], server: Server) -> None:
        import threading

        for call in calls:
            self._calls.put(call)
            if len(self._threads) < self._most:
                number = len(self._threads) + 1
                thread = threading.Thread(
                    target=self._run, args=(server,), name=f"procall-{number}", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _run(self, server: Server) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call.work()
            except BaseException as raised:
                if self.exit is None:
                    self.exit = raised
                server.stop()
            # Not kept while the next one is waited for.
            del call

    def end(self) -> None:
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            # One that still runs after the time to drain is not waited for: nobody wants it.
            thread.join(0 if self.exit is not None else 1)
