// Generated from spec/errors.toml by `cargo xtask gen`; do not edit.

/** The name of every error code. */
export type ErrorCode =
  | "INVALID_ARGUMENT"
  | "NOT_FOUND"
  | "NO_WORKER"
  | "OVERLOADED"
  | "UNAVAILABLE"
  | "UNAUTHENTICATED"
  | "PERMISSION_DENIED"
  | "DEADLINE_EXCEEDED"
  | "CANCELLED"
  | "DEADLOCK"
  | "EJECTED"
  | "POISON"
  | "HANDLER_ERROR"
  | "INVALID_RESULT"
  | "RESULT_TOO_LARGE"
  | "WORKER_LOST"
  | "CONNECTION_LOST"
  | "PROTOCOL_ERROR"
  | "VERSION_MISMATCH"
  | "SPAWN_FAILED"
  | "CLOSED"
  | "INTERNAL"
  | "NAME_TAKEN";

/** Whether the handler ran. */
export type Executed = "no" | "maybe" | "yes";

/** What is known about one error code. */
export interface CodeInfo {
  /** The number on the wire. Numbers are never reused. */
  readonly number: number;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** Whether the handler ran, when nobody knows better. */
  readonly executed: Executed;
  /** What the code means. */
  readonly sentence: string;
  /** What usually leads to it. */
  readonly cause: string;
  /** What to do about it. */
  readonly fix: string;
}

/**
 * Every error code, by name.
 *
 * ```ts
 * const { sentence, fix } = CODES.NOT_FOUND;
 * ```
 */
