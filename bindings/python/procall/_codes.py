# Generated from spec/errors.toml by `cargo xtask gen`; do not edit.
"""The error codes: what each means, and the exception class that stands for it."""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """What is known about one error code."""

    number: int
    """The number on the wire. Numbers are never reused."""
    name: str
    """As in ``NOT_FOUND``."""
    class_name: str
    """The exception class, as in ``NotFound``."""
    base: str | None
    """The builtin exception that the class also derives from, if any."""
    retryable: bool
    """Whether the same call may succeed later."""
    executed: Literal["no", "maybe", "yes"]
    """Whether the handler ran, when nobody knows better."""
    sentence: str
    """What the code means."""
    cause: str
    """What usually leads to it."""
    fix: str
    """What to do about it."""


CODES: Final[dict[str, CodeInfo]] = {
    "INVALID_ARGUMENT": CodeInfo(
        number=1,
        name="INVALID_ARGUMENT",
        class_name="InvalidArgument",
        base="ValueError",
        retryable=False,
        executed="no",
        sentence="The arguments do not fit the method.",
        cause=(
            "A parameter is missing, unknown, of the wrong type or outside the registered schema, "
            "or a value cannot be encoded."
        ),
        fix=(
            "Correct the argument that the message names; `procall describe METHOD` shows the "
            "schema."
        ),
    ),
    "NOT_FOUND": CodeInfo(
        number=2,
        name="NOT_FOUND",
        class_name="NotFound",
        base="LookupError",
        retryable=False,
        executed="no",
        sentence="No such method, service or peer is known.",
        cause=(
            "The name is misspelt, is ambiguous without its service, or nobody has registered it."
        ),
        fix=(
            "Use one of the names that the message suggests, or start a worker that serves it; "
            "`procall ls` lists what is there."
        ),
    ),
    "NO_WORKER": CodeInfo(
        number=3,
        name="NO_WORKER",
        class_name="NoWorker",
        base="ConnectionError",
        retryable=True,
        executed="no",
        sentence="The method is known, but no worker that serves it is available.",
        cause=(
            "Its workers are starting, restarting, not responding, or have failed too often to be "
            "started again."
        ),
        fix=(
            "Look at the workers with `procall ps`, and start or repair them; retry with a pause "
            "if they are only starting."
        ),
    ),
    "OVERLOADED": CodeInfo(
        number=4,
        name="OVERLOADED",
        class_name="Overloaded",
        base="ConnectionError",
        retryable=True,
        executed="no",
        sentence="A queue is full, so the call was refused before it was handed to a worker.",
        cause=(
            "Calls arrive faster than the workers finish them, or one caller has too many calls in "
            "flight."
        ),
        fix=(
            "Wait for the time given in `retry_after_ms`, send fewer calls at once, or add workers."
        ),
    ),
    "UNAVAILABLE": CodeInfo(
        number=5,
        name="UNAVAILABLE",
        class_name="Unavailable",
        base="ConnectionError",
        retryable=True,
        executed="no",
        sentence="The target is draining and takes no new calls.",
        cause=(
            "A worker, pool or engine was told to stop or to restart, and finishes only what it "
            "has begun."
        ),
        fix="Retry with a pause, so that the call reaches a replacement.",
    ),
    "UNAUTHENTICATED": CodeInfo(
        number=6,
        name="UNAUTHENTICATED",
        class_name="Unauthenticated",
        base="PermissionError",
        retryable=False,
        executed="no",
        sentence="The peer has not proved who it is.",
        cause="The token is missing or wrong, or the peer runs as another user.",
        fix="Pass the token that the listening side was configured with.",
    ),
    "PERMISSION_DENIED": CodeInfo(
        number=7,
        name="PERMISSION_DENIED",
        class_name="PermissionDenied",
        base="PermissionError",
        retryable=False,
        executed="no",
        sentence="The caller is known, but is not allowed to do this.",
        cause="The operation needs a permission that the caller's token does not carry.",
        fix="Use a token that carries the permission named in the message, or have it granted.",
    ),
    "DEADLINE_EXCEEDED": CodeInfo(
        number=8,
        name="DEADLINE_EXCEEDED",
        class_name="DeadlineExceeded",
        base="TimeoutError",
        retryable=False,
        executed="maybe",
        sentence="The deadline passed before the outcome was known.",
        cause=(
            "The call waited in queues or the handler ran for longer than the time given; the "
            "default deadline is 30 seconds."
        ),
        fix=(
            "Give the call a longer deadline, or find out where the time goes: `procall ps` shows "
            "how many calls each worker has in flight."
        ),
    ),
    "CANCELLED": CodeInfo(
        number=9,
        name="CANCELLED",
        class_name="Cancelled",
        base=None,
        retryable=False,
        executed="maybe",
        sentence="The call was cancelled by its caller.",
        cause=(
            "The caller dropped or cancelled the call, was interrupted, or is itself part of a "
            "call that was cancelled."
        ),
        fix=(
            "Nothing, when the cancellation was intended; otherwise keep the call alive until it "
            "has its result."
        ),
    ),
    "DEADLOCK": CodeInfo(
        number=10,
        name="DEADLOCK",
        class_name="Deadlock",
        base="RuntimeError",
        retryable=False,
        executed="no",
        sentence=(
            "The call would wait for ever for its own chain of callers, or its chain is too deep."
        ),
        cause=(
            "Every slot of the workers that could take the call is held by calls that wait for it, "
            "or more than 32 calls wait for it. The error names them as `chain`."
        ),
        fix=(
            "Raise the concurrency of the service that the chain comes back to, add workers, or "
            "pass the data along instead of calling back."
        ),
    ),
    "EJECTED": CodeInfo(
        number=11,
        name="EJECTED",
        class_name="Ejected",
        base="RuntimeError",
        retryable=True,
        executed="no",
        sentence="The worker was taken out of service for a while after repeated failures.",
        cause=(
            "The circuit breaker of the worker is open, because its last calls failed in transport "
            "or by overload."
        ),
        fix=(
            "Wait for the time given in `retry_after_ms`, and find the cause in what the worker "
            "printed, which `procall run` shows; `procall ps -v` has the last words of one that is "
            "down."
        ),
    ),
    "POISON": CodeInfo(
        number=12,
        name="POISON",
        class_name="Poison",
        base="RuntimeError",
        retryable=False,
        executed="no",
        sentence="The call was refused because it has already cost two workers their lives.",
        cause="Two workers died while they ran this very call, so a third is not given to it.",
        fix=(
            "Find out from the workers' last output why the arguments kill the process, and repair "
            "the handler."
        ),
    ),
    "HANDLER_ERROR": CodeInfo(
        number=13,
        name="HANDLER_ERROR",
        class_name="HandlerError",
        base="RuntimeError",
        retryable=False,
        executed="yes",
        sentence="The handler ran and raised an error.",
        cause=(
            "The code of the method failed; its type, message and remote trace come with the error."
        ),
        fix="Repair the handler or the arguments according to the remote trace.",
    ),
    "INVALID_RESULT": CodeInfo(
        number=14,
        name="INVALID_RESULT",
        class_name="InvalidResult",
        base="ValueError",
        retryable=False,
        executed="yes",
        sentence="The handler ran, but its result cannot be delivered as the method promises.",
        cause=(
            "The result does not fit the registered schema, or holds a value that cannot be "
            "encoded."
        ),
        fix=(
            "Make the handler return what its signature says; the message names the path of the "
            "offending value."
        ),
    ),
    "RESULT_TOO_LARGE": CodeInfo(
        number=15,
        name="RESULT_TOO_LARGE",
        class_name="ResultTooLarge",
        base="ValueError",
        retryable=False,
        executed="yes",
        sentence="The handler ran, but its result is larger than the limit.",
        cause="The encoded result exceeds the limit for one body.",
        fix="Return the result as a stream or in parts, or raise the limit on both sides.",
    ),
    "WORKER_LOST": CodeInfo(
        number=16,
        name="WORKER_LOST",
        class_name="WorkerLost",
        base="ConnectionError",
        retryable=False,
        executed="maybe",
        sentence="The worker died while the call was in its hands.",
        cause=(
            "The process exited, crashed or was killed; the error carries its exit reason and its "
            "last output."
        ),
        fix=(
            "Repair what ended the process; mark the method idempotent if it may safely be run "
            "again."
        ),
    ),
    "CONNECTION_LOST": CodeInfo(
        number=17,
        name="CONNECTION_LOST",
        class_name="ConnectionLost",
        base="ConnectionError",
        retryable=False,
        executed="maybe",
        sentence="The link to the peer ended while the call was under way.",
        cause="The engine or the network in between went away, or the peer closed the link.",
        fix=(
            "Check that the peer is running; mark the method idempotent if it may safely be run "
            "again."
        ),
    ),
    "PROTOCOL_ERROR": CodeInfo(
        number=18,
        name="PROTOCOL_ERROR",
        class_name="ProtocolError",
        base="RuntimeError",
        retryable=False,
        executed="maybe",
        sentence="The peer sent something that the protocol does not allow.",
        cause=(
            "The peer does not speak Procall, has a defect, or the bytes were damaged on the way."
        ),
        fix=(
            "Check the address and what listens there; if both sides are Procall, please report it."
        ),
    ),
    "VERSION_MISMATCH": CodeInfo(
        number=19,
        name="VERSION_MISMATCH",
        class_name="VersionMismatch",
        base="RuntimeError",
        retryable=False,
        executed="no",
        sentence="The two peers have no protocol version in common.",
        cause="One side is more than one protocol version older than the other.",
        fix="Update the older side, which the message names.",
    ),
    "SPAWN_FAILED": CodeInfo(
        number=20,
        name="SPAWN_FAILED",
        class_name="SpawnFailed",
        base="RuntimeError",
        retryable=False,
        executed="no",
        sentence="A worker process could not be started.",
        cause="The program does not exist, cannot be executed, or exited before it was ready.",
        fix=(
            "Run the command that the message shows by hand, and read the output that comes with "
            "the error."
        ),
    ),
    "CLOSED": CodeInfo(
        number=21,
        name="CLOSED",
        class_name="Closed",
        base="RuntimeError",
        retryable=False,
        executed="no",
        sentence="The client or pool was already closed on this side.",
        cause=(
            "The program called `close`, or left the block that owned the client or pool, and then "
            "used it again."
        ),
        fix="Make the call before closing, or create a new client or pool.",
    ),
    "INTERNAL": CodeInfo(
        number=22,
        name="INTERNAL",
        class_name="Internal",
        base="RuntimeError",
        retryable=False,
        executed="maybe",
        sentence="Procall itself has a defect.",
        cause=(
            "An invariant of Procall did not hold; your program need not have done anything wrong."
        ),
        fix="Please report it, with the whole message.",
    ),
    "NAME_TAKEN": CodeInfo(
        number=23,
        name="NAME_TAKEN",
        class_name="NameTaken",
        base="RuntimeError",
        retryable=False,
        executed="no",
        sentence="Another process serves under this name or address already.",
        cause=(
            "The service was started twice, or two different services have the same name or "
            "address."
        ),
        fix=(
            "End the process that the message names, or serve under another name or at another "
            "address (`PROCALL_LISTEN`)."
        ),
    ),
}
