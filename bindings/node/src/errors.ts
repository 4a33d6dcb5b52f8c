/** The one error of this package, and how it travels. */

import { CODES, type ErrorCode, type Executed } from "./codes.js";

/** One field of the arguments that was wrong. */
export interface FieldError {
  /** Where: an argument's name, then the path below it, such as `user.age`. */
  readonly path: string;
  /** What is wrong with it. */
  readonly message: string;
}

/** What may be known of an error beside its code and message. */
export interface ErrorInfo {
  readonly executed?: Executed | undefined;
  readonly remoteType?: string | undefined;
  readonly remoteTrace?: string | undefined;
  readonly worker?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly noRetry?: boolean | undefined;
  readonly attempts?: number | undefined;
  readonly fields?: readonly FieldError[] | undefined;
  readonly candidates?: readonly string[] | undefined;
  readonly chain?: readonly string[] | undefined;
  readonly details?: unknown;
  readonly cause?: unknown;
}

/**
 * Why a call, a connection or a pool failed.
 *
 * ```ts
 * try {
 *   await calc.add(1);
 * } catch (error) {
 *   if (error instanceof ProcallError && error.code === "INVALID_ARGUMENT") console.log(error.fields);
 * }
 * ```
 */
export class ProcallError extends Error {
  override readonly name = "ProcallError";
  /** What went wrong; the same name in every language. */
  readonly code: ErrorCode;
  /** Whether the handler ran. `"no"` is a guarantee. */
  readonly executed: Executed;
  /** Class of the handler's exception, such as `ValueError`. */
  readonly remoteType: string | undefined;
  /** The handler's stack trace, or a lost worker's last words. */
  readonly remoteTrace: string | undefined;
  /** The worker it happened at, such as `calc/2 (pid 4131)`. */
  readonly worker: string | undefined;
  /** How long to wait before another try, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** The other side forbids another try. A handler may set it on what it throws. */
  readonly noRetry: boolean;
  /** How often the call was made before this came out of it. */
  readonly attempts: number;
  /** The arguments that were wrong. */
  readonly fields: readonly FieldError[];
  /** Names that were perhaps meant. */
  readonly candidates: readonly string[];
  /** The cycle of a DEADLOCK: the calls that wait for one another, outermost first, and last the one that failed. */
  readonly chain: readonly string[];
  /** What the handler attached. */
  readonly details: unknown;

  constructor(code: ErrorCode, message: string, info: ErrorInfo = {}) {
    super(message, info.cause === undefined ? undefined : { cause: info.cause });
    this.code = code;
    this.executed = info.executed ?? CODES[code].executed;
    this.remoteType = info.remoteType;
    this.remoteTrace = info.remoteTrace;
    this.worker = info.worker;
    this.retryAfterMs = info.retryAfterMs;
    this.noRetry = info.noRetry ?? false;
    this.attempts = info.attempts ?? 1;
    this.fields = info.fields ?? [];
    this.candidates = info.candidates ?? [];
    this.chain = info.chain ?? [];
    this.details = info.details;
  }

  /** Whether the same call may succeed later. Re-sending is safe only when it was not executed or is idempotent. */
  get retryable(): boolean {
    return CODES[this.code].retryable;
  }

  /** One line: code, class of the remote exception, message, and whether the handler ran. */
  override toString(): string {
    const remote = this.remoteType === undefined ? "" : `${this.remoteType}: `;
    const attempts = this.attempts > 1 ? `, attempts: ${this.attempts}` : "";
    return `${this.code}: ${remote}${this.message} (executed: ${this.executed}${attempts})`;
  }
}

/** A value that cannot be encoded, with the path to it. */
export class UnencodableError extends Error {
  override readonly name = "UnencodableError";
  /** Where the value is, such as `[0].user.born`; empty for the whole. */
  readonly path: string;

  constructor(message: string, path: string) {
    super(path === "" ? message : `${message} at ${path}`);
    this.path = path;
  }
}

/** Bytes that are not a value. */
export class UndecodableError extends Error {
  override readonly name = "UndecodableError";
}
