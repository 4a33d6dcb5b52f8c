"""The native half."""

import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from os import PathLike
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, final

from procall._signature import Description

VERSION: str

File: TypeAlias = str | PathLike[str]

@final
class Hub:
    """The connections that one event loop watches."""

    def __new__(cls, of: Callable[[], object] | None = None) -> Self: ...
    def fileno(self) -> int: ...
    def turn(self) -> None: ...
    def is_wanted(self) -> bool: ...
    def kick(self) -> None: ...
    def withdraw(self, number: int, /) -> bool: ...

def forked() -> None: ...

@final
class Wait(Coroutine[Any, Any, Any]):
    """Something an event loop can wait for: a coroutine in all that asyncio asks of one."""

    def __await__(self) -> Any: ...
    def send(self, _value: Any, /) -> Any: ...
    def throw(self, kind: Any, value: Any = None, traceback: Any = None, /) -> Any: ...
    def close(self) -> None: ...

@final
class Method:
    """A method of the other side, as a callable. Its attributes are methods too."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __getattr__(self, name: str) -> Method: ...
    @property
    def __name__(self) -> str: ...

@final
class Reporter:
    """Reports the progress of the call that it was made in."""

    def progress(self, done: int, total: int | None = None, text: str = "") -> None: ...

def reporter() -> Reporter | None: ...

@final
class Caller:
    """What clients and pools call through: a channel, and how its calls are made."""

    def method(self, name: str, /) -> Method: ...
    def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Any: ...
    def stream(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Any: ...
    def duplex(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Any: ...
    def submit(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], /
    ) -> Submitted: ...
    def deliver(
        self,
        hub: Hub,
        future: Future[Any],
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        /,
    ) -> int: ...
    def batch(
        self,
        entries: list[tuple[str, tuple[Any, ...], dict[str, Any]]],
        answer: Callable[[str, Any, Any], object],
        /,
    ) -> Any: ...
    def notify(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> None: ...
    def registration(self) -> dict[str, Any] | None: ...
    def metrics(self) -> dict[str, Any]: ...
    def memory(self, len: int, /) -> Memory | None: ...
    def with_options(self, options: dict[str, Any], /) -> Caller: ...
    def close(self) -> None: ...

@final
class Memory:
    """Memory of this process that the other side can look at, or of the other side's, which
    cannot be written to. It lives for as long as somebody has a view of it.
    """

    def __len__(self) -> int: ...
    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Stream(Iterator[Any]):
    """A call with streams. Leaving it early, by ``close``, ``with`` or by forgetting it, cancels
    the call.

    ::

        with calc.stream("count", 1000) as numbers:
            for number in numbers:
                if number == 2:
                    break
        with calc.duplex("doubled") as numbers:
            numbers.send(1)
            numbers.finish()
            list(numbers)  # [2]
        numbers = calc.duplex("total")
        numbers.send(1)
        numbers.result()  # 1
        numbers.close()
    """

    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any, /) -> bool:
        """Sends one item; waits while the other side is behind. False when it wants no more."""

    def finish(self) -> None:
        """Says that no more items will be sent."""

    def result(self) -> Any:
        """Finishes, and waits for the value that the call gives."""

    def close(self) -> None:
        """Cancels what is left of the call."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class AsyncStream(AsyncIterator[Any]):
    """The same for asyncio. Reading and sending may go on in different tasks.

    ::

        async with calc.stream("count", 1000) as numbers:
            async for number in numbers:
                if number == 2:
                    break
        numbers = calc.duplex("doubled")
        await numbers.send(1)
        numbers.finish()
        [number async for number in numbers]  # [2]
        await numbers.aclose()
        numbers = calc.duplex("total")
        await numbers.send(1)
        await numbers.result()  # 1
        numbers.close()
    """

    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Wait: ...
    def send(self, value: Any, /) -> Wait:
        """Sends one item once there is room; awaited, it is false when the other side wants no
        more.
        """

    def finish(self) -> None:
        """Says that no more items will be sent."""

    def result(self) -> Wait:
        """Finishes, and waits for the value that the call gives."""

    def close(self) -> None:
        """Cancels what is left of the call."""

    def aclose(self) -> Wait:
        """Cancels what is left of the call; for ``contextlib.aclosing``."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class Submitted:
    """A call under way. Forgotten, it is cancelled."""

    def result(self) -> Any:
        """Waits for the result. The call's own deadline says for how long."""

    def done(self) -> bool:
        """Whether the outcome is here."""

    def cancel(self) -> None:
        """Asks for the call to end; ``result`` then raises ``Cancelled``, unless there is an
        outcome already.
        """

@final
class Peer:
    """Who is at the other side, as it says itself.

    ::

        service = procall.Service("calc")

        @service.method
        def whoami(ctx: procall.Context) -> str:
            caller = ctx.caller
            return f"{caller.name} {caller.runtime} {caller.pid}"

        service.run()
    """

    @property
    def name(self) -> str:
        """A name for people; may be empty."""

    @property
    def runtime(self) -> str:
        """Its implementation, such as ``python/0.1.0``."""

    @property
    def pid(self) -> int:
        """Its process; 0 when it does not say."""

