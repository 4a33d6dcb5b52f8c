/** Pools: supervised sets of worker processes. */

import { type CallOptions, failing, type Params } from "./call.js";
import { Caller, type ClientBase, type Dynamic, type Registration, type Remote, withMethods } from "./client.js";
import { decode } from "./decode.js";
import { encode } from "./encode.js";
import { ProcallError, UnencodableError } from "./errors.js";
import { type Operation, theLoop } from "./loop.js";
import * as n from "./native.js";
import { Stream } from "./stream.js";

const { native } = n;

/** Events that wait for a slow reader; the oldest one makes room for the next. */
const MAX_EVENTS = 256;

/** A line that a worker printed. */
export interface OutputLine {
  /** The worker's name, such as `calc/1`. */
  readonly worker: string;
  readonly pid: number;
  readonly outlet: "stdout" | "stderr";
  /** The line without its end, at most 8 KiB. */
  readonly text: string;
  /** The line was longer: the next one goes on where this one stops. */
  readonly unfinished: boolean;
}

/** Something that happened to a worker. */
export interface PoolEvent {
  /** The worker's name, such as `calc/1`. */
  readonly worker: string;
  /** Its place in the pool, from 0. */
  readonly index: number;
  readonly pid: number | null;
  readonly what: "started" | "ready" | "suspected" | "recovered" | "draining" | "exited" | "restarting" | "failed" | "stopped" | "other";
  /** How it ended, or why it failed. */
  readonly reason: string | null;
  /** All of it in words. */
  readonly text: string;
}

/** What is known of a worker. */
export interface WorkerInfo {
  /** Its place in the pool, from 0. */
  readonly index: number;
  /** Its name, such as `calc/2`. */
  readonly name: string;
  /** Its process, while there is one. */
  readonly pid: number | undefined;
  readonly state: "starting" | "ready" | "busy" | "draining" | "backoff" | "failed" | "stopped";
  /** Calls it was given, across its restarts. */
  readonly calls: number;
  /** Calls it is busy with. */
  readonly inFlight: number;
  /** How often it was started again. */
  readonly restarts: number;
  /** How its last process ended, such as `was killed by SIGKILL`. */
  readonly lastExit: string | undefined;
}

/** How a pool is to be. All has defaults. */
export interface PoolOptions {
  /** How many processes; as many as this process may use processors. */
  readonly workers?: number;
  /** Arguments of the program. There is no shell: they arrive as they are. */
  readonly args?: readonly string[];
  /** Variables of the workers' environment, beside this process's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** The workers' working directory. */
  readonly cwd?: string;
  /** What runs the file, instead of what its extension says. */
  readonly interpreter?: string;
  /** The pool's name: its workers are called `name/1`, `name/2` and so on. */
  readonly name?: string;
  /** Calls that may wait for a worker, 256. The next one is refused with OVERLOADED. */
  readonly queue?: number;
  /** Calls that one worker gets at once, instead of what it registered. */
  readonly concurrency?: number;
  /** How long a worker may take until it is ready, 30 s. */
  readonly readyTimeoutMs?: number;
  /** How long calls may take to finish when a worker is stopped or restarted, 10 s. */
  readonly finishTimeoutMs?: number;
  /** How long a worker without calls may take to exit, 5 s. */
  readonly stopTimeoutMs?: number;
  /** Whether workers are asked for a sign of life every 5 s; true. */
  readonly heartbeat?: boolean;
  /** Whether and when a worker that has gone is started again. */
  readonly restart?: {
    readonly backoffMs?: number;
    readonly maxBackoffMs?: number;
    readonly maxRestarts?: number;
    readonly windowMs?: number;
    readonly maxUnready?: number;
  };
  /** Told every line that a worker prints; without it, lines are only kept for error messages. */
  readonly onOutput?: (line: OutputLine) => void;
  /** Told what happens to the workers, from the first start on. */
  readonly onEvent?: (event: PoolEvent) => void;
  /** Aborting it gives the start up. */
  readonly signal?: AbortSignal;
}

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

/** Hears what happens in a pool. */
class Audience {
  private readonly readers = new Set<(event: PoolEvent | undefined) => void>();
  private closed = false;

  constructor(private readonly options: PoolOptions) {}

