"""Spans of calls, for programs that have imported OpenTelemetry's API; others never load this.

A call has a span of kind *client* here and one of kind *server* at its handler; what joins them are
the metadata of the call, as the program's propagator writes them.
"""

from __future__ import annotations

import copy
import functools

from opentelemetry import propagate, trace

from procall._errors import Error
from procall._native import VERSION, Context
from procall._signature import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from typing import Any

    from procall import _native
    from procall._signature import Description

HIDDEN = "_procall_context"
"""The parameter by which a handler's wrapper is given the context of the call."""


def _tracer() -> trace.Tracer:
    return trace.get_tracer("procall", VERSION)


def _about(method: str) -> dict[str, str]:
    service, _, name = method.rpartition(".")
    return {"rpc.system": "procall", "rpc.service": service, "rpc.method": name}


def _failed(span: trace.Span, error: BaseException) -> None:
    if not span.is_recording():
        return
    kind = type(error).__qualname__
    if isinstance(error, Error):
        span.set_attribute("procall.executed", str(error.executed))
        kind = error.code
    span.set_attribute("error.type", kind)
    span.record_exception(error)
    span.set_status(trace.Status(trace.StatusCode.ERROR, str(error)))


class Caller:
    """Calls as the native caller does, each with a span."""

    def __init__(self, native: _native.Caller, meta: dict[str, Any] | None = None) -> None:
        self.native = native
        self._meta = meta or {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.native, name)

    def with_options(self, options: dict[str, Any]) -> Caller:
        meta = options.get("meta")
        return Caller(self.native.with_options(options), self._meta if meta is None else meta)

    def method(self, name: str) -> Method:
        return Method(self, name)

    def invoke(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls it in its own shape, as ``calc.add(1, 2)`` does."""
        return self._spanned(method, lambda native: native.method(method)(*args, **kwargs))

    def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._spanned(method, lambda native: native.call(method, args, kwargs))

    def submit(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._spanned(method, lambda native: native.submit(method, args, kwargs), Begun)

    def deliver(
        self,
        hub: _native.Hub,
        future: Future[Any],
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> int:
        def start(native: _native.Caller) -> int:
            return native.deliver(hub, future, method, args, kwargs)

        def begun(number: int, span: trace.Span) -> int:
            def done(future: Future[Any]) -> None:
                # Asking a cancelled future for its error raises it.
                error = None if future.cancelled() else future.exception()
                if error is not None:
                    _failed(span, error)
                span.end()

            future.add_done_callback(done)
            return number

        number: int = self._spanned(method, start, begun)
        return number

    def stream(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._spanned(method, lambda native: native.stream(method, args, kwargs))

    def duplex(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._spanned(method, lambda native: native.duplex(method, args, kwargs))

    def notify(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._joined(None).notify(method, args, kwargs)

    def batch(self, calls: Any, outcome: Any) -> Any:
        return self._joined(None).batch(calls, outcome)

    def _joined(self, span: trace.Span | None) -> _native.Caller:
        """The native caller whose calls are children of this span, or of the current one."""
        carrier: dict[str, Any] = {}
        context = None if span is None else trace.set_span_in_context(span)
        propagate.inject(carrier, context=context)
        # What the program says itself counts.
        return self.native.with_options({"meta": {**carrier, **self._meta}})

    def _spanned(
        self,
        method: str,
        start: Callable[[_native.Caller], Any],
        later: Callable[[Any, trace.Span], Any] | None = None,
    ) -> Any:
        kind = trace.SpanKind.CLIENT
        span = _tracer().start_span(method, kind=kind, attributes=_about(method))
        try:
            result = start(self._joined(span))
        except BaseException as error:
            _failed(span, error)
            span.end()
            raise
        if later is not None:
            return later(result, span)
        if hasattr(result, "__await__"):
            return Awaited(result, span)
        # Of a stream, this is its opening.
        span.end()
        return result


class Method:
    """A method of a client, as the native half's."""

    def __init__(self, caller: Caller, name: str) -> None:
        self._caller = caller
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._caller.invoke(self.__name__, args, kwargs)

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_"):
            raise AttributeError(f"method {self.__name__!r} has no attribute {name!r}")
        inner = Method(self._caller, f"{self.__name__}.{name}")
        # Found without this detour next time.
        self.__dict__[name] = inner
        return inner

    def __repr__(self) -> str:
        return f"<procall method {self.__name__}>"


class Awaited:
    """An outcome to come, whose span ends with it."""

    def __init__(self, result: Any, span: trace.Span) -> None:
        self._result = result
        self._span = span

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._result.__await__())
        except BaseException as error:
            _failed(self._span, error)
            raise
        finally:
            self._span.end()


