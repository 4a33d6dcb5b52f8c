"""The exceptions: one class for each error code of ``spec/errors.toml``.

A test compares them with the generated table in ``_codes.py``.
"""

from __future__ import annotations

from procall._public import public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Literal

    Executed = Literal["no", "maybe", "yes"]


class FieldError:
    """One argument that was wrong: where, and what is wrong with it.

    ::

        try:
            calc.add(1, "x")
        except procall.InvalidArgument as error:
            for field in error.fields:
                print(field.path, field.message)  # b must be int, not str
    """

    __slots__ = ("message", "path")

    path: str
    """Where: as in ``b`` or ``items[2].size``."""
    message: str
    """What is wrong with it."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self.message = message

    def __repr__(self) -> str:
        return f"FieldError({self.path!r}, {self.message!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FieldError):
            return NotImplemented
        return (self.path, self.message) == (other.path, other.message)

    def __hash__(self) -> int:
        return hash((self.path, self.message))


class Error(Exception):
    """Why a call, a connection or a pool failed. All of Procall's exceptions derive from it.

    A handler may raise one too: its caller then gets the same code.

    ::

        try:
            calc.add(1, "x")
        except procall.Error as error:
            print(error.code, error.executed, error.message)  # INVALID_ARGUMENT, no, ...
    """

    code: str = "INTERNAL"
    """The same in every language, as in ``NOT_FOUND``."""
    executed: Executed = "maybe"
    """Whether the handler ran. ``no`` is a guarantee."""
    retryable: bool = False
    """Whether the same call may succeed later."""
    worker: str | None = None
    """The worker it happened at, as in ``calc/2 (pid 4131)``."""
    remote_type: str | None = None
    """The class of the exception that the handler raised."""
    remote_traceback: str | None = None
    """The handler's traceback, or the last words of a lost worker."""
    retry_after: float | None = None
    """Seconds to wait before another try."""
    no_retry: bool = False
    """The other side forbids another try. A handler may set it on what it raises."""
    attempts: int = 1
    """How often the call was made before this came out of it."""
    fields: Sequence[FieldError] = ()
    """The arguments that were wrong."""
    candidates: Sequence[str] = ()
    """Names that were perhaps meant."""
    chain: Sequence[str] = ()
    """The cycle of a DEADLOCK: the calls that wait for one another, outermost first."""
    details: Any = None
    """What the service attached."""
    # An error that a call gave is not the handler's own, even when the handler lets it pass.
    _procall_own = True

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message)
        if facts:
            self._procall_own = False
            facts["fields"] = [FieldError(*field) for field in facts.get("fields", ())]
            self.__dict__.update(facts)
            if self.remote_traceback:
                self.add_note(f"at the other side:\n{self.remote_traceback}")

    @property
    def message(self) -> str:
        """One sentence for people."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        if self._procall_own:
            return self.message
        kind = f"{self.remote_type}: " if self.remote_type else ""
        line = " ".join(self.message.splitlines())
        attempts = f", attempts: {self.attempts}" if self.attempts > 1 else ""
        return f"{self.code}: {kind}{line} (executed: {self.executed}{attempts})"


class InvalidArgument(Error, ValueError):
    """The arguments do not fit the method."""

    code: str = "INVALID_ARGUMENT"
    executed: Executed = "no"


class NotFound(Error, LookupError):
    """No such method, service or peer is known."""

    code: str = "NOT_FOUND"
    executed: Executed = "no"


class NoWorker(Error, ConnectionError):
    """The method is known, but no worker that serves it is available."""

    code: str = "NO_WORKER"
    executed: Executed = "no"
    retryable: bool = True


class Overloaded(Error, ConnectionError):
    """A queue is full, so the call was refused before it was handed to a worker."""

    code: str = "OVERLOADED"
    executed: Executed = "no"
    retryable: bool = True


class Unavailable(Error, ConnectionError):
    """The target is draining and takes no new calls."""

    code: str = "UNAVAILABLE"
    executed: Executed = "no"
    retryable: bool = True


class Unauthenticated(Error, PermissionError):
    """The peer has not proved who it is."""

    code: str = "UNAUTHENTICATED"
    executed: Executed = "no"


class PermissionDenied(Error, PermissionError):
    """The caller is known, but is not allowed to do this."""

    code: str = "PERMISSION_DENIED"
    executed: Executed = "no"


class DeadlineExceeded(Error, TimeoutError):
    """The deadline passed before the outcome was known."""

    code: str = "DEADLINE_EXCEEDED"


class Cancelled(Error):
    """The call was cancelled by its caller."""

    code: str = "CANCELLED"


class Deadlock(Error, RuntimeError):
    """The call would wait for ever for its own chain of callers, or its chain is too deep."""

    code: str = "DEADLOCK"
    executed: Executed = "no"


class Ejected(Error, RuntimeError):
    """The worker was taken out of service for a while after repeated failures."""

    code: str = "EJECTED"
    executed: Executed = "no"
    retryable: bool = True


class Poison(Error, RuntimeError):
    """The call was refused because it has already cost two workers their lives."""

    code: str = "POISON"
    executed: Executed = "no"


class HandlerError(Error, RuntimeError):
    """The handler ran and raised an error."""

    code: str = "HANDLER_ERROR"
    executed: Executed = "yes"


class InvalidResult(Error, ValueError):
    """The handler ran, but its result cannot be delivered as the method promises."""

    code: str = "INVALID_RESULT"
    executed: Executed = "yes"


class ResultTooLarge(Error, ValueError):
    """The handler ran, but its result is larger than the limit."""

    code: str = "RESULT_TOO_LARGE"
    executed: Executed = "yes"


class WorkerLost(Error, ConnectionError):
    """The worker died while the call was in its hands."""

    code: str = "WORKER_LOST"


class ConnectionLost(Error, ConnectionError):
    """The link to the peer ended while the call was under way."""

    code: str = "CONNECTION_LOST"


class ProtocolError(Error, RuntimeError):
    """The peer sent something that the protocol does not allow."""

    code: str = "PROTOCOL_ERROR"


class VersionMismatch(Error, RuntimeError):
    """The two peers have no protocol version in common."""

    code: str = "VERSION_MISMATCH"
    executed: Executed = "no"


class SpawnFailed(Error, RuntimeError):
    """A worker process could not be started."""

    code: str = "SPAWN_FAILED"
    executed: Executed = "no"


class Closed(Error, RuntimeError):
    """The client or pool was already closed on this side."""

    code: str = "CLOSED"
    executed: Executed = "no"


class Internal(Error, RuntimeError):
    """Procall itself has a defect."""

    code: str = "INTERNAL"


class NameTaken(Error, RuntimeError):
    """Another process serves under this name or address already."""

    code: str = "NAME_TAKEN"
    executed: Executed = "no"


CLASSES: dict[str, type[Error]] = {
    error.code: error
    for error in (
        InvalidArgument,
        NotFound,
        NoWorker,
        Overloaded,
        Unavailable,
        Unauthenticated,
        PermissionDenied,
        DeadlineExceeded,
        Cancelled,
        Deadlock,
        Ejected,
        Poison,
        HandlerError,
        InvalidResult,
        ResultTooLarge,
        WorkerLost,
        ConnectionLost,
        ProtocolError,
        VersionMismatch,
        SpawnFailed,
        Closed,
        Internal,
        NameTaken,
    )
}
"""The class of each code."""

for _each in (FieldError, Error, *CLASSES.values()):
    public(_each)

REGISTERED: dict[str, Any] = {}
"""What ``register_error`` has made known: by the name that travels, what makes the exception."""
