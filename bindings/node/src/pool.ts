/** Pools: supervised sets of worker processes. */

import { inspect } from "node:util";

import { Audience, type Listeners, type PoolEvent } from "./audience.js";
import { type CallOptions, failing, type NotifyOptions, type Params } from "./call.js";
import { Caller, type ClientBase, counted, type Registration, withMethods } from "./client.js";
import { type KnownErrors, knownErrors } from "./declared.js";
import { decode } from "./decode.js";
import type { ErrorClass } from "./described.js";
import { encode } from "./encode.js";
import { ProcallError, UnencodableError } from "./errors.js";
import type { Health, Metrics, PoolStats, WorkerInfo } from "./figures.js";
import { type Operation, theLoop } from "./loop.js";
import { lookAheadOf, type MapOptions, Mapped, paramsOf } from "./mapping.js";
import * as n from "./native.js";
import type { Dynamic, Remote, Streams, TypedCall } from "./remote.js";
import { Stream } from "./stream.js";

const { native } = n;

/** How a pool is to be. All has defaults. */
export interface PoolOptions extends Listeners {
  /**
   * How many processes; as many as this process may use processors. With `{ min, max }` the pool is elastic: `min` processes are always there,
   * another one is started when a call has waited for 50 ms, up to `max`, and ended again when it has had nothing to do for `idleTimeoutMs`.
   */
  readonly workers?: number | { readonly min: number; readonly max: number } | undefined;
  /** How long a worker beyond the smallest number of an elastic pool may be idle, 60 s. */
  readonly idleTimeoutMs?: number | undefined;
  /**
   * Which of several workers with room gets the next call. `"idle_first"`, the default: the one with the fewest calls in hand, of equal ones the
   * first, so that under light load the same few do the work and their caches stay warm. `"least_loaded"`: the one with the smallest share of
   * its slots taken, of equal ones that which has had the fewest calls. `"round_robin"`: one after the other.
   */
  readonly dispatch?: "idle_first" | "least_loaded" | "round_robin" | undefined;
  /**
   * A worker that has had so many calls is replaced by a new process; never by default. It finishes its calls first, and no more than one worker
   * of a pool is replaced at a time.
   */
  readonly maxCalls?: number | undefined;
  /** The same for one whose resident memory is above so many bytes, looked at once a second: a number, or a text such as `"2GiB"`. */
  readonly maxMemory?: number | string | undefined;
  /** Arguments of the program. There is no shell: they arrive as they are. */
  readonly args?: readonly string[] | undefined;
  /** Variables of the workers' environment, beside this process's own. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** The workers' working directory. The program of a command is meant from there, as its arguments are; a worker's file is meant from here. */
  readonly cwd?: string | undefined;
  /** What runs the file, instead of what its extension says: a program, or the folder of a virtual environment of Python. */
  readonly interpreter?: string | undefined;
  /**
   * Whether what workers print goes to standard error, with their names before it, in colour on a terminal unless `NO_COLOR` is set: yes, unless
   * `onOutput` takes the lines. The last ones are kept for errors either way.
   */
  readonly showOutput?: boolean | undefined;
  /** The pool's name: its workers are called `name/1`, `name/2` and so on. */
  readonly name?: string | undefined;
  /**
   * How to talk to the workers: `"shm"` in shared memory, `"unix"` over sockets, `"auto"` in shared memory when both sides can. Without it,
   * `PROCALL_TRANSPORT` says, which says `auto` unless it is set.
   */
  readonly transport?: "auto" | "unix" | "shm" | undefined;
  /** Whether long messages to and from the workers travel compressed; false. On one machine that costs more than it saves. */
  readonly compression?: boolean | undefined;
  /** Calls that may wait for a worker, 256. The next one is refused with OVERLOADED. */
  readonly queue?: number | undefined;
  /** Calls that one worker gets at once, instead of what it registered. */
  readonly concurrency?: number | undefined;
  /** How long a worker may take until it is ready, 30 s. */
  readonly readyTimeoutMs?: number | undefined;
  /** How long calls may take to finish when a worker is stopped or restarted, 10 s. */
  readonly finishTimeoutMs?: number | undefined;
  /** How long a worker without calls may take to exit, 5 s. */
  readonly stopTimeoutMs?: number | undefined;
  /** Whether workers are asked for a sign of life every 5 s; true. */
  readonly heartbeat?: boolean | undefined;
  /** Whether and when a worker that has gone is started again. */
  readonly restart?: {
    readonly backoffMs?: number | undefined;
    readonly maxBackoffMs?: number | undefined;
    readonly maxRestarts?: number | undefined;
    readonly windowMs?: number | undefined;
    readonly maxUnready?: number | undefined;
  } | undefined;
  /** Error classes that the workers' methods declare, as {@link ConnectOptions.errors}. */
  readonly errors?: readonly ErrorClass[] | undefined;
  /** Aborting it gives the start up. */
  readonly signal?: AbortSignal | undefined;
}

