"""The same for asyncio: ``connect``, ``Client`` and ``Pool`` with the same names."""

from __future__ import annotations

import asyncio
from collections import deque
from weakref import WeakKeyDictionary, ref

from procall import _native
from procall._client import Base, traced
from procall._native import AsyncStream as Stream
from procall._workers import Answer, Event, Watched, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterable,
        Awaitable,
        Callable,
        Coroutine,
        Generator,
        Iterable,
        Sequence,
    )
    from types import TracebackType
    from typing import Any, Self, TypeVar, Unpack, overload

    from procall._methods import MethodInfo
    from procall._native import File
    from procall._options import PoolOptions, Transport
    from procall._workers import Outcome, Program

    Arguments = Iterable[Sequence[Any]] | AsyncIterable[Sequence[Any]]
    R = TypeVar("R")

__all__ = ["Client", "Pool", "Stream", "connect"]

_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, _native.Hub] = WeakKeyDictionary()


def running_hub() -> _native.Hub:
    """The hub of the running loop, which watches its descriptor."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = _native.Hub(ref(loop))
        loop.add_reader(hub.fileno(), hub.turn)
    return hub


class Calls(Base):
    """Calling from asyncio. Cancelling the task cancels the call."""

    def call(self, method: str, /, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Calls a method by name. The call starts at once; await it for its result."""
        awaitable: Awaitable[Any] = self._caller.call(method, args, kwargs)
        return awaitable

    def stream(self, method: str, /, *args: Any, **kwargs: Any) -> Stream:
        """Calls a method whose result is a stream, for ``async for``. Closing it early cancels the
        call.
        """
        stream: Stream = self._caller.stream(method, args, kwargs)
        return stream

    def duplex(self, method: str, /, *args: Any, **kwargs: Any) -> Stream:
        """Calls a method that takes a stream: ``await send``, then ``finish`` and iterate, or
        ``await result()``.

        ::

            async with calc.duplex("total") as numbers:
                for number in (1, 2, 3):
                    await numbers.send(number)
                print(await numbers.result())  # 6
        """
        stream: Stream = self._caller.duplex(method, args, kwargs)
        return stream

    if TYPE_CHECKING:

        @overload
        def map(
            self,
            method: str,
            arguments: Arguments,
            /,
            *,
            progress: bool = False,
            ahead: int = 64,
        ) -> AsyncGenerator[Any, None]: ...
        @overload
        def map(
            self,
            method: Callable[..., Coroutine[Any, Any, R]],
            arguments: Arguments,
            /,
            *,
            progress: bool = False,
            ahead: int = 64,
        ) -> AsyncGenerator[R, None]: ...
        @overload
        def map(
            self,
            method: Callable[..., R],
            arguments: Arguments,
            /,
            *,
            progress: bool = False,
            ahead: int = 64,
        ) -> AsyncGenerator[R, None]: ...

    def map(
        self,
        method: Callable[..., Any] | str,
        arguments: Arguments,
        /,
        *,
        progress: bool = False,
        ahead: int = 64,
    ) -> AsyncGenerator[Any, None]:
        """Calls a method with each of the tuples of arguments, many at a time, for ``async for``;
        results come in order. The input may be an async iterable.

        The input is read as the results are taken: ``ahead`` calls are under way at once, which
        must find room in the pool's queue; on a connection those beyond the 1,024 that it carries
        wait for their turn. An error of one call is raised in its place, and ends the rest; so does
        closing the iterator early.
        ``progress=True`` draws a bar on standard error where that is a terminal: tqdm's, if the
        program has imported tqdm.

        ::

            async for width in pool.map("images.width", [("a.png",), ("b.png",)], progress=True):
                print(width)
        """
        from procall import _ahead

        name, count = _ahead.name_of(method), _ahead.check_count(ahead)

        def start(args: Sequence[Any]) -> Awaitable[Any]:
            return self.call(name, *_ahead.check_args(args))

        return _map(name, arguments, start, count, progress)

    def batch(self, calls: Iterable[Sequence[Any]], /) -> Awaitable[list[Outcome]]:
        """Makes many calls with one write; await it for all outcomes, in the order of the calls.
        Each call is ``(method, args, kwargs)``, of which the last may be absent, or both.

        Each outcome has its own error. When arguments of one cannot be sent, ``InvalidArgument`` is
        raised and nothing leaves.

        ::

            for outcome in await calc.batch([("add", (1, 2)), ("add", (3, 4))]):
                print(outcome.error or outcome.result())
        """
        from procall._workers import entries, outcome

        outcomes: Awaitable[list[Outcome]] = self._caller.batch(entries(calls), outcome)
        return outcomes

    async def methods(self) -> list[MethodInfo]:
        """What the other side serves."""
        from procall._methods import read

        return read(self._caller.registration() or await self.call("procall.methods"))

    async def close(self) -> None:
        """Ends it at once: calls that wait or run end with ``Closed``.

        ::

            calc = await procall.aio.connect("calc")
            await calc.close()
        """
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

    It belongs to the event loop that it was made in::

        async with procall.aio.connect("calc") as calc:
            await calc.add(1, 2)  # 3
            await calc.call("add", 1, b=2)  # 3
            async for n in calc.stream("count", 3):
                print(n)
            calc.notify("log", "hello")
            for method in await calc.methods():
                print(method.name, method.description)
            print(calc.metrics().latency.p99)

    The end of ``async with`` is ``await calc.close()``.
    """


class Opening:
    """A client to come: await it, or enter it, which closes the client at the end."""

    def __init__(self, connect: Callable[[], Coroutine[Any, Any, Client]]) -> None:
        self._connect = connect
        self._client: Client | None = None

    def __await__(self) -> Generator[Any, None, Client]:
        return self._connect().__await__()

    async def __aenter__(self) -> Client:
        self._client = await self
        return self._client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.close()


async def _connect(
    target: str,
    timeout: float | None,
    engine: str | None,
    name: str | None,
    tls: tuple[File | None, File | None, File | None],
    transport: Transport | None,
    compression: bool | None,
) -> Client:
    from procall._errors import Error

    finder = _native.Finder(target, timeout, engine, tls, transport, compression)
    while (found := finder.try_open()) is None:
        await asyncio.sleep(finder.pause())
    try:
        async with asyncio.timeout(finder.greeting()):
            return Client(await _native.greet(running_hub(), found, name))
    except TimeoutError as error:
        if isinstance(error, Error):
            raise
        raise finder.unanswered() from None


def connect(
    target: str,
    *,
    timeout: float | None = 5.0,
    engine: str | None = None,
    name: str | None = None,
    ca: File | None = None,
    cert: File | None = None,
    key: File | None = None,
    transport: Transport | None = None,
    compression: bool | None = None,
) -> Opening:
    """Connects to a service by name or address: ``async with connect("calc") as calc``, or ``await
    connect("calc")``. Services are found through engines as ``procall.connect`` finds them.

    The service may come up later: ``timeout`` is how many seconds it may take to be there and to
    answer. Zero is one look, ``None`` waits without end. The event loop runs on meanwhile.

    ``name`` is what the other side calls this one, in its logs and as ``ctx.caller.name``; without
    it, it is the name of the script. ``transport`` and ``compression`` are those of
    ``procall.connect``.

    ``ca``, ``cert`` and ``key`` are for TLS, as in ``procall.connect``.

    ::

        async with procall.aio.connect("calc", timeout=30) as calc:
            await calc.add(1, 2)  # 3
    """
    tls = (ca, cert, key)
    return Opening(lambda: _connect(target, timeout, engine, name, tls, transport, compression))


class Pool(Watched, Calls):
    """Several processes that run one program, and calls spread over them, for asyncio.

    ::

        async with procall.aio.Pool("calc.py", workers=4) as pool:
            await pool.calc.add(1, 2)  # 3
            await pool.call("add", 1, 2)  # 3
            async for n in pool.stream("count", 3):
                print(n)
            pool.notify("log", "hello")
            await pool.restart()  # one after the other; no call is lost
            print(await pool.methods(), pool.metrics(), pool.health(), pool.workers())
            print(pool.stats(), pool.output(0))
            await pool.drain()

    The options are those of ``procall.Pool``. ``await procall.aio.Pool(...)`` starts it too, and
    ``await pool.stop()`` is the end of ``async with``.
    """

    def __init__(self, program: Program, **options: Unpack[PoolOptions]) -> None:
        self._plan = plan(program, options)

    async def _start(self) -> Self:
        hub = running_hub()
        self._pool = await _native.Pool.start_soon(hub, *self._plan)
        self._caller = traced(self._pool.caller(hub))
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
            getattr(self._caller, "native", self._caller), Answer, method, args, kwargs
        )
        return answers

    def events(self) -> AsyncGenerator[Event, None]:
        """What happens to the workers from now on; ends when the pool has stopped.

        ::

            events = pool.events()
            await pool.stop()
            async for event in events:
                print(event)
        """
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


async def _map(
    name: str,
    arguments: Arguments,
    start: Callable[[Sequence[Any]], Awaitable[Any]],
    ahead: int,
    progress: bool,
) -> AsyncGenerator[Any, None]:
    bar = None
    if progress:
        from procall import _progress

        bar = _progress.bar(name, _progress.total_of(arguments))
    begun: deque[asyncio.Future[Any]] = deque()
    source = _Source(arguments)
    reading: asyncio.Future[Any] | None = None
    try:
        while True:
            # The next of the input and the oldest of the results, whichever comes first: neither
            # waits for the other.
            while reading is None and not source.over and len(begun) < ahead:
                if source.waits:
                    reading = asyncio.ensure_future(source.next_soon())
                elif not source.over and (args := source.next()) is not None:
                    begun.append(asyncio.ensure_future(start(args)))
            waiting = {future for future in (reading, begun[0] if begun else None) if future}
            if not waiting:
                break
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading.done():
                args, reading = reading.result(), None
                if args is not None:
                    begun.append(asyncio.ensure_future(start(args)))
            elif begun and begun[0].done():
                result = begun.popleft().result()
                if bar is not None:
                    bar.update(1)
                yield result
    finally:
        left = [*begun, *([reading] if reading is not None else [])]
        for future in left:
            future.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if bar is not None:
            bar.close()


class _Source:
    """Arguments from an iterable of either kind; ``None`` is their end."""

    def __init__(self, arguments: Any) -> None:
        self.over = False
        self.waits = hasattr(arguments, "__aiter__")
        self._items = aiter(arguments) if self.waits else iter(arguments)

    def next(self) -> Any:
        item = next(self._items, None)
        self.over = item is None
        return item

    async def next_soon(self) -> Any:
        item = await anext(self._items, None)
        self.over = item is None
        return item
