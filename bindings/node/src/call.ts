/** Calls: their options, their course, and calls that are answered with one value. */

import { inspect } from "node:util";

import { type Reporter, reporterOf } from "./bar.js";
import type { Context } from "./context.js";
import { type KnownErrors, revived } from "./declared.js";
import { ProcallError, UnencodableError } from "./errors.js";
import { type Loop, type Operation, theLoop } from "./loop.js";
import * as n from "./native.js";
import { Sender } from "./sender.js";
import { CallSpan } from "./tracing.js";

const { native } = n;

/** Arguments: an array binds by position, an object by name. */
export type Params = readonly unknown[] | Readonly<Record<string, unknown>>;

/** How far the handler of a call has come. */
export interface Progress {
  /** Steps done. */
  readonly done: number;
  /** Steps in all, when known. */
  readonly total: number | undefined;
  /** A few words for people; may be empty. */
  readonly text: string;
}

/** How a call is to be made. */
export interface CallOptions {
  /**
   * When to give up, in milliseconds; `null` is never. The default is 30 s: for a value until it is here, for a stream until its first item.
   */
  readonly deadlineMs?: number | null | undefined;
  /** Aborting it cancels the call. */
  readonly signal?: AbortSignal | undefined;
  /** The method may run more than once without harm, so that the call is also made again when nobody knows whether it ran. */
  readonly idempotent?: boolean | undefined;
  /**
   * How often the call is made again when it fails and was not executed, or may run more than once: 2 times without this, never with 0. All
   * attempts share the deadline. A call that sends `items` is made once.
   *
   * ```ts
   * await pool.call("add", [1, 2], { retries: 5, idempotent: true });
   * ```
   */
  readonly retries?: number | undefined;
  /**
   * For engines: a call with a key that this caller used for the same method in the last 5 minutes gets that call's outcome, or waits for it,
   * instead of being executed again.
   */
  readonly idempotencyKey?: string | undefined;
  /**
   * Told how far the handler has come, ten times a second at most; `true` draws a bar on standard error where that is a terminal.
   *
   * ```ts
   * await pool.call("train", ["model.bin"], { progress: true });
   * await pool.call("train", ["model.bin"], { progress: ({ done, total, text }) => console.log(done, total, text) });
   * ```
   */
  readonly progress?: (boolean | ((progress: Progress) => void)) | undefined;
  /** The handler that makes this call: the call has no more time than the handler has left, and ends when the handler is cancelled. */
  readonly context?: Context | undefined;
  /** Values that this side sends while the call runs, for methods that take a stream. */
  readonly items?: AsyncIterable<unknown> | Iterable<unknown> | undefined;
  /** Facts that travel with the call. */
  readonly meta?: Readonly<Record<string, unknown>> | undefined;
  /**
   * For pools: calls with the same key go to the same worker, in the order of sending, so that it can keep what belongs to the key. When that
   * worker is lost, the next call with the key fails with WORKER_LOST, `executed: "no"`, once; the one after it begins anew at another process.
   * A single connection takes no notice of it.
   *
   * ```ts
   * await pool.call("add_to_cart", ["apple"], { key: "user-7" });
   * ```
   */
  readonly key?: string | undefined;
  /**
   * For pools: the one worker that is to get the call, by its name such as `calc/2`; the call waits when that one is busy. It goes before `key`.
   * A single connection takes no notice of it.
   */
  readonly to?: string | undefined;
  /** For engines: the version of the service that is meant, as it was registered. */
  readonly version?: string | undefined;
  /** For engines: while nobody serves the method, the call waits for a worker until its deadline, instead of failing with NO_WORKER. */
  readonly wait?: boolean | undefined;
  /**
   * For pools: what happens to a worker that is still busy with the call when its deadline passes. `"return"`, the default, asks it to cancel and
   * gives it no other call in that slot until it is done; `"restart"` starts it anew, at once when it has no other call, else when those are done.
   * A single connection takes no notice of it.
   */
  readonly onTimeout?: "return" | "restart" | undefined;
}

/** How a notification is to be sent. */
export type NotifyOptions = Pick<CallOptions, "meta" | "key" | "to" | "version">;

/** The time that a call has, as the native half takes it. */
export function timeoutOf(options: CallOptions | undefined): number {
  const deadline = options?.deadlineMs;
  if (deadline === undefined) return NaN;
  if (deadline === null) return Infinity;
  if (typeof deadline === "number" && deadline >= 0) return deadline;
  throw new ProcallError("INVALID_ARGUMENT", `deadlineMs is ${String(deadline)}: give milliseconds, or null for no deadline`);
}