/** How a call to all workers is to be made. */
export type BroadcastOptions = Omit<CallOptions, "key" | "to" | "items">;

/**
 * One worker's part in a {@link PoolBase.broadcast}: what it answered, or why it did not.
 *
 * ```ts
 * for (const answer of await pool.broadcast("reload")) {
 *   if (answer.error !== undefined) console.error(answer.worker, answer.error.message);
 *   else console.log(answer.worker, answer.value);
 * }
 * ```
 */
export type Answer<R = unknown> =
  | { readonly worker: string; readonly value: R; readonly error?: never }
  | { readonly worker: string; readonly error: ProcallError; readonly value?: never };

/** What one call of a {@link PoolBase.batch} came to. */
export type Outcome<R = unknown> = { readonly value: R; readonly error?: never } | { readonly error: Error; readonly value?: never };

/** An operation that ends with one event. */
class Step implements Operation {
  readonly id = theLoop().begin(this);

  constructor(
    private readonly resolve: (extra: number | Promise<never>) => void,
    begin: (id: number) => void,
  ) {
    try {
      n.calling(() => begin(this.id));
    } catch (error) {
      theLoop().end(this.id);
      throw error;
    }
    theLoop().soon();
  }

  handle(kind: number, _flags: number, value: () => unknown, extra: number): boolean {
    if (kind === n.FAILED) {
      const map = value();
      this.resolve(failing(() => n.errorOf(map)));
    } else {
      this.resolve(extra);
    }
    return true;
  }
}

function step(begin: (id: number) => void): Promise<number> {
  return new Promise((resolve) => void new Step(resolve, begin));
}

/**
 * What a pool has beside the services of its workers.
 *
 * ```ts
 * const sum = await pool.call<number>("add", [1, 2], { deadlineMs: 80 });
 * for await (const n of pool.stream<number>("count", [5])) console.log(n);
 * pool.notify("log", ["hello"]);
 * const { methods } = await pool.methods();
 * await pool.restart();                        // one after the other; no call is lost
 * await pool.drain();
 * await pool.stop();                           // or pool.close(), which waits for nothing
 * ```
 */
export class PoolBase implements ClientBase {
  readonly #caller: Caller;
  readonly #channel: number;
  readonly #notices: number;
  readonly #audience: Audience;
  #stopped: Promise<void> | undefined;
  /** What was known of it, once it is over. */
  #last: PoolStats | undefined;

  /** @internal */
  constructor(channel: number, notices: number, audience: Audience, known: KnownErrors | undefined) {
    this.#caller = new Caller(channel, known);
    this.#channel = channel;
    this.#notices = notices;
    this.#audience = audience;
  }

  /**
   * Calls a method on the worker that the dispatch policy picks, or waits for one.
   *
   * ```ts
   * await pool.call("add_to_cart", ["apple"], { key: "user-7" });              // to the worker of this key
   * await pool.call("reload", ["model.bin"], { to: "calc/2" });                // to this worker
   * await pool.call("train", [5], { deadlineMs: 60_000, onTimeout: "restart" });
   * ```
   */
  call<R = unknown>(method: string, params?: Params, options?: CallOptions): Promise<R> {
    return this.#caller.call<R>(method, params, options);
  }

  /** Calls a method whose answer is a stream. */
  stream<T = unknown>(method: string, params?: Params, options?: CallOptions): Stream<T> {
    return this.#caller.stream<T>(method, params, options);
  }

  /** Sends one worker a notification: at most once, never answered. */
  notify(method: string, params?: Params, options?: NotifyOptions): void {
    this.#caller.notify(method, params, options);
  }

