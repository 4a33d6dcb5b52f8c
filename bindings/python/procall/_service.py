"""Services: named sets of methods."""

from __future__ import annotations

import sys

from procall._native import Server
from procall._public import public
from procall._signature import Description

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypedDict, TypeVar, Unpack, overload

    from procall._client import Client
    from procall._native import File
    from procall._serving import Place
    from procall.aio import Opening

    Function = TypeVar("Function", bound=Callable[..., Any])
    Raises = type[Exception] | Sequence[type[Exception]]

    class MethodOptions(TypedDict, total=False):
        """The options of ``Service.method``, which ``procall.method`` has too."""

        name: str | None
        idempotent: bool
        description: str | None
        raises: Raises
        request_model: type | None


ASYNC_CONCURRENCY = 128
"""Calls that a worker whose handlers are all async takes at once; one with plain handlers takes
one.
"""


@public
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
    types never reach the function::

        calc = procall.Service("calc", description="Sums", threads=2)

        @calc.method(description="Adds two numbers.")
        def add(a: int, b: int) -> int:
            return a + b

        calc.register("length", len)
        print(calc.name, calc.address, calc.document()["methods"])
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        version: str = "",
        description: str = "",
        concurrency: int | None = None,
        threads: int = 0,
    ) -> None:
        """``concurrency`` is how many calls a pool gives this worker at once: 1, or as many as
        there are ``threads``, or 128 when all handlers are async.

        With ``threads=n``, plain handlers run on n threads instead of the main one, so that n of
        them can wait at the same time: for files, for the network, for code that releases the GIL.
        They must then be safe to run at once.
        """
        if type(threads) is not int or threads < 0:
            raise ValueError(f"threads is {threads!r}: give how many, or 0 for the main thread")
        self._name = name if name is not None else type(self).__name__.lower()
        self._version = version
        self._description = description
        self._concurrency = concurrency
        self._threads = threads
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
        """Where it listens while it runs; ``None`` in a worker, and with an engine."""
        return self._server.address if self._server is not None else None

    if TYPE_CHECKING:

        @overload
        def method(self, function: Function, /) -> Function: ...

        @overload
        def method(self, /, **options: Unpack[MethodOptions]) -> Callable[[Function], Function]: ...

    def method(
        self,
        function: Any = None,
        /,
        *,
        name: str | None = None,
        idempotent: bool = False,
        description: str | None = None,
        raises: Raises = (),
        request_model: type | None = None,
    ) -> Any:
        """Makes a function a method, which stays the function that it is.

        ``idempotent`` says that it may run more than once without harm. Without ``description`` the
        docstring's first paragraph is it.

        ``raises`` names the exceptions that callers may expect: they travel with their public
        attributes, and arrive as the same class where the caller knows it, see
        ``procall.register_error``. All other exceptions arrive as ``HandlerError``.

        With ``request_model`` the params as a whole become one model, which says what is right:
        a Pydantic model, a dataclass, a msgspec Struct or a TypedDict. The function takes the
        model's fields by their names, or the model as its only parameter.
        """

        def decorate(function: Any) -> Any:
            own = name if name is not None else function.__name__
            self.register(
                own,
                function,
                idempotent=idempotent,
                description=description,
                raises=raises,
                request_model=request_model,
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
        raises: Raises = (),
        request_model: type | None = None,
    ) -> None:
        """Makes anything callable a method of this name, with the options of ``method``."""
        full = self._full(name)
        if full in self._methods:
            raise ValueError(f"method {full} is there already")
        self._methods[full] = Description(
            function,
            full,
            idempotent=idempotent,
            description=description,
            raises=raises,
            request_model=request_model,
        )

    def include(self, instance: object) -> None:
        """Makes the public methods of an object methods: those that its class itself defines, and
        whose names do not begin with ``_``. ``run`` and ``stop`` are left out, and what is
        inherited; ``procall.method`` gives one of them options.

        ::

            class Sums:
                def add(self, a: int, b: int) -> int:
                    return a + b

            service = procall.Service("calc")
            service.include(Sums())
        """
        self._include(instance)

    def _include(self, instance: object) -> None:
        for name, own in vars(type(instance)).items():
            options = getattr(own, "__procall__", None)
            if options is None and (
                name.startswith("_")
                or name in ("run", "stop")
                # What this class itself offers is for the program, not for callers.
                or (isinstance(instance, Service) and hasattr(Service, name))
                # A property would run here, and a nested class is no method.
                or isinstance(own, (property, type))
            ):
                continue
            # What is computed on access, such as a cached property, is not asked for.
            if not (callable(own) or isinstance(own, (staticmethod, classmethod))):
                continue
            options = dict(options or {})
            self.register(options.pop("name", None) or name, getattr(instance, name), **options)

    def _full(self, name: str) -> str:
        return name if "." in name else f"{self._name}.{name}"

    def document(self) -> dict[str, Any]:
        """What this service registers: its methods with their schemas."""
        methods = self._settled()
        concurrency = self._concurrency
        if concurrency is None:
            all_async = all(method.is_async for method in methods)
            concurrency = ASYNC_CONCURRENCY if all_async and methods else self._threads or 1
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

    def run(
        self,
        *,
        listen: str | None = None,
        engine: str | None = None,
        name: str | None = None,
        identity: str | None = None,
        ca: File | None = None,
        cert: File | None = None,
        key: File | None = None,
        client_ca: File | None = None,
        compression: bool | None = None,
    ) -> None:
        """Serves until there is nobody left to serve, or until Ctrl-C, SIGTERM or ``stop``; calls
        in flight may finish then.

        The surroundings decide how. Started by a pool, it is the pool's worker. With an ``engine``,
        by its address or name, or with ``PROCALL_ENGINE``, it registers there, and again whenever
        the engine was away. With ``listen`` or ``PROCALL_LISTEN`` it listens there. Otherwise it
        registers with the engine of the runtime directory if one runs, else it listens there under
        its name. ``procall.connect`` finds it by its name in each of the last two cases.

        With an engine, ``name`` is what this process is called among the service's workers and
        named by in ``options(to=...)``, instead of ``calc/1``, ``calc/2`` and so on. ``NameTaken``
        is raised while another has it, ``InvalidArgument`` when the engine refuses what is
        registered, and ``NoWorker`` when no engine is there within 5 s.

        With an engine that keeps its state (``procall serve --state``), ``identity`` is what it
        recognises this service by: when either comes back over a Unix socket, the service serves
        again as soon as it is connected, and no other process can take its place while it is there.
        Without it, ``PROCALL_IDENTITY`` says it, followed by a slash and the service's name.

        ``cert`` and ``key`` are the files with the certificate to show over TLS: to clients at an
        address such as ``tls:0.0.0.0:8443``, or to an engine that wants one. ``client_ca`` has the
        authorities of which one must have signed what clients show, ``ca`` those that are trusted
        for an engine. Without them, ``PROCALL_TLS_CERT``, ``PROCALL_TLS_KEY``,
        ``PROCALL_TLS_CLIENT_CA`` and ``PROCALL_TLS_CA`` name them. ``compression`` is that of
        ``procall.connect``.

        ::

            service = procall.Service("calc")
            service.register("add", lambda a, b: a + b)
            service.run()
        """
        tls = (ca, cert, key, client_ca)
        place = (listen, engine, name, identity, tls, compression)
        if self._threads or any(method.is_async for method in self._settled()):
            from procall import _serving

            _serving.run(self, place)
            return
        server = self._open(place)
        with StopSignals(server.stop):
            self._announce(server)
            server.pull(None)

    def client(self) -> Client:
        """A client for this service in this process: for tests of one's own service.

        There is no socket and no other process, but all else is as it would be: values are
        converted and checked, streams flow, errors arrive as a caller sees them. Plain handlers
        run on a thread of the client's own, one at a time unless the service has ``threads``.
        ``close`` or the end of ``with`` ends it; several may be open at once::

            service = procall.Service("calc")
            service.register("add", lambda a, b: a + b)
            with service.client() as calc:
                calc.add(1, 2)  # 3
        """
        from procall._local import client

        return client(self)

    def aio_client(self) -> Opening:
        """The same for asyncio.

        ::

            service = procall.Service("calc")
            service.register("add", lambda a, b: a + b)
            async with service.aio_client() as calc:
                await calc.add(1, 2)  # 3
        """
        from procall._local import aio_client

        return aio_client(self)

    def stop(self) -> None:
        """Ends ``run``, from any thread: calls in flight may finish, new ones are refused.

        ::

            service = procall.Service("calc")
            service.register("stop", service.stop)
            service.run()
        """
        if self._server is not None:
            self._server.stop()

    def _open(self, place: Place, hub: Any = None) -> Server:
        listen, engine, name, identity, tls, compression = place
        threads = self._threads > 0
        methods = self._handlers()
        server = Server(
            self.document(),
            methods,
            listen,
            hub,
            threads,
            engine,
            name,
            identity,
            tls,
            compression,
        )
        self._server = server
        return server

    def _handlers(self) -> list[Description]:
        """Its methods, with spans where the program has imported OpenTelemetry."""
        methods = list(self._methods.values())
        if "opentelemetry.trace" not in sys.modules:
            return methods
        from procall._tracing import served

        return served(methods)

    def _announce(self, server: Server) -> None:
        # After the signals have handlers: whoever reads this may end the service at once.
        if server.engine is not None:
            said = f"registered with {server.engine}"
        elif server.address is not None:
            said = f"listening at {server.address}"
        else:
            _show_stacks()
            return
        print(f"procall: {said}", file=sys.stderr, flush=True)


