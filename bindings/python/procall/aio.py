"""The same for asyncio: ``connect``, ``Client`` and ``Pool`` with the same names."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from procall import _native
from procall._client import Base
from procall._workers import Answer, Event, Watched, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Generator
    from types import TracebackType
    from typing import Any, Self, Unpack

    from procall._methods import MethodInfo
    from procall._native import AsyncStream
    from procall._options import PoolOptions
    from procall._workers import Program

__all__ = ["Client", "Pool", "connect"]

_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, _native.Hub] = WeakKeyDictionary()


def running_hub() -> _native.Hub:
    """The hub of the running loop, which watches its descriptor."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = _native.Hub()
        loop.add_reader(hub.fileno(), hub.turn)
    return hub


class Calls(Base):
    """Calling from asyncio. Cancelling the task cancels the call."""

    def call(self, method: str, /, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Calls a method by name. The call starts at once; await it for its result."""
        awaitable: Awaitable[Any] = self._caller.call(method, args, kwargs)
        return awaitable

    def stream(self, method: str, /, *args: Any, **kwargs: Any) -> AsyncStream:
        """Calls a method whose result is a stream, for ``async for``. Closing it early cancels the
        call.
        """
        stream: AsyncStream = self._caller.stream(method, args, kwargs)
        return stream

    def duplex(self, method: str, /, *args: Any, **kwargs: Any) -> AsyncStream:
        """Calls a method that takes a stream: ``await send``, then ``finish`` and iterate, or
        ``await result()``.
        """
        stream: AsyncStream = self._caller.duplex(method, args, kwargs)
        return stream

    async def methods(self) -> list[MethodInfo]:
        """What the other side serves."""
        from procall._methods import read

        return read(self._caller.registration() or await self.call("procall.methods"))

    async def close(self) -> None:
        """Ends it at once: calls that wait or run end with ``Closed``."""
        self._caller.close()

    async def _leave(self, failed: bool) -> None:
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._leave(kind is not None)


class Client(Calls):
    """A connection to a service. Its attributes are the service's methods: ``await calc.add(1,
    2)``.

    It belongs to the event loop that it was made in.
    """


class _Connecting:
    """What ``connect`` gives: await it for a client, or enter it."""

    def __init__(self, target: str, timeout: float | None) -> None:
        self._target = target
        self._timeout = timeout
        self._client: Client | None = None

    async def _connect(self) -> Client:
        from procall._errors import Error

        finder = _native.Finder(self._target, self._timeout)
        while (found := finder.try_open()) is None:
            await asyncio.sleep(finder.pause())
        try:
            async with asyncio.timeout(finder.greeting()):
                return Client(await _native.greet(running_hub(), found))
        except TimeoutError as error:
            if isinstance(error, Error):
                raise
            raise finder.unanswered() from None

    def __await__(self) -> Generator[Any, None, Client]:
        return self._connect().__await__()

    async def __aenter__(self) -> Client:
        self._client = await self._connect()
        return self._client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.close()


def connect(target: str, *, timeout: float | None = 5.0) -> _Connecting:
    """Connects to a service by name or address: ``async with connect("calc") as calc``, or ``await
    connect("calc")``.

    The service may come up later: ``timeout`` is how many seconds it may take to be there and to
    answer. Zero is one look, ``None`` waits without end. The event loop runs on meanwhile.
    """
    return _Connecting(target, timeout)


class Pool(Watched, Calls):
    """Several processes that run one program, and calls spread over them, for asyncio.

    ::

        async with procall.aio.Pool("calc.py", workers=4) as pool:
            await pool.calc.add(1, 2)

    The options are those of ``procall.Pool``. ``await procall.aio.Pool(...)`` starts it too.
    """

    def __init__(self, program: Program, **options: Unpack[PoolOptions]) -> None:
        self._plan = plan(program, options)

    async def _start(self) -> Self:
        hub = running_hub()
        self._pool = await _native.Pool.start_soon(hub, *self._plan)
        self._caller = self._pool.caller(hub)
        return self

    def __await__(self) -> Generator[Any, None, Self]:
        return self._start().__await__()

    def __getattr__(self, name: str) -> Any:
        if name in ("_pool", "_caller"):
            raise RuntimeError("this pool was not started: use `async with`, or await it first")
        return super().__getattr__(name)

    def broadcast(self, method: str, /, *args: Any, **kwargs: Any) -> Awaitable[list[Answer]]:
        """Calls a method on every worker; await it for all answers in the order of the workers. A
        worker that is busy or starting gets the call when it has room.

        ::

            for answer in await pool.broadcast("reload", "model.bin"):
                print(answer.worker, answer.error or answer.result())
        """
        answers: Awaitable[list[Answer]] = self._pool.broadcast(
            self._caller, Answer, method, args, kwargs
        )
        return answers

    def events(self) -> AsyncGenerator[Event, None]:
        """What happens to the workers from now on; ends when the pool has stopped."""
        return _events(self._pool.events(running_hub()))

    async def restart(self, worker: int | None = None) -> None:
        """Starts one worker anew, or all one after the other. Calls in flight finish first."""
        await self._pool.restart_soon(running_hub(), worker)

    async def drain(self) -> None:
        """Takes no more calls, and waits until those there are have ended. The workers live on."""
        await self._pool.drain_soon(running_hub())

    async def stop(self) -> None:
        """Lets calls in flight finish, then ends the workers and waits until nothing of them is
        left.
        """
        await self._pool.stop_soon(running_hub())

    async def _leave(self, failed: bool) -> None:
        if failed:
            await self.close()
        else:
            await self.stop()

    async def __aenter__(self) -> Self:
        return await self._start()


async def _events(events: Any) -> AsyncGenerator[Event, None]:
    async for event in events:
        yield Event(*event)
