// Generated from spec/errors.toml by `cargo xtask gen`; do not edit.

//! The error codes.

use std::fmt;

use crate::Executed;

/// What went wrong, as every peer in every language names it.
///
/// Numbers are for ever: a number that is missing was retired and is never used again.
#[non_exhaustive]
#[repr(u16)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The arguments do not fit the method.
    InvalidArgument = 1,
    /// No such method, service or peer is known.
    NotFound = 2,
    /// The method is known, but no worker that serves it is available.
    NoWorker = 3,
    /// A queue is full, so the call was refused before it was handed to a worker.
    Overloaded = 4,
    /// The target is draining and takes no new calls.
    Unavailable = 5,
    /// The peer has not proved who it is.
    Unauthenticated = 6,
    /// The caller is known, but is not allowed to do this.
    PermissionDenied = 7,
    /// The deadline passed before the outcome was known.
    DeadlineExceeded = 8,
    /// The call was cancelled by its caller.
    Cancelled = 9,
    /// The call would wait for ever for its own chain of callers, or its chain is too deep.
    Deadlock = 10,
    /// The worker was taken out of service for a while after repeated failures.
    Ejected = 11,
    /// The call was refused because it has already cost two workers their lives.
    Poison = 12,
    /// The handler ran and raised an error.
    HandlerError = 13,
    /// The handler ran, but its result cannot be delivered as the method promises.
    InvalidResult = 14,
    /// The handler ran, but its result is larger than the limit.
    ResultTooLarge = 15,
    /// The worker died while the call was in its hands.
    WorkerLost = 16,
    /// The link to the peer ended while the call was under way.
    ConnectionLost = 17,
    /// The peer sent something that the protocol does not allow.
    ProtocolError = 18,
    /// The two peers have no protocol version in common.
    VersionMismatch = 19,
    /// A worker process could not be started.
    SpawnFailed = 20,
    /// The client or pool was already closed on this side.
    Closed = 21,
    /// Procall itself has a defect.
    Internal = 22,
    /// Another process serves under this name or address already.
    NameTaken = 23,
}

