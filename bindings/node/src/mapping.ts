/** Many calls of one kind: a few at a time, their answers in order. */

import { inspect } from "node:util";

import { reporterOf } from "./bar.js";
import type { CallOptions, Params } from "./call.js";
import { ProcallError } from "./errors.js";

/** How many calls are to be made. */
export interface MapOptions extends Omit<CallOptions, "items" | "progress"> {
  /** Calls under way, and answers that wait for those before them; twice the workers, 16 at least. No more items than these are read ahead. */
  readonly lookAhead?: number | undefined;
  /** Told how many answers were taken, and of how many, when that is known; `true` draws a bar on a terminal's standard error. */
  readonly progress?: boolean | ((done: number, total: number | undefined) => void);
}

/** What the arguments of one call are: an array binds by position, a plain object by name, anything else is the only argument. */
export function paramsOf(item: unknown): Params {
  if (Array.isArray(item)) return item;
  if (typeof item === "object" && item !== null) {
    const prototype: unknown = Object.getPrototypeOf(item);
    if (prototype === Object.prototype || prototype === null) return item as Params;
  }
  return [item];
}

interface UnderWay<R> {
  readonly answer: Promise<R>;
  readonly controller: AbortController;
}

/** Begins the call for an item. */
type Begin<T, R> = (item: T, signal: AbortSignal) => Promise<R>;

/**
 * The answers of many calls, in the order of their items. Nothing is read or called before the first answer is asked for. Leaving a `for await`
 * early cancels the calls under way, and so does the first error.
 *
 * ```ts
 * const sums = pool.map<number>("add", [[1, 2], { a: 3, b: 4 }], { lookAhead: 8 });
 * for await (const sum of sums) console.log(sum);
 * const all: number[] = await pool.map<number>("add", [[1, 2]]).toArray();
 * ```
 */
export class Mapped<R> implements AsyncIterableIterator<R> {
  readonly #answers: AsyncGenerator<R, void, undefined>;
  readonly #calls: Calls<unknown, R>;

  /** @internal */
  constructor(items: Iterable<unknown> | AsyncIterable<unknown>, options: MapOptions, lookAhead: number, begin: Begin<unknown, R>) {
    this.#calls = new Calls(items, options, lookAhead, begin);
    this.#answers = this.#calls.run();
  }

  /** The next answer. */
  next(): Promise<IteratorResult<R, void>> {
    return this.#answers.next();
  }

  /** Cancels what is under way. */
  return(): Promise<IteratorResult<R, void>> {
    this.#calls.cancel(undefined);
    return this.#answers.return();
  }

  /** All answers at once; rejects with the first error. */
  async toArray(): Promise<R[]> {
    const all: R[] = [];
    for await (const answer of this) all.push(answer);
    return all;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

/** The calls of a {@link Mapped}. */
class Calls<T, R> {
  private readonly underWay: UnderWay<R>[] = [];
  private readonly source: AsyncIterator<T> | Iterator<T>;
  private readonly isAsync: boolean;
  private readonly total: number | undefined;
  /** An item that is being read. */
  private reading: Promise<void> | undefined;
  /** No more items are read: there are none, or a call has failed. */
  private over = false;
  private failure: { readonly error: unknown } | undefined;

  constructor(
    items: Iterable<T> | AsyncIterable<T>,
    private readonly options: MapOptions,
    private readonly lookAhead: number,
    private readonly begin: Begin<T, R>,
  ) {
    if (typeof items !== "object" || items === null || !(Symbol.asyncIterator in items || Symbol.iterator in items)) {
      throw new ProcallError("INVALID_ARGUMENT", `the items are ${inspect(items, { depth: 0 })}: give an array or another iterable, one item a call`);
    }
    this.isAsync = Symbol.asyncIterator in items;
    const { length, size } = items as { length?: unknown; size?: unknown };
    this.total = typeof length === "number" ? length : typeof size === "number" ? size : undefined;
    this.source = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  }

  async *run(): AsyncGenerator<R, void, undefined> {
    const { signal, progress } = this.options;
    const abort = (): void => this.cancel(signal?.reason);
    const report = reporterOf(progress, "", "(done, total)", (call) => call);
    let done = 0;
    try {
      if (signal?.aborted === true) {
        throw new ProcallError("CANCELLED", "the signal was aborted before the calls", { executed: "no", cause: signal.reason });
      }
      signal?.addEventListener("abort", abort, { once: true });
      report?.tell(0, this.total);
      for (;;) {
        this.fill();
        const first = this.underWay[0];
        if (first === undefined) {
          if (this.reading !== undefined) await this.reading;
          else if (this.failure !== undefined) throw this.failure.error;
          else if (this.over) return;
          continue;
        }
        // While the first answer is on its way, slow items may come in, whose calls can begin.
        const settled = first.answer.then(() => true, () => true);
        if (this.reading !== undefined && !(await Promise.race([settled, this.reading.then(() => false)]))) continue;
        const answer = await first.answer;
        this.underWay.shift();
        report?.tell(++done, this.total);
        yield answer;
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      this.cancel(undefined);
      report?.end();
      // Without waiting: an item that is being read may never come.
      if (this.failure === undefined || !this.isAsync) void Promise.resolve(this.source.return?.()).catch(() => {});
    }
  }

  /** Cancels the calls from a place on. */
  cancel(reason: unknown, from = 0): void {
    this.over = true;
    for (const { controller } of this.underWay.slice(from)) controller.abort(reason);
  }

  /** Reads items and begins their calls, as far ahead as may be. */
  private fill(): void {
    while (!this.over && this.reading === undefined && this.underWay.length < this.lookAhead) {
      try {
        const next = this.source.next();
        if (next instanceof Promise || this.isAsync) {
          this.reading = Promise.resolve(next).then((next) => this.take(next), (error: unknown) => this.failed(error)).finally(() => {
            this.reading = undefined;
            if (!this.over) this.fill();
          });
        } else {
          this.take(next as IteratorResult<T>);
        }
      } catch (error) {
        this.failed(error);
      }
    }
  }

  /** The items cannot be read on: the answers of those before are still given. */
  private failed(error: unknown): void {
    this.over = true;
    this.failure ??= { error };
  }

  private take(next: IteratorResult<T>): void {
    if (next.done === true) {
      this.over = true;
      return;
    }
    if (this.over) return;
    const controller = new AbortController();
    const call = { answer: this.begin(next.value, controller.signal), controller };
    this.underWay.push(call);
    // Those before it are still wanted, those after it are not.
    call.answer.catch(() => {
      const at = this.underWay.indexOf(call);
      if (at >= 0) this.cancel(undefined, at + 1);
    });
  }
}

/** The look-ahead that is given, or a usual one. */
export function lookAheadOf(given: number | undefined, workers: number): number {
  if (given === undefined) return Math.max(16, 2 * workers);
  if (Number.isInteger(given) && given > 0) return given;
  throw new ProcallError("INVALID_ARGUMENT", `lookAhead is ${inspect(given, { depth: 0 })}: give a number of calls, 1 or more`);
}
