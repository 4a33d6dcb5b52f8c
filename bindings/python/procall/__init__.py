"""Call functions in other processes and languages as if local.

A service::

    import procall

    calc = procall.Service("calc")

    @calc.method(idempotent=True)
    def add(a: int, b: int) -> int:
        return a + b

    calc.run()

Its caller::

    import procall

    with procall.connect("calc") as calc:
        calc.add(1, 2)  # 3

The same names for asyncio are in ``procall.aio``.
"""

from __future__ import annotations

import os

from procall._native import VERSION as __version__
from procall._native import Context, forked
from procall._service import Service, method

# What a parent has connected is refused in a child that it forks.
os.register_at_fork(after_in_child=forked)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from procall import aio as aio
    from procall._client import Client as Client
    from procall._client import connect as connect
    from procall._errors import Cancelled as Cancelled
    from procall._errors import Closed as Closed
    from procall._errors import ConnectionLost as ConnectionLost
    from procall._errors import DeadlineExceeded as DeadlineExceeded
    from procall._errors import Deadlock as Deadlock
    from procall._errors import Ejected as Ejected
    from procall._errors import Error as Error
    from procall._errors import FieldError as FieldError
    from procall._errors import HandlerError as HandlerError
    from procall._errors import Internal as Internal
    from procall._errors import InvalidArgument as InvalidArgument
    from procall._errors import InvalidResult as InvalidResult
    from procall._errors import NameTaken as NameTaken
    from procall._errors import NotFound as NotFound
    from procall._errors import NoWorker as NoWorker
    from procall._errors import Overloaded as Overloaded
    from procall._errors import PermissionDenied as PermissionDenied
    from procall._errors import Poison as Poison
    from procall._errors import ProtocolError as ProtocolError
    from procall._errors import ResultTooLarge as ResultTooLarge
    from procall._errors import SpawnFailed as SpawnFailed
    from procall._errors import Unauthenticated as Unauthenticated
    from procall._errors import Unavailable as Unavailable
    from procall._errors import VersionMismatch as VersionMismatch
    from procall._errors import WorkerLost as WorkerLost
    from procall._figures import Health as Health
    from procall._figures import Latency as Latency
    from procall._figures import Metrics as Metrics
    from procall._figures import Stats as Stats
    from procall._methods import DeclaredError as DeclaredError
    from procall._methods import MethodInfo as MethodInfo
    from procall._native import Peer as Peer
    from procall._native import Stream as Stream
    from procall._options import PoolOptions as PoolOptions
    from procall._pool import Pool as Pool
    from procall._raised import register_error as register_error
    from procall._tqdm import tqdm as tqdm
    from procall._typed import TypedBuffer as TypedBuffer
    from procall._workers import Answer as Answer
    from procall._workers import Event as Event
    from procall._workers import Outcome as Outcome
    from procall._workers import OutputLine as OutputLine
    from procall._workers import WorkerInfo as WorkerInfo
else:
    # A worker pays at its start only for what it uses, so everything else is imported when it
    # is first asked for.
    _PLACES = {
        "Client": "procall._client",
        "connect": "procall._client",
        "Health": "procall._figures",
        "Latency": "procall._figures",
        "Metrics": "procall._figures",
        "Stats": "procall._figures",
        "DeclaredError": "procall._methods",
        "MethodInfo": "procall._methods",
        "Peer": "procall._native",
        "Stream": "procall._native",
        "PoolOptions": "procall._options",
        "Pool": "procall._pool",
        "register_error": "procall._raised",
        "tqdm": "procall._tqdm",
        "TypedBuffer": "procall._typed",
        "Answer": "procall._workers",
        "Event": "procall._workers",
        "Outcome": "procall._workers",
        "OutputLine": "procall._workers",
        "WorkerInfo": "procall._workers",
    }

    def __getattr__(name):
        # With names to import from it, `__import__` gives the inner module. It is what there is
        # without importing `importlib`.
        if name == "aio":
            return __import__("procall.aio", fromlist=["connect"])
        if name.startswith("_"):
            raise AttributeError(f"module 'procall' has no attribute {name!r}")
        module = __import__(_PLACES.get(name, "procall._errors"), fromlist=[name])
        try:
            value = getattr(module, name)
        except AttributeError:
            raise AttributeError(f"module 'procall' has no attribute {name!r}") from None
        globals()[name] = value
        return value


__all__ = [
    "Answer",
    "Cancelled",
    "Client",
    "Closed",
    "ConnectionLost",
    "Context",
    "DeadlineExceeded",
    "Deadlock",
    "DeclaredError",
    "Ejected",
    "Error",
    "Event",
    "FieldError",
    "HandlerError",
    "Health",
    "Internal",
    "InvalidArgument",
    "InvalidResult",
    "Latency",
    "MethodInfo",
    "Metrics",
    "NameTaken",
    "NoWorker",
    "NotFound",
    "Outcome",
    "OutputLine",
    "Overloaded",
    "Peer",
    "PermissionDenied",
    "Poison",
    "Pool",
    "PoolOptions",
    "ProtocolError",
    "ResultTooLarge",
    "Service",
    "SpawnFailed",
    "Stats",
    "Stream",
    "TypedBuffer",
    "Unauthenticated",
    "Unavailable",
    "VersionMismatch",
    "WorkerInfo",
    "WorkerLost",
    "__version__",
    "aio",
    "connect",
    "method",
    "register_error",
    "tqdm",
]


def __dir__() -> list[str]:
    return __all__