  notice(notice: unknown): void {
    const { kind, ...rest } = notice as { kind: "output" | "event" };
    if (kind === "output") {
      // Not from here: what it throws is its own affair, not that of other events.
      queueMicrotask(() => this.options.onOutput?.(rest as unknown as OutputLine));
      return;
    }
    const event = rest as unknown as PoolEvent;
    queueMicrotask(() => this.options.onEvent?.(event));
    for (const reader of this.readers) reader(event);
  }

  close(): void {
    this.closed = true;
    for (const reader of this.readers) reader(undefined);
    this.readers.clear();
  }

  /** A reader who hears everything from now on, read or not. */
  events(): AsyncIterableIterator<PoolEvent> {
    const events: (PoolEvent | undefined)[] = this.closed ? [undefined] : [];
    let wake: (() => void) | undefined;
    const reader = (event: PoolEvent | undefined): void => {
      if (events.length >= MAX_EVENTS) events.shift();
      events.push(event);
      wake?.();
    };
    if (!this.closed) this.readers.add(reader);
    const { readers } = this;
    async function* read(): AsyncGenerator<PoolEvent, void, undefined> {
      try {
        for (;;) {
          while (events.length === 0) {
            // Whoever waits for an event wants the process to live until it comes.
            native.waitForEvents(true);
            await new Promise<void>((resolve) => (wake = resolve));
            native.waitForEvents(false);
          }
          const event = events.shift();
          if (event === undefined) return;
          yield event;
        }
      } finally {
        readers.delete(reader);
      }
    }
    return read();
  }
}

/** What a pool has beside the services of its workers. */
export class PoolBase implements ClientBase {
  readonly #caller: Caller;
  readonly #channel: number;
  readonly #notices: number;
  readonly #audience: Audience;
  #stopped: Promise<void> | undefined;

  /** @internal */
  constructor(channel: number, notices: number, audience: Audience) {
    this.#caller = new Caller(channel);
    this.#channel = channel;
    this.#notices = notices;
    this.#audience = audience;
  }

  /** Calls a method on an idle worker, or waits for one. */
  call<R = unknown>(method: string, params?: Params, options?: CallOptions): Promise<R> {
    return this.#caller.call<R>(method, params, options);
  }

  /** Calls a method whose answer is a stream. */
  stream<T = unknown>(method: string, params?: Params, options?: CallOptions): Stream<T> {
    return this.#caller.stream<T>(method, params, options);
  }

  /** Sends one worker a notification: at most once, never answered. */
  notify(method: string, params?: Params): void {
    this.#caller.notify(method, params);
  }

  /** What the workers serve. */
  async methods(): Promise<Registration> {
    const registration = native.registration(this.#channel);
    if (registration === null) throw new ProcallError("NO_WORKER", "no worker of this pool is there");
    return decode(registration) as Registration;
  }

  /** What is known of each worker. */
  workers(): WorkerInfo[] {
    return native.workers(this.#channel);
  }

  /** What happens to the workers from now on; ends with the pool. */
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
    native.closePool(this.#channel, this.#notices);
    theLoop().pools.delete(this.#notices);
    this.#audience.close();
    theLoop().soon();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** A pool: services of its workers as `S`, and {@link PoolBase}. */
export type Pool<S = Dynamic> = PoolBase & Omit<Remote<S>, keyof PoolBase>;

async function start<S>(target: Readonly<Record<string, unknown>>, options: PoolOptions): Promise<Pool<S>> {
  const { env, onOutput, onEvent: _, signal, ...rest } = options;
  if (signal?.aborted === true) {
    throw new ProcallError("CANCELLED", "the signal was aborted before the start", { executed: "no", cause: signal.reason });
  }
  let description: Uint8Array;
  try {
    description = encode({ ...rest, ...target, env: Object.entries(env ?? {}), output: onOutput !== undefined });
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
      notices = native.spawn(id, description);
      loop.pools.set(notices, (notice) => audience.notice(notice));
      abort = () => {
        native.cancel(id);
        loop.soon();
      };
      signal?.addEventListener("abort", abort, { once: true });
    });
    return withMethods(new PoolBase(channel, notices, audience)) as unknown as Pool<S>;
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