@final
class Context:
    """The facts of a call, for a handler that has a parameter of this type.

    ::

        calc = procall.Service("calc")

        @calc.method
        def train(ctx: procall.Context, epochs: int) -> str:
            ctx.log(f"{ctx.method} for {ctx.caller.pid}, {ctx.remaining} s left")
            for epoch in range(epochs):
                if ctx.cancelled:
                    break
                ctx.progress(epoch + 1, epochs, "training")
            return ctx.meta.get("model", "model.bin")

        calc.run()
    """

    @property
    def method(self) -> str:
        """The method's full name."""

    @property
    def remaining(self) -> float | None:
        """Seconds until the caller gives up; ``None`` when it never does."""

    @property
    def cancelled(self) -> bool:
        """Whether the caller no longer wants the answer."""

    @property
    def meta(self) -> dict[str, Any]:
        """The metadata that travels with the call."""

    @property
    def caller(self) -> Peer:
        """Who calls; for a pool's worker that is the pool's process."""

    def log(self, text: str) -> None:
        """Writes a line to standard error that says which call it is about, as in
        ``[calc.add #3] text``.
        """

    def progress(self, done: int, total: int | None = None, text: str = "") -> None:
        """Tells the caller how far the work has come. At most ten reports a second travel."""

@final
class Items(Iterator[Any]):
    """The stream that a caller sends, for a plain handler."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...

@final
class AsyncItems(AsyncIterator[Any]):
    """The same for an async handler."""

    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Wait: ...

@final
class Call:
    """A call in the hands of the event loop or of another thread."""

    @property
    def streams(self) -> bool: ...
    @property
    def is_async(self) -> bool: ...
    def work(self) -> None: ...
    def invoke(self) -> Any: ...
    def watch(self, hub: Hub, task: Any, /) -> None: ...
    def reply(self, value: Any, /) -> None: ...
    def send(self, hub: Hub, value: Any, /) -> Wait: ...
    def finish(self) -> None: ...
    def fail(self, raised: BaseException, /) -> None: ...
    def cancelled(self) -> None: ...

@final
class Server:
    """A described service, and the place its calls come from."""

    def __new__(
        cls,
        document: dict[str, Any],
        methods: Iterable[Description],
        listen: str | None = None,
        hub: Hub | None = None,
        threads: bool = False,
        engine: str | None = None,
        name: str | None = None,
        identity: str | None = None,
        tls: tuple[File | None, File | None, File | None, File | None] = ...,
        compression: bool | None = None,
    ) -> Self: ...
    @staticmethod
    def in_memory(
        document: dict[str, Any],
        methods: Iterable[Description],
        hub: Hub | None,
        threads: bool,
        /,
    ) -> tuple[Server, Found]: ...
    @property
    def address(self) -> str | None: ...
    @property
    def engine(self) -> str | None: ...
    def pull(self, hand_over: Callable[[list[Call]], object] | None, /) -> None: ...
    def fileno(self) -> int: ...
    def turn(self) -> list[Call] | None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    @staticmethod
    def set_current(variable: ContextVar[Call | None], /) -> None: ...

@final
class Pool:
    """A running pool."""

    @staticmethod
    def start(program: Any, options: dict[str, Any], /) -> Pool: ...
    @staticmethod
    def start_soon(
        hub: Hub, program: Any, options: dict[str, Any], /
    ) -> Coroutine[Any, Any, Pool]: ...
    def caller(self, hub: Hub | None, /) -> Caller: ...
    def broadcast(
        self,
        caller: Caller,
        answer: Callable[[str, Any, Any], object],
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        /,
    ) -> Any: ...
    def health(self) -> dict[str, Any]: ...
    def stats(self) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]: ...
    def workers(self) -> list[dict[str, Any]]: ...
    def queued(self) -> int: ...
    def restart(self, index: int | None, /) -> None: ...
    def restart_soon(self, hub: Hub, index: int | None, /) -> Wait: ...
    def drain(self) -> None: ...
    def drain_soon(self, hub: Hub, /) -> Wait: ...
    def stop(self) -> None: ...
    def stop_soon(self, hub: Hub, /) -> Wait: ...
    def close(self) -> None: ...
    def events(self, hub: Hub | None, /) -> Any:
        """``Events``, or with a hub ``AsyncEvents``."""

    def output(
        self, index: int, count: int, /
    ) -> list[tuple[str, int, Literal["stdout", "stderr"], str]]: ...

@final
class Events(Iterator[tuple[str, int, int | None, str, str]]):
    """What happens to a pool's workers: worker, index, process, kind, sentence."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[str, int, int | None, str, str]: ...

@final
class AsyncEvents(AsyncIterator[tuple[str, int, int | None, str, str]]):
    """The same for asyncio."""

    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Wait: ...

def connect(
    target: str,
    timeout: float | None,
    engine: str | None,
    name: str | None,
    tls: tuple[File | None, File | None, File | None],
    transport: str | None,
    compression: bool | None,
    /,
) -> Caller: ...

@final
class Finder:
    """The search for a service, for event loops."""

    def __new__(
        cls,
        target: str,
        timeout: float | None,
        engine: str | None = None,
        tls: tuple[File | None, File | None, File | None] = ...,
        transport: str | None = None,
        compression: bool | None = None,
    ) -> Self: ...
    def try_open(self) -> Found | None:
        """One look: ``None`` when nobody is there yet."""

    def pause(self) -> float:
        """Seconds until the next look."""

    def greeting(self) -> float:
        """Seconds that the service has to answer the greeting."""

    def unanswered(self) -> Exception:
        """The error when it did not."""

@final
class Found:
    """A service that was found and is not greeted yet."""

def greet(hub: Hub, found: Found, name: str | None, /) -> Coroutine[Any, Any, Caller]: ...
def greet_own(found: Found, /) -> Caller: ...

class codec:
    """The conversions by themselves, for tests."""

    @staticmethod
    def encode(value: Any, /) -> bytes: ...
    @staticmethod
    def decode(data: bytes, /) -> Any: ...
    @staticmethod
    def decode_json(data: bytes, /) -> Any: ...
