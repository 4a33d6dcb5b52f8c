"""Futures of calls, completed by one thread for all of them."""

from __future__ import annotations

import atexit
import os
import select
import threading
from concurrent.futures import CancelledError, Executor, Future

from procall import _native
from procall._ahead import AHEAD, ahead, name_of
from procall._errors import Cancelled, Closed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from typing import Any, ParamSpec, TypeVar, overload

    from procall._client import Calls

    P = ParamSpec("P")
    R = TypeVar("R")


class CallCancelled(Cancelled, CancelledError):
    """What a cancelled future raises: an error of ours, and the one of futures."""


class CallFuture(Future[object]):
    """The outcome of a call to come: a ``concurrent.futures.Future`` whose ``cancel`` also cancels
    a call that runs already.
    """

    _number = 0
    _completion: Completion

    def cancel(self) -> bool:
        if self._completion.hub.withdraw(self._number):
            super().cancel()
            # Tells those who wait for several futures, as executors do for one they find cancelled.
            self.set_running_or_notify_cancel()
            return True
        return self.cancelled()

    def result(self, timeout: float | None = None) -> Any:
        self._check()
        try:
            return super().result(timeout)
        except CancelledError:
            # It may also be the outcome of a future that was not cancelled itself.
            if not self.cancelled():
                raise
            raise CallCancelled("the call was cancelled by its caller") from None

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._check()
        try:
            return super().exception(timeout)
        except CancelledError:
            raise CallCancelled("the call was cancelled by its caller") from None

    def _check(self) -> None:
        if self._completion.pid != os.getpid() and not self.done():
            raise Closed(
                "this call was made before the process forked, and its outcome goes to the parent: "
                "make a client or pool of its own in the child, after the fork"
            )


class Completion:
    """The thread that reads what calls of futures are answered, and completes them. Callbacks of
    the futures run on it. Without a future to complete it sleeps, so that blocking calls on the
    same connections have their answers to themselves.
    """

    def __init__(self) -> None:
        self.hub = _native.Hub()
        self.pid = os.getpid()
        self._over = False
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="procall-futures", daemon=True)
        self._thread.start()
        # The interpreter ends in a bad place for a thread that it does not know of.
        atexit.register(self._stop)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self.hub.fileno(), select.POLLIN)
        while True:
            # Cleared before the looks: who comes after them sets the event again.
            self._wanted.clear()
            if self._over:
                return
            if not self.hub.is_wanted():
                self._wanted.wait()
                continue
            poll.poll()
            self.hub.turn()

    def want(self) -> None:
        """There is a future to complete."""
        self._wanted.set()

    def _stop(self) -> None:
        if self.pid != os.getpid():
            return
        self._over = True
        self._wanted.set()
        self.hub.kick()
        if threading.current_thread() is not self._thread:
            self._thread.join()


_completion: Completion | None = None
_lock = threading.Lock()


def _after_fork() -> None:
    global _completion, _lock
    _completion, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def _running() -> Completion:
    global _completion
    with _lock:
        if _completion is None:
            _completion = Completion()
        return _completion


def submit(
    caller: _native.Caller, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Future[Any]:
    """Starts a call and gives its future."""
    future = CallFuture()
    future._completion = completion = _completion or _running()
    future._number = caller.deliver(completion.hub, future, method, args, kwargs)
    completion.want()
    return future


class MethodExecutor(Executor):
    """Calls to other processes behind the interface of an executor.

    What is submitted is the name of a method, a method such as ``pool.calc.add``, or a function
    whose name is that of the method.
    """

    def __init__(self, calls: Calls, service: str | None) -> None:
        self._calls = calls
        self._prefix = f"{service}." if service else ""
        self._shut = False
        self._open: set[Future[Any]] = set()

    if TYPE_CHECKING:

        @overload
        def submit(self, fn: str, /, *args: Any, **kwargs: Any) -> Future[Any]: ...
        @overload
        def submit(
            self, fn: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
        ) -> Future[R]: ...
        @overload
        def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...

    def submit(self, fn: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Starts a call and gives its future."""
        if self._shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = self._calls.submit(self._name(fn), *args, **kwargs)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        return future

    def map(
        self,
        fn: Callable[..., Any] | str,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """Calls a method with one value of each iterable at a time; results come in order.

        Unlike other executors it reads its input as it goes: ``buffersize`` (64) calls are under
        way at once. ``timeout`` is in seconds, from now until a result is there. ``chunksize`` is
        without effect, because small calls share their writes anyway.
        """
        from time import monotonic

        if self._shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        name = self._name(fn)
        end = None if timeout is None else monotonic() + timeout

        def start(args: tuple[Any, ...]) -> Future[Any]:
            return self.submit(name, *args)

        def finish(future: Future[Any]) -> Any:
            return future.result(None if end is None else end - monotonic())

        return ahead(zip(*iterables, strict=False), start, finish, buffersize or AHEAD)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls and, with ``wait``, waits for those there are. The pool lives on."""
        from concurrent.futures import wait as wait_for

        self._shut = True
        left = list(self._open)
        if cancel_futures:
            for future in left:
                future.cancel()
        if wait:
            wait_for(left)

    def _name(self, fn: Callable[..., Any] | str) -> str:
        name = name_of(fn)
        return name if "." in name else self._prefix + name
