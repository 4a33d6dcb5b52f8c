"""Clients for blocking code."""

from __future__ import annotations

import sys
from math import prod

from procall import _native
from procall._public import public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from types import EllipsisType, TracebackType
    from typing import Any, Literal, ParamSpec, Self, SupportsIndex, TypeVar, overload

    from numpy.typing import DTypeLike, NDArray

    from procall._figures import Metrics
    from procall._methods import MethodInfo
    from procall._native import File, Stream, Submitted
    from procall._options import Transport
    from procall._workers import Outcome

    Calling = TypeVar("Calling")
    P = ParamSpec("P")
    R = TypeVar("R")


def traced(caller: _native.Caller) -> Any:
    """The same caller, with spans where the program has imported OpenTelemetry."""
    if "opentelemetry.trace" not in sys.modules:
        return caller
    from procall._tracing import Caller

    return Caller(caller)


class Base:
    """What clients and pools have in common, in blocking code and in asyncio.

    Attributes are the methods of the other side; for a method whose name is taken here there is
    ``call``.
    """

    def __init__(self, caller: _native.Caller) -> None:
        self._caller = traced(caller)

    def __getattr__(self, name: str) -> Any:
        # Names of Python itself are asked for by copy, pickle and consoles; they must not
        # become calls.
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        method = self._caller.method(name)
        # Found without this detour next time.
        self.__dict__[name] = method
        return method

    def options(
        self,
        *,
        deadline: float | EllipsisType | None = ...,
        idempotent: bool | None = None,
        retries: int | None = None,
        idempotency_key: str | None = None,
        key: str | None = None,
        to: str | None = None,
        version: str | None = None,
        wait: bool | None = None,
        on_timeout: Literal["return", "restart"] | None = None,
        meta: dict[str, Any] | None = None,
        progress: bool | Callable[[int, int | None, str], object] | None = None,
        copy: Literal["once", "never"] | None = None,
    ) -> Self:
        """The same, with other options for its calls. What is not given stays as it is.

        ``deadline`` is in seconds, ``None`` is no deadline, and the default is 30 s. With
        ``idempotent=True`` a call may run more than once without harm. ``retries`` says how often a
        call is made again when it was not executed, or may run more than once: 2 times without it,
        never with 0; all attempts share the deadline. ``meta`` travels with each call. ``progress``
        says who hears how far a handler has come, at most ten times a second: a function of
        ``(done, total, text)``, or ``True`` for a bar on standard error where that is a terminal,
        tqdm's if the program has imported tqdm.

        With ``copy="never"`` a call with an array of 16 KiB or more that would have to be copied
        is an error, which says what to do; else such an array is copied once. See ``empty``.

        Three are for engines. A call with an ``idempotency_key`` that this caller used for the same
        method in the last 5 minutes gets that call's outcome, or waits for it, instead of being
        executed again. ``version`` names the version of the service that is meant. With
        ``wait=True`` a call waits while nobody serves its method, until its deadline, instead of
        ending with ``NoWorker``.

        Three options are for pools and engines, and have no effect on a single connection. Calls
        with the same ``key`` go to the same worker and start in the order of sending; when that
        worker is lost, one caller is told with ``WorkerLost``, and the next call with the key finds
        a new worker. ``to`` names the worker that is to get the call, and the call waits for it. A
        worker that is still busy when the deadline passes is asked to cancel, and gets other calls
        once it is done; with ``on_timeout="restart"`` it is started anew instead.

        ::

            pool.options(deadline=0.5).calc.add(1, 2)
            pool.options(retries=5, idempotent=True).calc.add(1, 2)
            calc.options(idempotency_key="sum-7").add(1, 2)
            calc.options(version="2", wait=True).add(1, 2)
            user = pool.options(key="user-7")
            user.sessions.login("ada")
            user.sessions.put("basket", 3)  # where she has logged in
            pool.options(to="calc/2").calc.reload("model.bin")
            pool.options(progress=True).calc.train(3)
            pool.options(deadline=60, on_timeout="restart").calc.train(3)
        """
        seconds = None if deadline is ... else float("inf") if deadline is None else deadline
        other = type(self).__new__(type(self))
        other.__dict__.update(
            (name, value) for name, value in self.__dict__.items() if name.startswith("_")
        )
        other._caller = self._caller.with_options(
            {
                "deadline": seconds,
                "idempotent": idempotent,
                "retries": retries,
                "idempotency_key": idempotency_key,
                "key": key,
                "to": to,
                "version": version,
                "wait": wait,
                "on_timeout": on_timeout,
                "meta": meta,
                "progress": progress,
                "copy": copy,
            }
        )
        return other

    def as_(self, protocol: Callable[..., Calling]) -> Calling:
        """The same, with the type that you say: a ``typing.Protocol`` with the methods of the
        service. Nothing is checked when the program runs.

        ::

            from typing import Protocol

            class Calc(Protocol):
                def add(self, a: int, b: int) -> int: ...

            with procall.connect("calc") as calc:
                calc.as_(Calc).add(1, 2)  # an int, for whoever checks types
        """
        typed: Any = self
        return typed  # type: ignore[no-any-return]

    def empty(
        self, shape: SupportsIndex | Sequence[SupportsIndex], dtype: DTypeLike = "float64"
    ) -> NDArray[Any]:
        """A numpy array with anything in it, in memory that the other side can look at: fill it,
        and as an argument it crosses without a copy. It takes numpy.

        The other side looks at this very memory. Write to it again only when the calls that it went
        with have ended, and nobody there has kept the array.

        Where memory cannot be shared the array is an ordinary one, and crosses as bytes.

        ::

            image = pool.empty((1080, 1920), "float32")
            image[:] = 0.5
            pool.images.mean(image)  # nothing was copied, if transport="shm"
        """
        import numpy as np

        dims = [dim.__index__() for dim in (shape if hasattr(shape, "__iter__") else (shape,))]
        kind = np.dtype(dtype)
        size = prod(dims) * kind.itemsize
        memory: Any = self._caller.memory(size) if size > 0 and not kind.hasobject else None
        return np.empty(dims, kind) if memory is None else np.ndarray(dims, kind, memory)

    def metrics(self) -> Metrics:
        """What was counted of the calls since the start: how many, how they ended, how long they
        took. It does not wait.
        """
        from procall._figures import metrics

        return metrics(self._caller.metrics())

    def notify(self, method: str, /, *args: Any, **kwargs: Any) -> None:
        """Sends a notification: at most once, and never answered."""
        self._caller.notify(method, args, kwargs)