class Begun:
    """A call that was started ahead, whose span ends with its result."""

    def __init__(self, begun: _native.Submitted, span: trace.Span) -> None:
        self._begun = begun
        self._span = span

    def result(self) -> Any:
        try:
            return self._begun.result()
        except BaseException as error:
            _failed(self._span, error)
            raise
        finally:
            self._span.end()

    def cancel(self) -> None:
        self._begun.cancel()
        self._span.end()


def served(methods: Iterable[Description]) -> list[Description]:
    """The same methods, with a span around each handler."""
    return [_served(method) for method in methods]


def _served(method: Description) -> Description:
    hidden = Parameter(HIDDEN, Context, required=False, keyword_only=True)
    hidden.read()
    traced = copy.copy(method)
    traced.parameters = [*method.parameters, hidden]
    traced.handler = _WRAPS[method.kind](method.name, method.handler)
    return traced


class Serving:
    """The span of one call at its handler, which is current while that runs."""

    def __init__(self, name: str, context: Context) -> None:
        try:
            meta = context.meta
        except Error:
            # A peer's metadata that cannot be read are no trace.
            meta = {}
        carrier = {key: value for key, value in meta.items() if isinstance(value, str)}
        self.span = _tracer().start_span(
            name,
            context=propagate.extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes=_about(name),
        )

    def current(self) -> AbstractContextManager[trace.Span]:
        """While it is entered, the span is the current one. How it ends is seen to here."""
        return trace.use_span(self.span, record_exception=False, set_status_on_exception=False)

    def run(self, function: Callable[[], Any]) -> Any:
        """Runs the handler, or a part of it."""
        with self.current():
            return function()

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        # A generator that is closed early has not failed.
        if error is not None and not isinstance(error, GeneratorExit):
            _failed(self.span, error)
        self.span.end()


def _plain(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(handler)
    def run(*args: Any, _procall_context: Context, **kwargs: Any) -> Any:
        with Serving(name, _procall_context) as serving:
            return serving.run(lambda: handler(*args, **kwargs))

    return run


def _coroutine(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(handler)
    async def run(*args: Any, _procall_context: Context, **kwargs: Any) -> Any:
        # Its task is the call's own, so the span is current for nothing else.
        with Serving(name, _procall_context) as serving, serving.current():
            return await handler(*args, **kwargs)

    return run


def _generator(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(handler)
    def run(*args: Any, _procall_context: Context, **kwargs: Any) -> Iterator[Any]:
        with Serving(name, _procall_context) as serving:
            items = serving.run(lambda: handler(*args, **kwargs))
            try:
                while True:
                    # Not current while the reader has its turn: this thread is then another call's.
                    try:
                        item = serving.run(items.__next__)
                    except StopIteration:
                        return
                    yield item
            finally:
                serving.run(items.close)

    return run


def _async_generator(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(handler)
    async def run(*args: Any, _procall_context: Context, **kwargs: Any) -> AsyncIterator[Any]:
        with Serving(name, _procall_context) as serving:
            items = handler(*args, **kwargs)
            try:
                while True:
                    try:
                        with serving.current():
                            item = await anext(items)
                    except StopAsyncIteration:
                        return
                    yield item
            finally:
                await items.aclose()

    return run


_WRAPS = {
    "plain": _plain,
    "coroutine": _coroutine,
    "generator": _generator,
    "async_generator": _async_generator,
}