export const CODES: Readonly<Record<ErrorCode, CodeInfo>> = {
  INVALID_ARGUMENT: {
    number: 1,
    retryable: false,
    executed: "no",
    sentence: "The arguments do not fit the method.",
    cause:
      "A parameter is missing, unknown, of the wrong type or outside the registered schema, or a value cannot be encoded.",
    fix: "Correct the argument that the message names; `procall describe METHOD` shows the schema.",
  },
  NOT_FOUND: {
    number: 2,
    retryable: false,
    executed: "no",
    sentence: "No such method, service or peer is known.",
    cause: "The name is misspelt, is ambiguous without its service, or nobody has registered it.",
    fix: "Use one of the names that the message suggests, or start a worker that serves it; `procall ls` lists what is there.",
  },
  NO_WORKER: {
    number: 3,
    retryable: true,
    executed: "no",
    sentence: "The method is known, but no worker that serves it is available.",
    cause:
      "Its workers are starting, restarting, not responding, or have failed too often to be started again.",
    fix: "Look at the workers with `procall ps`, and start or repair them; retry with a pause if they are only starting.",
  },
  OVERLOADED: {
    number: 4,
    retryable: true,
    executed: "no",
    sentence: "A queue is full, so the call was refused before it was handed to a worker.",
    cause:
      "Calls arrive faster than the workers finish them, or one caller has too many calls in flight.",
    fix: "Wait for the time given in `retry_after_ms`, send fewer calls at once, or add workers.",
  },
  UNAVAILABLE: {
    number: 5,
    retryable: true,
    executed: "no",
    sentence: "The target is draining and takes no new calls.",
    cause:
      "A worker, pool or engine was told to stop or to restart, and finishes only what it has begun.",
    fix: "Retry with a pause, so that the call reaches a replacement.",
  },
  UNAUTHENTICATED: {
    number: 6,
    retryable: false,
    executed: "no",
    sentence: "The peer has not proved who it is.",
    cause: "The token is missing or wrong, or the peer runs as another user.",
    fix: "Pass the token that the listening side was configured with.",
  },
  PERMISSION_DENIED: {
    number: 7,
    retryable: false,
    executed: "no",
    sentence: "The caller is known, but is not allowed to do this.",
    cause: "The operation needs a permission that the caller's token does not carry.",
    fix: "Use a token that carries the permission named in the message, or have it granted.",
  },
  DEADLINE_EXCEEDED: {
    number: 8,
    retryable: false,
    executed: "maybe",
    sentence: "The deadline passed before the outcome was known.",
    cause:
      "The call waited in queues or the handler ran for longer than the time given; the default deadline is 30 seconds.",
    fix: "Give the call a longer deadline, or find out where the time goes: `procall ps` shows how many calls each worker has in flight.",
  },
  CANCELLED: {
    number: 9,
    retryable: false,
    executed: "maybe",
    sentence: "The call was cancelled by its caller.",
    cause:
      "The caller dropped or cancelled the call, was interrupted, or is itself part of a call that was cancelled.",
    fix: "Nothing, when the cancellation was intended; otherwise keep the call alive until it has its result.",
  },
  DEADLOCK: {
    number: 10,
    retryable: false,
    executed: "no",
    sentence:
      "The call would wait for ever for its own chain of callers, or its chain is too deep.",
    cause:
      "Every slot of the workers that could take the call is held by calls that wait for it, or more than 32 calls wait for it. The error names them as `chain`.",
    fix: "Raise the concurrency of the service that the chain comes back to, add workers, or pass the data along instead of calling back.",
  },
  EJECTED: {
    number: 11,
    retryable: true,
    executed: "no",
    sentence: "The worker was taken out of service for a while after repeated failures.",
    cause:
      "The circuit breaker of the worker is open, because its last calls failed in transport or by overload.",
    fix: "Wait for the time given in `retry_after_ms`, and find the cause in what the worker printed, which `procall run` shows; `procall ps -v` has the last words of one that is down.",
  },
  POISON: {
    number: 12,
    retryable: false,
    executed: "no",
    sentence: "The call was refused because it has already cost two workers their lives.",
    cause: "Two workers died while they ran this very call, so a third is not given to it.",
    fix: "Find out from the workers' last output why the arguments kill the process, and repair the handler.",
  },
  HANDLER_ERROR: {
    number: 13,
    retryable: false,
    executed: "yes",
    sentence: "The handler ran and raised an error.",
    cause: "The code of the method failed; its type, message and remote trace come with the error.",
    fix: "Repair the handler or the arguments according to the remote trace.",
  },
  INVALID_RESULT: {
    number: 14,
    retryable: false,
    executed: "yes",
    sentence: "The handler ran, but its result cannot be delivered as the method promises.",
    cause:
      "The result does not fit the registered schema, or holds a value that cannot be encoded.",
    fix: "Make the handler return what its signature says; the message names the path of the offending value.",
  },
  RESULT_TOO_LARGE: {
    number: 15,
    retryable: false,
    executed: "yes",
    sentence: "The handler ran, but its result is larger than the limit.",
    cause: "The encoded result exceeds the limit for one body.",
    fix: "Return the result as a stream or in parts, or raise the limit on both sides.",
  },
  WORKER_LOST: {
    number: 16,
    retryable: false,
    executed: "maybe",
    sentence: "The worker died while the call was in its hands.",
    cause:
      "The process exited, crashed or was killed; the error carries its exit reason and its last output.",
    fix: "Repair what ended the process; mark the method idempotent if it may safely be run again.",
  },
  CONNECTION_LOST: {
    number: 17,
    retryable: false,
    executed: "maybe",
    sentence: "The link to the peer ended while the call was under way.",
    cause: "The engine or the network in between went away, or the peer closed the link.",
    fix: "Check that the peer is running; mark the method idempotent if it may safely be run again.",
  },
  PROTOCOL_ERROR: {
    number: 18,
    retryable: false,
    executed: "maybe",
    sentence: "The peer sent something that the protocol does not allow.",
    cause: "The peer does not speak Procall, has a defect, or the bytes were damaged on the way.",
    fix: "Check the address and what listens there; if both sides are Procall, please report it.",
  },
  VERSION_MISMATCH: {
    number: 19,
    retryable: false,
    executed: "no",
    sentence: "The two peers have no protocol version in common.",
    cause: "One side is more than one protocol version older than the other.",
    fix: "Update the older side, which the message names.",
  },
  SPAWN_FAILED: {
    number: 20,
    retryable: false,
    executed: "no",
    sentence: "A worker process could not be started.",
    cause: "The program does not exist, cannot be executed, or exited before it was ready.",
    fix: "Run the command that the message shows by hand, and read the output that comes with the error.",
  },
  CLOSED: {
    number: 21,
    retryable: false,
    executed: "no",
    sentence: "The client or pool was already closed on this side.",
    cause:
      "The program called `close`, or left the block that owned the client or pool, and then used it again.",
    fix: "Make the call before closing, or create a new client or pool.",
  },
  INTERNAL: {
    number: 22,
    retryable: false,
    executed: "maybe",
    sentence: "Procall itself has a defect.",
    cause: "An invariant of Procall did not hold; your program need not have done anything wrong.",
    fix: "Please report it, with the whole message.",
  },
  NAME_TAKEN: {
    number: 23,
    retryable: false,
    executed: "no",
    sentence: "Another process serves under this name or address already.",
    cause:
      "The service was started twice, or two different services have the same name or address.",
    fix: "End the process that the message names, or serve under another name or at another address (`PROCALL_LISTEN`).",
  },
};