class Calls(Base):
    """Calling from blocking code. Threads may share one."""

    def call(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        """Calls a method by name and waits for its result. Ctrl-C cancels the call."""
        return self._caller.call(method, args, kwargs)

    def stream(self, method: str, /, *args: Any, **kwargs: Any) -> Stream:
        """Calls a method whose result is a stream. Leaving the stream early cancels the call."""
        stream: Stream = self._caller.stream(method, args, kwargs)
        return stream

    def duplex(self, method: str, /, *args: Any, **kwargs: Any) -> Stream:
        """Calls a method that takes a stream: ``send``, ``finish``, then iterate; or ``result``.

        ::

            with calc.duplex("total") as numbers:
                for number in (1, 2, 3):
                    numbers.send(number)
                print(numbers.result())  # 6
        """
        stream: Stream = self._caller.duplex(method, args, kwargs)
        return stream

    if TYPE_CHECKING:

        @overload
        def submit(self, method: str, /, *args: Any, **kwargs: Any) -> Future[Any]: ...
        # What an async function of that name gives is what arrives, not the coroutine.
        @overload
        def submit(
            self, method: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
        ) -> Future[R]: ...
        @overload
        def submit(
            self, method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
        ) -> Future[R]: ...

    def submit(self, method: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Starts a call and returns at once with a ``concurrent.futures.Future``.

        The method is a name, or a function of that name, which lends its signature to type
        checkers. ``cancel()`` of the future cancels the call even when it runs already, and
        ``result(timeout)`` only stops waiting. One thread completes all futures of the process,
        and their callbacks run on it. A future that is forgotten does not end its call.

        ::

            from concurrent.futures import as_completed

            futures = [pool.submit("add", n, n) for n in range(10)]
            for future in as_completed(futures):
                print(future.result())
        """
        from procall._ahead import name_of
        from procall._futures import submit

        return submit(self._caller, name_of(method), args, kwargs)

    if TYPE_CHECKING:

        @overload
        def map(
            self,
            method: str,
            arguments: Iterable[Sequence[Any]],
            /,
            *,
            progress: bool = False,
            ahead: int = 64,
        ) -> Iterator[Any]: ...
        @overload
        def map(
            self,
            method: Callable[..., Coroutine[Any, Any, R]],
            arguments: Iterable[Sequence[Any]],
            /,
            *,
            progress: bool = False,
            ahead: int = 64,
        ) -> Iterator[R]: ...
        @overload
        def map(
            self,
            method: Callable[..., R],
            arguments: Iterable[Sequence[Any]],
            /,
            *,
            progress: bool = False,
            ahead: int = 64,
        ) -> Iterator[R]: ...

    def map(
        self,
        method: Callable[..., Any] | str,
        arguments: Iterable[Sequence[Any]],
        /,
        *,
        progress: bool = False,
        ahead: int = 64,
    ) -> Iterator[Any]:
        """Calls a method with each of the tuples of arguments, many at a time; results come in
        order.

        The input is read as the results are taken: ``ahead`` calls are under way at once, which
        must find room in the pool's queue; on a connection those beyond the 1,024 that it carries
        wait for their turn. An error of one call is raised in its place, and ends the rest; so does
        leaving the loop early.
        ``progress=True`` draws a bar on standard error where that is a terminal: tqdm's, if the
        program has imported tqdm.

        ::

            for width in pool.map("images.width", [("a.png",), ("b.png",)], progress=True):
                print(width)
        """
        from procall import _ahead

        name = _ahead.name_of(method)

        def start(args: Sequence[Any]) -> Submitted:
            begun: Submitted = self._caller.submit(name, tuple(_ahead.check_args(args)), {})
            return begun

        def finish(begun: Submitted) -> Any:
            return begun.result()

        results = _ahead.ahead(arguments, start, finish, _ahead.check_count(ahead))
        if progress:
            from procall import _progress

            results = _progress.counted(
                results, lambda: _progress.bar(name, _progress.total_of(arguments))
            )
        return results

    def batch(self, calls: Iterable[Sequence[Any]], /) -> list[Outcome]:
        """Makes many calls with one write, and waits for all of them. Each is ``(method, args,
        kwargs)``, of which the last may be absent, or both.

        The outcomes are in the order of the calls, each with its own error. What a pool's queue
        does not take is refused with ``Overloaded``. When arguments of one cannot be sent,
        ``InvalidArgument`` is raised and nothing leaves.

        ::

            for outcome in calc.batch([("add", (1, 2)), ("add", (), {"a": 3, "b": 4})]):
                print(outcome.error or outcome.result())
        """
        from procall._workers import entries, outcome

        outcomes: list[Outcome] = self._caller.batch(entries(calls), outcome)
        return outcomes

    def methods(self) -> list[MethodInfo]:
        """What the other side serves."""
        from procall._methods import read

        return read(self._caller.registration() or self.call("procall.methods"))

    def close(self) -> None:
        """Ends it at once: calls that wait or run end with ``Closed``.

        ::

            calc = procall.connect("calc")
            calc.close()
        """
        self._caller.close()

    def _leave(self, failed: bool) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(kind is not None)


@public
class Client(Calls):
    """A connection to a service. Its attributes are the service's methods: ``calc.add(1, 2)``.

    ::

        with procall.connect("calc") as calc:
            calc.add(1, 2)  # 3
            calc.call("add", 1, b=2)  # 3
            list(calc.stream("count", 3))  # [0, 1, 2]
            calc.notify("log", "hello")
            for method in calc.methods():
                print(method.name, method.description)
            print(calc.metrics().latency.p99)

    The end of ``with`` is ``calc.close()``.
    """


@public
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
) -> Client:
    """Connects to a service by name, or by address such as ``unix:/run/calc.sock``,
    ``tcp:127.0.0.1:9000`` or ``tls:engine.example:8443``.

    A service that listens nowhere itself is found through the engine that it is registered with:
    that of the runtime directory, that of ``PROCALL_ENGINE``, or ``engine`` by its address or name.
    The address of an engine itself leads to all services there. A connection to an engine is made
    anew when it is lost: calls in flight end with ``ConnectionLost``, and calls made meanwhile wait
    for it, up to 5 s.

    The service may come up later: ``timeout`` is how many seconds it may take to be there and to
    answer. Zero is one look, ``None`` waits without end. Ctrl-C ends the wait.

    ``name`` is what the other side calls this one, in its logs and as ``ctx.caller.name``; without
    it, it is the name of the script.

    Over TLS, at addresses such as ``tls:engine.example:8443``, ``ca`` is the file with the
    authorities that are trusted, instead of those of this machine. ``cert`` and ``key`` are the
    files with the certificate to show, where the other side wants one. All are PEM, and the key is
    for nobody else to read. Without them, ``PROCALL_TLS_CA``, ``PROCALL_TLS_CERT`` and
    ``PROCALL_TLS_KEY`` name them.

    ``transport`` is how to talk to a service on this machine: ``"shm"`` in shared memory,
    ``"unix"`` over the socket, ``"auto"`` in shared memory when both sides can. Without it,
    ``PROCALL_TRANSPORT`` says, which says ``auto`` unless it is set.

    With ``compression=True`` long messages travel compressed where the other side wants that too,
    which is for slow networks. Without it, ``PROCALL_COMPRESSION`` says.

    ::

        with procall.connect("calc", timeout=30) as calc:
            calc.add(1, 2)  # 3
    """
    tls = (ca, cert, key)
    return Client(_native.connect(target, timeout, engine, name, tls, transport, compression))
