/** What a handler may know of its call. */

import type { CallOptions, NotifyOptions, Params } from "./call.js";
import type { Caller, ClientBase } from "./client.js";
import { withMethods } from "./client.js";
import type { Metrics } from "./figures.js";
import type { Dynamic } from "./remote.js";
import type { Stream } from "./stream.js";
import type { HandlerSpan } from "./tracing.js";

/** Who is at the other side, as it says itself. */
export interface Peer {
  /** A name for people; may be empty. */
  readonly name: string;
  /** Its implementation, such as `python/0.1.0`; empty when it does not say. */
  readonly runtime: string;
  /** Its process; 0 when it does not say. */
  readonly pid: number;
}

/** What a context needs of the call that it tells about. */
export interface ContextSource {
  readonly method: string;
  /** Milliseconds left when the call arrived; `null` for no deadline. */
  readonly leftMs: number | null;
  /** The moment of that, as `performance.now()` says it. */
  readonly arrivedAt: number;
  /** Whether somebody waits for an answer; a notification's sender does not. */
  readonly answers: boolean;
  /** Its number while it is not answered, by which calls made in it tell that it waits for them; `NONE` otherwise. */
  readonly waiting: number;
  /** Where its handler is traced. */
  readonly span: HandlerSpan | undefined;
  caller(): Peer;
  meta(): Readonly<Record<string, unknown>>;
  signal(): AbortSignal;
  progress(done: number, total: number | undefined, text: string): void;
}

/**
 * What a handler may know of its call: how long it has, whether it is still wanted.
 *
 * A handler gets it from {@link context}, before its first `await`.
 *
 * ```ts
 * const train = (epochs: number) => {
 *   const { method, deadlineMs, signal }: Context = context();
 *   return `${method}: ${epochs} epochs, ${deadlineMs} ms left, ${signal.aborted ? "given up" : "wanted"}`;
 * };
 * ```
 */
export class Context {
  readonly #source: ContextSource;
  #caller: Peer | undefined;
  #meta: Readonly<Record<string, unknown>> | undefined;

  /** @internal */
  constructor(source: ContextSource) {
    this.#source = source;
    // A notification does not keep its connection, whose number may soon be another's.
    if (!source.answers) this.#caller = source.caller();
  }

  /** The method's full name. */
  get method(): string {
    return this.#source.method;
  }

  /**
   * Who calls; for a pool's worker that is the pool's process. Of a caller that is gone nothing is known, unless it was asked for before.
   *
   * ```ts
   * const whoami = () => `${context().caller.name} ${context().caller.pid}`;
   * ```
   */
  get caller(): Peer {
    return (this.#caller ??= this.#source.caller());
  }

  /**
   * The metadata that travels with the call, as the caller's option `meta` gave it. Empty once the call is answered, unless it was asked for
   * before, and for a notification.
   *
   * ```ts
   * const tenant = () => context().meta["tenant"];
   * ```
   */
  get meta(): Readonly<Record<string, unknown>> {
    return (this.#meta ??= this.#source.meta());
  }

  /** Milliseconds left until the caller gives up; `null` when it never does. */
  get deadlineMs(): number | null {
    const { leftMs, arrivedAt } = this.#source;
    return leftMs === null ? null : Math.max(0, leftMs - (performance.now() - arrivedAt));
  }

  /** @internal The call's number while it waits for those that are made in it. */
  get waiting(): number {
    return this.#source.waiting;
  }

  /** Aborted once the caller no longer wants the answer, or its deadline has passed. */
  get signal(): AbortSignal {
    return this.#source.signal();
  }

  /** Tells the caller how far the work has come. At most ten reports a second travel. */
  progress(done: number, total?: number, text = ""): void {
    this.#source.progress(done, total, text);
  }

  /**
   * The same client for calls that belong to this one: they have no more time than is left here, and end when this call is cancelled.
   *
   * ```ts
   * async function plan(n: number) {
   *   const ctx = context();
   *   return ctx.with(calc).add(n, 1);
   * }
   * ```
   */
  with<C extends Pick<ClientBase, "close">>(client: C): C {
    return withMethods(new Nested(client as unknown as ClientBase, this) as unknown as Caller) as unknown as C & Dynamic;
  }
}

/** A client whose calls belong to a call that is being handled. */
class Nested implements ClientBase {
  readonly #client: ClientBase;
  readonly #context: Context;

  constructor(client: ClientBase, context: Context) {
    this.#client = client;
    this.#context = context;
  }

  call<R>(method: string, params?: Params, options?: CallOptions): Promise<R> {
    return this.#client.call<R>(method, params, { ...options, context: this.#context });
  }

  stream<T>(method: string, params?: Params, options?: CallOptions): Stream<T> {
    return this.#client.stream<T>(method, params, { ...options, context: this.#context });
  }

  notify(method: string, params?: Params, options?: NotifyOptions): void {
    this.#client.notify(method, params, options);
  }

  metrics(): Metrics {
    return this.#client.metrics();
  }

  methods(): ReturnType<ClientBase["methods"]> {
    return this.#client.methods();
  }

  close(): void {
    this.#client.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#client[Symbol.asyncDispose]();
  }
}

let current: ContextSource | undefined;
const contexts = new WeakMap<ContextSource, Context>();

/** Runs `f` so that {@link context} finds the call. */
export function within<R>(source: ContextSource, f: () => R): R {
  const outer = current;
  current = source;
  try {
    return source.span === undefined ? f() : source.span.run(f);
  } finally {
    current = outer;
  }
}

/**
 * The context of the call that is being handled. To be asked for before the first `await` (in a generator, also right after each
 * `yield`): it is not carried along, because that would slow every promise of the process down. Keep it in a variable.
 *
 * ```ts
 * service("sum", {
 *   async slowly(n: number) {
 *     const ctx = context();
 *     for (let step = 0; step < n && !ctx.signal.aborted; step++) {
 *       ctx.progress(step, n);
 *       await work(step);
 *     }
 *   },
 * });
 * ```
 */
export function context(): Context {
  if (current === undefined) {
    throw new Error("no call is being handled here: ask for the context before the first `await` of a handler, and keep it");
  }
  let found = contexts.get(current);
  if (found === undefined) contexts.set(current, (found = new Context(current)));
  return found;
}
