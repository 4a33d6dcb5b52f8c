"""Services: named sets of methods."""

from __future__ import annotations

from procall._native import Server
from procall._signature import Description

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, overload

    Function = TypeVar("Function", bound=Callable[..., Any])

ASYNC_CONCURRENCY = 128
"""Calls that a worker whose handlers are all async takes at once; one with plain handlers takes
one.
"""


class Service:
    """A named set of methods.

    Functions become methods by decoration or with ``register``::

        calc = procall.Service("calc")

        @calc.method
        def add(a: int, b: int) -> int:
            return a + b

    or as the public methods of a subclass::

        class Calc(procall.Service):
            def add(self, a: int, b: int) -> int:
                return a + b

        Calc("calc").run()

    A generator gives a stream. Hints become the schema that callers see, and arguments of wrong
    types never reach the function.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        version: str = "",
        description: str = "",
        concurrency: int | None = None,
    ) -> None:
        """``concurrency`` is how many calls a pool gives this worker at once: 1, or 128 when all
        handlers are async.
        """
        self._name = name if name is not None else type(self).__name__.lower()
        self._version = version
        self._description = description
        self._concurrency = concurrency
        self._methods: dict[str, Description] = {}
        self._server: Server | None = None
        if type(self) is not Service:
            self._include(self)

    @property
    def name(self) -> str:
        """The service's name: the first part of its methods' full names."""
        return self._name

    @property
    def address(self) -> str | None:
        """Where it listens while it runs; ``None`` in a worker."""
        return self._server.address if self._server is not None else None

    if TYPE_CHECKING:

        @overload
        def method(self, function: Function, /) -> Function: ...

        @overload
        def method(
            self,
            /,
            *,
            name: str | None = None,
            idempotent: bool = False,
            description: str | None = None,
        ) -> Callable[[Function], Function]: ...

    def method(
        self,
        function: Any = None,
        /,
        *,
        name: str | None = None,
        idempotent: bool = False,
        description: str | None = None,
    ) -> Any:
        """Makes a function a method, which stays the function that it is.

        ``idempotent`` says that it may run more than once without harm. Without ``description`` the
        docstring's first paragraph is it.
        """

        def decorate(function: Any) -> Any:
            own = name if name is not None else function.__name__
            self._add(
                Description(
                    function, self._full(own), idempotent=idempotent, description=description
                )
            )
            return function

        return decorate if function is None else decorate(function)

    def register(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        idempotent: bool = False,
        description: str | None = None,
    ) -> None:
        """Makes anything callable a method of this name."""
        self._add(
            Description(function, self._full(name), idempotent=idempotent, description=description)
        )

    def include(self, instance: object) -> None:
        """Makes the public methods of an object methods: those that its class itself defines, and
        whose names do not begin with ``_``.
        """
        self._include(instance)

    def _include(self, instance: object) -> None:
        for name in vars(type(instance)):
            # What this class itself offers is for the program, not for callers.
            if name.startswith("_") or hasattr(Service, name) or name in ("run", "stop"):
                continue
            value = getattr(instance, name)
            if callable(value) and not isinstance(value, type):
                self.register(name, value)

    def _full(self, name: str) -> str:
        return name if "." in name else f"{self._name}.{name}"

    def _add(self, description: Description) -> None:
        if description.name in self._methods:
            raise ValueError(f"method {description.name} is there already")
        self._methods[description.name] = description

    def document(self) -> dict[str, Any]:
        """What this service registers: its methods with their schemas."""
        methods = self._settled()
        concurrency = self._concurrency
        if concurrency is None:
            all_async = all(method.is_async for method in methods)
            concurrency = ASYNC_CONCURRENCY if all_async and methods else 1
        return {
            "name": self._name,
            "version": self._version,
            "description": self._description,
            "concurrency": concurrency,
            "methods": [method.info for method in methods],
        }

    def _settled(self) -> list[Description]:
        methods = list(self._methods.values())
        for method in methods:
            if not method.settled:
                method.settle()
        return methods

    def run(self, *, listen: str | None = None) -> None:
        """Serves until there is nobody left to serve, or until Ctrl-C, SIGTERM or ``stop``; calls
        in flight may finish then.

        The surroundings decide how: started by a pool, as its worker; by hand, listening at
        ``listen``, at ``PROCALL_LISTEN``, or at the place where ``procall.connect`` finds this
        service by name.
        """
        if any(method.is_async for method in self._settled()):
            from procall import _serving

            _serving.run(self, listen)
            return
        server = self._open(listen)
        with StopSignals(server.stop):
            self._announce(server)
            server.pull(None)

    def stop(self) -> None:
        """Ends ``run``, from any thread: calls in flight may finish, new ones are refused."""
        if self._server is not None:
            self._server.stop()

    def _open(self, listen: str | None, hub: Any = None) -> Server:
        server = self._server = Server(self.document(), self._methods.values(), listen, hub)
        return server

    def _announce(self, server: Server) -> None:
        # After the signals have handlers: whoever reads this may end the service at once.
        if server.address is not None:
            import sys

            print(f"procall: listening at {server.address}", file=sys.stderr, flush=True)


class StopSignals:
    """While it is entered, Ctrl-C and SIGTERM call ``stop``; a second Ctrl-C does not wait for
    calls in flight.
    """

    def __init__(self, stop: Callable[[], object]) -> None:
        self._stop = stop
        self._before: dict[int, Any] = {}
        self._stopping = False

    def __enter__(self) -> None:
        # `signal` would import `enum`, which takes longer than all the rest of a worker's start.
        if TYPE_CHECKING:
            import signal as _signal
        else:
            import _signal

        ours = {
            _signal.SIGINT: _signal.default_int_handler,
            _signal.SIGTERM: _signal.SIG_DFL,
        }
        for number, usual in ours.items():
            # A program that has a handler of its own knows what it wants.
            if _signal.getsignal(number) != usual:
                continue
            try:
                self._before[number] = _signal.signal(number, self._handle)
            except ValueError:
                # Only the main thread may have handlers.
                return

    def _handle(self, number: int, _frame: object) -> None:
        # Supervisors send SIGTERM to the process and to its group, so the second one says
        # nothing new; they have SIGKILL.
        if self._stopping and number == 2:
            raise KeyboardInterrupt
        self._stopping = True
        self._stop()

    def __exit__(self, *_exception: object) -> None:
        if TYPE_CHECKING:
            import signal as _signal
        else:
            import _signal

        for number, before in self._before.items():
            _signal.signal(number, before)