  /**
   * Calls a method once for each item, several at a time; the answers come in the order of the items. An item that is an array holds the arguments
   * by position, a plain object by name, and anything else is the only argument. Items are read as they are needed, so there may be no end of them.
   *
   * The first error ends it, after the answers before it, and cancels the calls behind it; so does leaving the loop.
   *
   * ```ts
   * for await (const size of pool.map<number>("size", ["a.png", "b.png"], { progress: true })) console.log(size);
   * const sums = await pool.map<number>("add", [[1, 2], [3, 4]]).toArray();
   * ```
   */
  map<R = unknown>(method: string, items: Iterable<unknown> | AsyncIterable<unknown>, options: MapOptions = {}): Mapped<R> {
    const { lookAhead, progress: _, signal: __, ...rest } = options;
    const begin = (item: unknown, signal: AbortSignal): Promise<R> => this.call<R>(method, paramsOf(item), { ...rest, signal });
    return new Mapped<R>(items, options, lookAheadOf(lookAhead, this.#size()), begin);
  }

  /**
   * Makes different calls, several at a time; resolves with all outcomes, in their order. The errors of some are no error of the whole.
   *
   * ```ts
   * const [sum, pid] = await pool.batch([["add", [1, 2]], ["pid"]]);
   * if (sum.error === undefined) console.log(sum.value);
   * ```
   */
  async batch<R = unknown>(
    calls: Iterable<readonly [method: string, params?: Params]>,
    options: Omit<MapOptions, "progress"> = {},
  ): Promise<Outcome<R>[]> {
    const { lookAhead, signal: _, ...rest } = options;
    const begin = async (call: unknown, signal: AbortSignal): Promise<Outcome<R>> => {
      const [method, params] = call as readonly [string, Params?];
      try {
        return { value: await this.call<R>(method, params, { ...rest, signal }) };
      } catch (error) {
        return { error: error as Error };
      }
    };
    return await new Mapped<Outcome<R>>(calls, options, lookAheadOf(lookAhead, this.#size()), begin).toArray();
  }

  #size(): number {
    return this.#last === undefined ? this.workers().length : 0;
  }

  /**
   * Calls a method on every worker; resolves with all answers, in the order of the workers. One that is busy or starting gets the call when it
   * has room; one that has failed answers NO_WORKER. The errors of some are no error of the whole, so look at each.
   *
   * ```ts
   * for (const { worker, value, error } of await pool.broadcast<number>("reload", ["model.bin"])) {
   *   console.log(worker, error === undefined ? `loaded ${value} bytes` : error.message);
   * }
   * ```
   */
  broadcast<R = unknown>(method: string, params?: Params, options?: BroadcastOptions): Promise<Answer<R>[]> {
    const answer = async ({ name: worker }: WorkerInfo): Promise<Answer<R>> => {
      try {
        return { worker, value: await this.call<R>(method, params, { ...options, to: worker }) };
      } catch (error) {
        const told = error instanceof ProcallError ? error : (error as Error).cause;
        // What is no error of a call is a defect, and belongs to nobody's part.
        if (!(told instanceof ProcallError)) throw error;
        return { worker, error: told };
      }
    };
    return Promise.all(this.workers().map(answer));
  }

  /**
   * The same pool, with the methods of a service as its own members; nothing happens when it runs.
   *
   * ```ts
   * import type { Calc } from "./calc.mjs";          // export type Calc = typeof calc
   * const calc = pool.as<Calc>();
   * await calc.add(1, 2);
   * for await (const n of calc.stream.count(5)) console.log(n);
   * ```
   */
  as<T>(): Pool<T> {
    return withMethods(this) as unknown as Pool<T>;
  }

  /** What the workers serve. */
  async methods(): Promise<Registration> {
    const registration = native.registration(this.#channel);
    if (registration === null) throw new ProcallError("NO_WORKER", "no worker of this pool is there");
    return decode(registration) as Registration;
  }

  /**
   * What is known of each worker; once the pool is stopped, the last of it.
   *
   * ```ts
   * for (const { name, state, pid } of pool.workers()) console.log(name, state, pid);
   * ```
   */
  workers(): WorkerInfo[] {
    return this.#known((channel) => native.workers(channel), ({ workers }) => [...workers]);
  }

  /**
   * What was counted of the pool's calls since it was started; once it is stopped, the last of it.
   *
   * ```ts
   * const { totalRequests, successRate, latency, queueDepth } = pool.metrics();
   * console.log(`${totalRequests} calls, ${successRate * 100} % good, p99 ${latency.p99Ms} ms, ${queueDepth} wait`);
   * ```
   */
  metrics(): Metrics {
    return this.#known(counted, ({ metrics }) => metrics);
  }

  /**
   * Whether the pool takes calls and has workers for them, and what is wrong.
   *
   * ```ts
   * const health = pool.health();
   * if (!health.healthy || health.problems.length > 0) console.error(health.text);
   * ```
   */
  health(): Health {
    return this.#known((channel) => native.health(channel), ({ health }) => health);
  }

  /**
   * All there is to know at once: the counts, the health, and each worker.
   *
   * ```ts
   * const { metrics, health, workers } = pool.stats();
   * console.log(metrics.totalRequests, health.text, workers.map(({ name, state }) => `${name} ${state}`));
   * ```
   */
  stats(): PoolStats {
    return this.#known((channel) => native.stats(channel), (last) => last);
  }

  #known<T>(now: (channel: number) => T, then: (last: PoolStats) => T): T {
    if (this.#last !== undefined) return then(this.#last);
    // Calls that were made just now are to be seen.
    theLoop().flush();
    return n.calling(() => now(this.#channel));
  }

  /**
   * What happens to the workers from now on; ends with the pool.
   *
   * ```ts
   * for await (const { what, worker, text } of pool.events()) if (what === "exited") console.error(worker, text);
   * ```
   */
  events(): AsyncIterableIterator<PoolEvent> {
    return this.#audience.events();
  }

  /** Starts one worker anew, or all of them one after the other; no call is lost. Resolves when they are ready. */
  async restart(worker?: number): Promise<void> {
    await step((id) => native.poolStep(id, this.#channel, n.RESTART, worker ?? null));
  }

  /** Takes no more calls. Resolves when those there are have ended; the workers live on. */
  async drain(): Promise<void> {
    theLoop().flush();
    await step((id) => native.poolStep(id, this.#channel, n.DRAIN, null));
  }

  /** Lets calls finish, then ends the workers. Resolves when nothing of them is left. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    theLoop().flush();
    try {
      await step((id) => native.poolStep(id, this.#channel, n.STOP, null));
    } finally {
      this.#forget();
    }
  }

  /** Ends the pool at once: calls end with CLOSED, and the workers are ended without waiting for them here. */
  close(): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = Promise.resolve();
    theLoop().flush();
    this.#forget();
  }

  #forget(): void {
    this.#last = native.closePool(this.#channel, this.#notices) ?? undefined;
    theLoop().pools.delete(this.#notices);
    this.#audience.close();
    theLoop().soon();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** A pool: services of its workers as `S`, and {@link PoolBase}. */
export type Pool<S = Dynamic> = Omit<PoolBase, "call" | "stream"> & Omit<Remote<S>, keyof PoolBase> & {
  readonly call: TypedCall<S>;
  readonly stream: Streams<S>;
};

async function start<S>(target: Readonly<Record<string, unknown>>, options: PoolOptions): Promise<Pool<S>> {
  if (typeof options !== "object" || options === null) {
    throw new ProcallError("INVALID_ARGUMENT", `the options of a pool are an object, such as { workers: 4 }, not ${inspect(options)}`);
  }
  const { onOutput, onEvent, signal, errors, ...rest } = options;
  const known = knownErrors(errors);
  for (const [name, given] of Object.entries({ onOutput, onEvent })) {
    if (given !== undefined && typeof given !== "function") {
      throw new ProcallError("INVALID_ARGUMENT", `${name} is ${inspect(given, { depth: 0 })}: give a function`);
    }
  }
  if (signal?.aborted === true) {
    throw new ProcallError("CANCELLED", "the signal was aborted before the start", { executed: "no", cause: signal.reason });
  }
  let program: Uint8Array;
  let description: Uint8Array;
  try {
    program = encode({ ...target, output: onOutput !== undefined });
    description = encode(rest);
  } catch (error) {
    if (!(error instanceof UnencodableError)) throw error;
    throw new ProcallError("INVALID_ARGUMENT", `the options of the pool: ${error.message}`, { cause: error });
  }
  const loop = theLoop();
  const audience = new Audience(options);
  let notices = -1;
  let abort: (() => void) | undefined;
  try {
    const channel = await step((id) => {
      notices = native.spawn(id, program, description);
      loop.pools.set(notices, (notice) => audience.notice(notice));
      abort = () => {
        native.cancel(id);
        loop.soon();
      };
      signal?.addEventListener("abort", abort, { once: true });
    });
    return withMethods(new PoolBase(channel, notices, audience, known)) as unknown as Pool<S>;
  } catch (error) {
    loop.pools.delete(notices);
    audience.close();
    throw error;
  } finally {
    if (abort !== undefined) signal?.removeEventListener("abort", abort);
  }
}

/**
 * Pools are made with {@link Pool.spawn} and {@link Pool.command}.
 *
 * ```ts
 * await using pool = await Pool.spawn("calc.py", { workers: 4 });
 * await pool.calc.add(1, 2);
 *
 * await using elastic = await Pool.spawn("model.py", { workers: { min: 1, max: 8 }, idleTimeoutMs: 30_000, maxMemory: "2GiB" });
 * ```
 */
export const Pool = {
  /** Runs a file several times: Python and JavaScript by their interpreters, everything else by itself. Resolves when all workers are ready. */
  spawn<S = Dynamic>(file: string, options: PoolOptions = {}): Promise<Pool<S>> {
    return start<S>({ file }, options);
  },

  /** Runs a command several times. There is no shell: the arguments arrive as they are. */
  command<S = Dynamic>(argv: readonly string[], options: PoolOptions = {}): Promise<Pool<S>> {
    return start<S>({ command: argv }, options);
  },
};