/** Flags of the options that only pools and engines obey. */
export function routing({ key, to, version, wait, retries, idempotencyKey }: CallOptions): number {
  if (wait !== undefined && typeof wait !== "boolean") {
    throw new ProcallError("INVALID_ARGUMENT", `wait is ${inspect(wait, { depth: 0 })}: give true or false`);
  }
  if (retries !== undefined && !(Number.isInteger(retries) && retries >= 0 && retries < n.NONE)) {
    throw new ProcallError("INVALID_ARGUMENT", `retries is ${inspect(retries, { depth: 0 })}: give a whole number from 0`);
  }
  return (
    (key === undefined ? 0 : text("key", key, "user-7", n.KEY)) |
    (to === undefined ? 0 : text("to", to, "calc/2", n.TO)) |
    (version === undefined ? 0 : text("version", version, "2.1", n.FOR_ENGINE)) |
    (wait === true || retries !== undefined ? n.FOR_ENGINE : 0) |
    (idempotencyKey === undefined ? 0 : text("idempotencyKey", idempotencyKey, "order-7", n.FOR_ENGINE))
  );
}

function text(name: string, value: unknown, example: string, flag: number): number {
  if (typeof value === "string" && value.isWellFormed()) return flag;
  const found = typeof value === "string" ? "text with a lone surrogate" : inspect(value, { depth: 0, breakLength: Infinity });
  throw new ProcallError("INVALID_ARGUMENT", `${name} is ${found}: give a text, such as "${example}"`);
}

function onTimeoutOf(value: CallOptions["onTimeout"]): number {
  if (value === undefined || value === "return") return 0;
  if (value === "restart") return n.RESTART_WORKER;
  throw new ProcallError("INVALID_ARGUMENT", `onTimeout is ${inspect(value, { depth: 0 })}: give "return" or "restart"`);
}

/** Errors of the encoder as errors of the call. */
export function refused(error: unknown): unknown {
  if (!(error instanceof UnencodableError)) return error;
  return new ProcallError("INVALID_ARGUMENT", `the arguments: ${error.message}`, {
    cause: error,
    fields: [{ path: error.path, message: error.message }],
  });
}

/**
 * Rejects with an error whose stack shows who called: an error is given the frames of those who wait for it at the moment it is made,
 * so it is made a little later, when the waiting is in place.
 */
export async function failing(make: () => Error): Promise<never> {
  await undefined;
  await undefined;
  throw make();
}

/** What calls are made on. */
export interface Target {
  /** The number that the native half gave it. */
  readonly channel: number;
  /** Error classes that the caller knows. */
  readonly known: KnownErrors | undefined;
}

/** A call under way; what all calls have in common. */
export abstract class Running implements Operation {
  protected readonly loop: Loop = theLoop();
  /** The number of the operation; -1 before the start and after the end. */
  protected id = -1;
  private sender: Sender | undefined;
  private report: Reporter | undefined;
  private span: CallSpan | undefined;
  private readonly signals: AbortSignal[] = [];
  private readonly onAbort = (): void => {
    if (this.id < 0) return;
    this.loop.flush();
    native.cancel(this.id);
    this.loop.soon();
  };

  constructor(
    private readonly target: Target,
    private readonly options: CallOptions | undefined,
  ) {}

  /** Starts the call; throws when it cannot be. One for which the connection has no room yet waits there for its turn. */
  protected start(method: string, params: Params, itemsOut: boolean): void {
    const { options } = this;
    let flags = itemsOut ? n.ITEMS_OUT : 0;
    this.span = CallSpan.of(method, options?.meta);
    if (this.span === undefined) this.begin(method, params, flags, options);
    else {
      try {
        this.begin(method, params, flags, { ...options, meta: this.span.meta });
      } catch (error) {
        this.span.end(error instanceof ProcallError ? error : undefined);
        throw error;
      }
    }
  }

  private begin(method: string, params: Params, flags: number, options: CallOptions | undefined): void {
    if (options !== undefined) {
      this.report = reporterOf(options.progress, method, "({ done, total, text })", (call) => (done, total, text = "") => call({ done, total, text }));
      flags |= this.prepare(options);
    }
    const timeout = timeoutOf(options);
    const id = this.loop.begin(this);
    try {
      const inherited = options?.context === undefined ? NaN : (options.context.deadlineMs ?? Infinity);
      this.loop.command({ kind: n.START, channel: this.target.channel, id, method, flags, timeout, inherited, serving: options?.context?.waiting ?? n.NONE, params, options });
    } catch (error) {
      this.loop.end(id);
      throw refused(error);
    }
    this.id = id;
    if (options?.items !== undefined) this.send(options.items);
    for (const signal of this.signals) signal.addEventListener("abort", this.onAbort, { once: true });
  }