if TYPE_CHECKING:

    @overload
    def method(function: Function, /) -> Function: ...

    @overload
    def method(**options: Unpack[MethodOptions]) -> Callable[[Function], Function]: ...


@public
def method(function: Any = None, /, **options: Any) -> Any:
    """Options for a method of a class, as ``Service.method`` has them for functions::

        class Calc(procall.Service):
            @procall.method(idempotent=True)
            def add(self, a: int, b: int) -> int:
                return a + b

    It also makes one a method whose name would not be, such as ``run``.
    """
    unknown = set(options) - _OPTIONS
    if unknown:
        raise TypeError(f"method has no option {min(unknown)!r}; it has {sorted(_OPTIONS)}")

    def decorate(function: Any) -> Any:
        function.__procall__ = options
        return function

    return decorate if function is None else decorate(function)


_OPTIONS = {"name", "idempotent", "description", "raises", "request_model"}


def _show_stacks() -> None:
    """Has SIGUSR1 show on standard error where every thread is, even while one holds the lock of
    the interpreter: a pool asks for it before it ends a worker that hangs.
    """
    import faulthandler

    if TYPE_CHECKING:
        import signal as _signal
    else:
        import _signal

    # A program that has a handler of its own knows what it wants.
    if _signal.getsignal(_signal.SIGUSR1) == _signal.SIG_DFL:
        # By its number: what a program has put in the place of `sys.stderr` need not be a file.
        faulthandler.register(_signal.SIGUSR1, file=2)


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