impl ErrorCode {
    /// Every code, by number.
    pub const ALL: &[Self] = &[
        Self::InvalidArgument,
        Self::NotFound,
        Self::NoWorker,
        Self::Overloaded,
        Self::Unavailable,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::Deadlock,
        Self::Ejected,
        Self::Poison,
        Self::HandlerError,
        Self::InvalidResult,
        Self::ResultTooLarge,
        Self::WorkerLost,
        Self::ConnectionLost,
        Self::ProtocolError,
        Self::VersionMismatch,
        Self::SpawnFailed,
        Self::Closed,
        Self::Internal,
        Self::NameTaken,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number; `None` for 0, for retired numbers and for those of newer peers.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::InvalidArgument,
            2 => Self::NotFound,
            3 => Self::NoWorker,
            4 => Self::Overloaded,
            5 => Self::Unavailable,
            6 => Self::Unauthenticated,
            7 => Self::PermissionDenied,
            8 => Self::DeadlineExceeded,
            9 => Self::Cancelled,
            10 => Self::Deadlock,
            11 => Self::Ejected,
            12 => Self::Poison,
            13 => Self::HandlerError,
            14 => Self::InvalidResult,
            15 => Self::ResultTooLarge,
            16 => Self::WorkerLost,
            17 => Self::ConnectionLost,
            18 => Self::ProtocolError,
            19 => Self::VersionMismatch,
            20 => Self::SpawnFailed,
            21 => Self::Closed,
            22 => Self::Internal,
            23 => Self::NameTaken,
            _ => return None,
        })
    }

    /// The name, as in `NOT_FOUND`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// The name in the engine dialect, as in `method_not_found`; [`name`](Self::name) where it has no word of its own.
    #[must_use]
    pub const fn engine_name(self) -> &'static str {
        self.entry().engine
    }

    /// The name in the roadmap dialect, as in `METHOD_NOT_FOUND`; [`name`](Self::name) where it has no word of its own.
    #[must_use]
    pub const fn roadmap_name(self) -> &'static str {
        self.entry().roadmap
    }

    /// The code with this name, as in `NOT_FOUND`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// Whether the same call may succeed later. Only codes of calls that did not run are retryable.
    #[must_use]
    pub const fn retryable(self) -> bool {
        self.entry().retryable
    }

    /// Whether the handler ran, when nobody knows better.
    #[must_use]
    pub const fn executed(self) -> Executed {
        self.entry().executed
    }

    /// What the code means, in one sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        self.entry().sentence
    }

    /// What usually leads to it.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        self.entry().cause
    }

    /// What to do about it.
    #[must_use]
    pub const fn fix(self) -> &'static str {
        self.entry().fix
    }

    const fn entry(self) -> &'static Entry {
        match self {
            Self::InvalidArgument => &Entry {
                name: "INVALID_ARGUMENT",
                engine: "invalid_params",
                roadmap: "BAD_REQUEST",
                retryable: false,
                executed: Executed::No,
                sentence: "The arguments do not fit the method.",
                cause: "A parameter is missing, unknown, of the wrong type or outside the registered schema, or a value cannot be encoded.",
                fix: "Correct the argument that the message names; `procall describe METHOD` shows the schema.",
            },
            Self::NotFound => &Entry {
                name: "NOT_FOUND",
                engine: "method_not_found",
                roadmap: "METHOD_NOT_FOUND",
                retryable: false,
                executed: Executed::No,
                sentence: "No such method, service or peer is known.",
                cause: "The name is misspelt, is ambiguous without its service, or nobody has registered it.",
                fix: "Use one of the names that the message suggests, or start a worker that serves it; `procall ls` lists what is there.",
            },
            Self::NoWorker => &Entry {
                name: "NO_WORKER",
                engine: "NO_WORKER",
                roadmap: "SERVER_BUSY",
                retryable: true,
                executed: Executed::No,
                sentence: "The method is known, but no worker that serves it is available.",
                cause: "Its workers are starting, restarting, not responding, or have failed too often to be started again.",
                fix: "Look at the workers with `procall ps`, and start or repair them; retry with a pause if they are only starting.",
            },
            Self::Overloaded => &Entry {
                name: "OVERLOADED",
                engine: "OVERLOADED",
                roadmap: "SERVER_BUSY",
                retryable: true,
                executed: Executed::No,
                sentence: "A queue is full, so the call was refused before it was handed to a worker.",
                cause: "Calls arrive faster than the workers finish them, or one caller has too many calls in flight.",
                fix: "Wait for the time given in `retry_after_ms`, send fewer calls at once, or add workers.",
            },
            Self::Unavailable => &Entry {
                name: "UNAVAILABLE",
                engine: "UNAVAILABLE",
                roadmap: "SERVER_BUSY",
                retryable: true,
                executed: Executed::No,
                sentence: "The target is draining and takes no new calls.",
                cause: "A worker, pool or engine was told to stop or to restart, and finishes only what it has begun.",
                fix: "Retry with a pause, so that the call reaches a replacement.",
            },
            Self::Unauthenticated => &Entry {
                name: "UNAUTHENTICATED",
                engine: "UNAUTHENTICATED",
                roadmap: "UNAUTHORIZED",
                retryable: false,
                executed: Executed::No,
                sentence: "The peer has not proved who it is.",
                cause: "The token is missing or wrong, or the peer runs as another user.",
                fix: "Pass the token that the listening side was configured with.",
            },
            Self::PermissionDenied => &Entry {
                name: "PERMISSION_DENIED",
                engine: "PERMISSION_DENIED",
                roadmap: "UNAUTHORIZED",
                retryable: false,
                executed: Executed::No,
                sentence: "The caller is known, but is not allowed to do this.",
                cause: "The operation needs a permission that the caller's token does not carry.",
                fix: "Use a token that carries the permission named in the message, or have it granted.",
            },
            Self::DeadlineExceeded => &Entry {
                name: "DEADLINE_EXCEEDED",
                engine: "DEADLINE_EXCEEDED",
                roadmap: "TIMEOUT",
                retryable: false,
                executed: Executed::Maybe,
                sentence: "The deadline passed before the outcome was known.",
                cause: "The call waited in queues or the handler ran for longer than the time given; the default deadline is 30 seconds.",
                fix: "Give the call a longer deadline, or find out where the time goes: `procall ps` shows how many calls each worker has in flight.",
            },
            Self::Cancelled => &Entry {
                name: "CANCELLED",
                engine: "CANCELLED",
                roadmap: "CANCELLED",
                retryable: false,
                executed: Executed::Maybe,
                sentence: "The call was cancelled by its caller.",
                cause: "The caller dropped or cancelled the call, was interrupted, or is itself part of a call that was cancelled.",
                fix: "Nothing, when the cancellation was intended; otherwise keep the call alive until it has its result.",
            },
            Self::Deadlock => &Entry {
                name: "DEADLOCK",
                engine: "DEADLOCK",
                roadmap: "DEADLOCK",
                retryable: false,
                executed: Executed::No,
                sentence: "The call would wait for ever for its own chain of callers, or its chain is too deep.",
                cause: "Every slot of the workers that could take the call is held by calls that wait for it, or more than 32 calls wait for it. The error names them as `chain`.",
                fix: "Raise the concurrency of the service that the chain comes back to, add workers, or pass the data along instead of calling back.",
            },
            Self::Ejected => &Entry {
                name: "EJECTED",
                engine: "EJECTED",
                roadmap: "EJECTED",
                retryable: true,
                executed: Executed::No,
                sentence: "The worker was taken out of service for a while after repeated failures.",
                cause: "The circuit breaker of the worker is open, because its last calls failed in transport or by overload.",
                fix: "Wait for the time given in `retry_after_ms`, and find the cause in what the worker printed, which `procall run` shows; `procall ps -v` has the last words of one that is down.",
            },
            Self::Poison => &Entry {
                name: "POISON",
                engine: "POISON",
                roadmap: "POISON",
                retryable: false,
                executed: Executed::No,
                sentence: "The call was refused because it has already cost two workers their lives.",
                cause: "Two workers died while they ran this very call, so a third is not given to it.",
                fix: "Find out from the workers' last output why the arguments kill the process, and repair the handler.",
            },
            Self::HandlerError => &Entry {
                name: "HANDLER_ERROR",
                engine: "HANDLER_ERROR",
                roadmap: "INTERNAL",
                retryable: false,
                executed: Executed::Yes,
                sentence: "The handler ran and raised an error.",
                cause: "The code of the method failed; its type, message and remote trace come with the error.",
                fix: "Repair the handler or the arguments according to the remote trace.",
            },
            Self::InvalidResult => &Entry {
                name: "INVALID_RESULT",
                engine: "invalid_result",
                roadmap: "INVALID_RESULT",
                retryable: false,
                executed: Executed::Yes,
                sentence: "The handler ran, but its result cannot be delivered as the method promises.",
                cause: "The result does not fit the registered schema, or holds a value that cannot be encoded.",
                fix: "Make the handler return what its signature says; the message names the path of the offending value.",
            },
            Self::ResultTooLarge => &Entry {
                name: "RESULT_TOO_LARGE",
                engine: "RESULT_TOO_LARGE",
                roadmap: "RESULT_TOO_LARGE",
                retryable: false,
                executed: Executed::Yes,
                sentence: "The handler ran, but its result is larger than the limit.",
                cause: "The encoded result exceeds the limit for one body.",
                fix: "Return the result as a stream or in parts, or raise the limit on both sides.",
            },
            Self::WorkerLost => &Entry {
                name: "WORKER_LOST",
                engine: "WORKER_LOST",
                roadmap: "WORKER_LOST",
                retryable: false,
                executed: Executed::Maybe,
                sentence: "The worker died while the call was in its hands.",
                cause: "The process exited, crashed or was killed; the error carries its exit reason and its last output.",
                fix: "Repair what ended the process; mark the method idempotent if it may safely be run again.",
            },
            Self::ConnectionLost => &Entry {
                name: "CONNECTION_LOST",
                engine: "CONNECTION_LOST",
                roadmap: "CONNECTION_LOST",
                retryable: false,
                executed: Executed::Maybe,
                sentence: "The link to the peer ended while the call was under way.",
                cause: "The engine or the network in between went away, or the peer closed the link.",
                fix: "Check that the peer is running; mark the method idempotent if it may safely be run again.",
            },
            Self::ProtocolError => &Entry {
                name: "PROTOCOL_ERROR",
                engine: "PROTOCOL_ERROR",
                roadmap: "BAD_REQUEST",
                retryable: false,
                executed: Executed::Maybe,
                sentence: "The peer sent something that the protocol does not allow.",
                cause: "The peer does not speak Procall, has a defect, or the bytes were damaged on the way.",
                fix: "Check the address and what listens there; if both sides are Procall, please report it.",
            },
            Self::VersionMismatch => &Entry {
                name: "VERSION_MISMATCH",
                engine: "VERSION_MISMATCH",
                roadmap: "VERSION_MISMATCH",
                retryable: false,
                executed: Executed::No,
                sentence: "The two peers have no protocol version in common.",
                cause: "One side is more than one protocol version older than the other.",
                fix: "Update the older side, which the message names.",
            },
            Self::SpawnFailed => &Entry {
                name: "SPAWN_FAILED",
                engine: "SPAWN_FAILED",
                roadmap: "SPAWN_FAILED",
                retryable: false,
                executed: Executed::No,
                sentence: "A worker process could not be started.",
                cause: "The program does not exist, cannot be executed, or exited before it was ready.",
                fix: "Run the command that the message shows by hand, and read the output that comes with the error.",
            },
            Self::Closed => &Entry {
                name: "CLOSED",
                engine: "CLOSED",
                roadmap: "CLOSED",
                retryable: false,
                executed: Executed::No,
                sentence: "The client or pool was already closed on this side.",
                cause: "The program called `close`, or left the block that owned the client or pool, and then used it again.",
                fix: "Make the call before closing, or create a new client or pool.",
            },
            Self::Internal => &Entry {
                name: "INTERNAL",
                engine: "INTERNAL",
                roadmap: "INTERNAL",
                retryable: false,
                executed: Executed::Maybe,
                sentence: "Procall itself has a defect.",
                cause: "An invariant of Procall did not hold; your program need not have done anything wrong.",
                fix: "Please report it, with the whole message.",
            },
            Self::NameTaken => &Entry {
                name: "NAME_TAKEN",
                engine: "NAME_TAKEN",
                roadmap: "NAME_TAKEN",
                retryable: false,
                executed: Executed::No,
                sentence: "Another process serves under this name or address already.",
                cause: "The service was started twice, or two different services have the same name or address.",
                fix: "End the process that the message names, or serve under another name or at another address (`PROCALL_LISTEN`).",
            },
        }
    }
}

/// Displays the name.
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

struct Entry {
    name: &'static str,
    engine: &'static str,
    roadmap: &'static str,
    retryable: bool,
    executed: Executed,
    sentence: &'static str,
    cause: &'static str,
    fix: &'static str,
}