  private prepare(options: CallOptions): number {
    const { signal, context } = options;
    if (signal !== undefined) this.signals.push(signal);
    if (context !== undefined) this.signals.push(context.signal);
    const aborted = this.signals.find((signal) => signal.aborted);
    if (aborted !== undefined) {
      throw new ProcallError("CANCELLED", "the signal was aborted before the call", { executed: "no", cause: aborted.reason });
    }
    return (
      (options.items === undefined ? 0 : n.ITEMS_IN) |
      (options.idempotent === true ? n.IDEMPOTENT : 0) |
      (this.report === undefined ? 0 : n.WANTS_PROGRESS) |
      routing(options) |
      onTimeoutOf(options.onTimeout)
    );
  }

  private send(items: AsyncIterable<unknown> | Iterable<unknown>): void {
    this.sender = new Sender((item) => {
      if (this.id < 0) return n.SENT_NEVER;
      this.loop.flush();
      return native.send(this.id, item);
    });
    this.sender.run(items).then(
      () => {
        if (this.id < 0) return;
        this.loop.flush();
        native.endItems(this.id);
      },
      // Half a stream must not look like a whole one: the call is given up.
      (error: unknown) => {
        if (this.id < 0) return;
        this.abandon();
        this.failed(() => refused(error) as Error);
      },
    );
  }

  /** The call is cancelled, and nothing more is heard of it. */
  protected abandon(): void {
    if (this.id < 0) return;
    const { id } = this;
    this.loop.flush();
    native.abandon(id);
    this.loop.end(id);
    this.over();
  }

  /** Nothing more comes. */
  private over(error?: ProcallError): void {
    this.id = -1;
    this.span?.end(error);
    const { report } = this;
    // Behind the last report.
    if (report !== undefined) queueMicrotask(() => report.end());
    this.sender?.sent(true);
    this.stopListening();
  }

  private stopListening(): void {
    for (const signal of this.signals) signal.removeEventListener("abort", this.onAbort);
  }

  handle(kind: number, flags: number, value: () => unknown): boolean {
    switch (kind) {
      case n.PROGRESS: {
        const [done, total, text] = value() as [number, number | null, string];
        // Not from here: what it throws is its own affair, not that of the other events.
        queueMicrotask(() => this.report?.tell(done, total ?? undefined, text));
        return false;
      }
      case n.SENT:
        this.sender?.sent(flags !== 0);
        return false;
      case n.FAILED: {
        const map = value();
        this.over(this.span === undefined ? undefined : n.errorOf(map));
        this.failed(() => this.errorOf(map));
        return true;
      }
      case n.END:
        this.over();
        this.ended();
        return true;
      default: {
        let read: unknown;
        try {
          read = value();
        } catch (error) {
          const message = error instanceof Error ? error.message : String(error);
          const info = { executed: "yes", cause: error } as const;
          this.abandon();
          this.failed(() => new ProcallError("PROTOCOL_ERROR", `the answer cannot be read: ${message}`, info));
          return false;
        }
        if (kind === n.ITEM) {
          this.item(read);
          return false;
        }
        this.over();
        this.replied(read);
        return true;
      }
    }
  }

  /** The error of the peer, with the reason of the signal when that is why. */
  private errorOf(map: unknown): Error {
    const error = n.errorOf(map);
    const aborted = error.code === "CANCELLED" ? this.signals.find((signal) => signal.aborted) : undefined;
    if (aborted !== undefined) Object.defineProperty(error, "cause", { value: aborted.reason, configurable: true, writable: true });
    return revived(this.target.known, error);
  }

  protected abstract replied(value: unknown): void;
  protected abstract item(value: unknown): void;
  protected abstract ended(): void;
  protected abstract failed(make: () => Error): void;
}

class UnaryCall extends Running {
  constructor(
    target: Target,
    options: CallOptions | undefined,
    private readonly resolve: (value: unknown) => void,
  ) {
    super(target, options);
  }

  override start(method: string, params: Params): void {
    super.start(method, params, false);
  }

  protected override replied(value: unknown): void {
    // Decoded values hold no functions, so this cannot be taken for a promise.
    this.resolve(value);
  }

  protected override failed(make: () => Error): void {
    this.resolve(failing(make));
  }

  // The native half tells of these only for calls whose answer is a stream.
  protected override item(): void {}
  protected override ended(): void {}
}

/** Calls a method that answers with one value. */
export function callUnary(target: Target, method: string, params: Params, options?: CallOptions): Promise<unknown> {
  return new Promise((resolve, reject) => {
    try {
      new UnaryCall(target, options, resolve).start(method, params);
    } catch (error) {
      reject(error);
    }
  });
}
