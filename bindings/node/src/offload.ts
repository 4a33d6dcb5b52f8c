/** Work for the processor, in threads of its own, so that the loop of a service stays free. */

import { availableParallelism } from "node:os";
import { isAbsolute, join } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { Worker } from "node:worker_threads";

import { ProcallError } from "./errors.js";

/** How the threads are to be. */
export interface OffloadOptions {
  /** How many at most; one less than this process may use processors, and at least one. They are started when they are needed. */
  readonly threads?: number | undefined;
}

/** The functions that a module exports, each run in a thread. */
export type Offloaded<M> = {
  readonly [K in keyof M as M[K] extends (...args: never[]) => unknown ? K : never]: M[K] extends (...args: infer A) => infer R
    ? (...args: A) => Promise<Awaited<R>>
    : never;
} & {
  /** Ends the threads; calls under way end with CLOSED. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/** What a thread is sent. */
export interface Work {
  readonly id: number;
  readonly name: string;
  readonly args: readonly unknown[];
}

/** What a thread answers. */
export type Done =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: { readonly name: string; readonly message: string; readonly stack: string; readonly fields: object } | { readonly thrown: unknown } };

interface Call {
  readonly work: Work;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** A thread does one thing at a time. */
class Thread {
  call: Call | undefined;
  readonly worker: Worker;
  private cause: unknown;

  constructor(
    readonly module: string,
    private readonly idle: (thread: Thread) => void,
    private readonly gone: (thread: Thread) => void,
  ) {
    this.worker = new Worker(join(__dirname, "thread.js"), { workerData: { module } });
    this.worker.on("message", (done: Done) => this.done(done));
    // What nobody caught in the thread; its end follows.
    this.worker.on("error", (error) => (this.cause = error));
    this.worker.on("exit", (code) => this.ended(code));
  }

  run(call: Call): void {
    // Cloned before it is taken, so that arguments which cannot be are no matter of the thread.
    try {
      this.worker.postMessage(call.work);
    } catch (error) {
      call.reject(new ProcallError("INVALID_ARGUMENT", `the arguments of ${call.work.name} cannot go to a thread: ${(error as Error).message}`, { executed: "no", cause: error }));
      this.idle(this);
      return;
    }
    this.call = call;
    this.worker.ref();
  }

  private done(done: Done): void {
    const { call } = this;
    this.call = undefined;
    if ("value" in done) call?.resolve(done.value);
    else call?.reject("thrown" in done.error ? done.error.thrown : errorOf(done.error));
    this.idle(this);
  }

  private ended(code: number): void {
    const { call, cause } = this;
    this.call = undefined;
    this.gone(this);
    const why = cause instanceof Error ? `: ${cause.message}` : ` with ${code}`;
    call?.reject(new ProcallError("WORKER_LOST", `the thread of ${call.work.name} ended${why}`, { executed: "maybe", cause }));
  }
}

function errorOf({ name, message, stack, fields }: { name: string; message: string; stack: string; fields: object }): Error {
  const error = Object.assign(new Error(message), fields);
  for (const [key, value] of [["name", name], ["stack", stack]]) {
    Object.defineProperty(error, key!, { value, writable: true, configurable: true });
  }
  return error;
}

class Threads {
  private readonly threads = new Set<Thread>();
  private readonly free: Thread[] = [];
  private readonly waiting: Call[] = [];
  private closed = false;
  private last = 0;

  constructor(
    private readonly module: string,
    private readonly most: number,
  ) {}

  call(name: string, args: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.closed) {
        reject(closed());
        return;
      }
      this.waiting.push({ work: { id: ++this.last, name, args }, resolve, reject });
      this.next();
    });
  }

  private next(): void {
    while (this.waiting.length > 0) {
      const thread = this.free.pop() ?? (this.threads.size < this.most ? this.start() : undefined);
      if (thread === undefined) return;
      thread.run(this.waiting.shift()!);
    }
  }

  private start(): Thread {
    const idle = (thread: Thread): void => {
      // An idle thread does not keep the process.
      thread.worker.unref();
      this.free.push(thread);
      this.next();
    };
    const gone = (thread: Thread): void => {
      this.threads.delete(thread);
      const at = this.free.indexOf(thread);
      if (at >= 0) this.free.splice(at, 1);
      if (!this.closed) this.next();
    };
    const thread = new Thread(this.module, idle, gone);
    this.threads.add(thread);
    return thread;
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const { reject } of this.waiting.splice(0)) reject(closed());
    await Promise.all(
      Array.from(this.threads, (thread) => {
        thread.call?.reject(closed());
        thread.call = undefined;
        return thread.worker.terminate();
      }),
    );
  }
}

function closed(): ProcallError {
  return new ProcallError("CLOSED", "the threads were closed");
}

/**
 * The functions of a module, run in threads: for work that would keep the loop of a service from everything else. Arguments and results are cloned
 * as `postMessage` does it.
 *
 * ```ts
 * import type * as Work from "./work.mjs";                       // export function hash(text: string): string
 * const work = offload<typeof Work>(new URL("./work.mjs", import.meta.url), { threads: 4 });
 * await service("hashes", { hash: (text: string) => work.hash(text) }).run();
 * ```
 *
 * A function that throws rejects with an error of the same name, message, stack and own fields. A thread that ends rejects its call with
 * WORKER_LOST, and the next call starts another.
 */
export function offload<M = Readonly<Record<string, (...args: any[]) => any>>>(module: URL | string, options: OffloadOptions = {}): Offloaded<M> {
  const threads = options.threads ?? Math.max(1, availableParallelism() - 1);
  if (!Number.isInteger(threads) || threads < 1) {
    throw new ProcallError("INVALID_ARGUMENT", `threads is ${inspect(threads, { depth: 0 })}: give a number of threads, 1 or more`);
  }
  const set = new Threads(urlOf(module), threads);
  const close = (): Promise<void> => set.close();
  const known = new Map<string | symbol, unknown>([["close", close], [Symbol.asyncDispose, close]]);
  return new Proxy(Object.create(null) as object, {
    get(_, name) {
      const found = known.get(name);
      // Whoever awaits this must not call a function of the module.
      if (found !== undefined || typeof name === "symbol" || name === "then") return found;
      const call = (...args: unknown[]): Promise<unknown> => set.call(name, args);
      known.set(name, call);
      return call;
    },
  }) as Offloaded<M>;
}

function urlOf(module: unknown): string {
  if (module instanceof URL) return module.href;
  if (typeof module === "string" && isAbsolute(module)) return pathToFileURL(module).href;
  throw new ProcallError("INVALID_ARGUMENT", `${inspect(module)} is no module: give new URL("./work.mjs", import.meta.url), or an absolute path`);
}
