/** Answers that are streams. */

import { type CallOptions, failing, type Params, Running, type Target } from "./call.js";
import { native } from "./native.js";

/** Items asked for at once. More would only lie here instead of at their sender. */
const WINDOW = 32;

/**
 * The answer of a call that is a stream. Leaving a `for await` early cancels the call.
 *
 * Items are asked for as they are taken: a slow reader slows its own writer down, and nobody else.
 *
 * ```ts
 * for await (const n of calc.stream<number>("count", [5])) if (n === 2) break;
 * const stream = calc.stream.count(5);
 * const { value, done } = await stream.next();
 * if (!done) console.log(value);
 * await stream.return();                                    // cancels what is left
 * ```
 */
export class Stream<T> extends Running implements AsyncIterableIterator<T> {
  private readonly items: T[] = [];
  private readonly waiters: ((result: IteratorResult<T> | Promise<never>) => void)[] = [];
  /** Items that were asked for and have not come. */
  private asked = 0;
  /** Set once nothing more will come. */
  private outcome: { error: (() => Error) | undefined } | undefined;

  /** @internal */
  constructor(target: Target, method: string, params: Params, options: CallOptions | undefined) {
    super(target, options);
    try {
      this.start(method, params, true);
    } catch (error) {
      this.outcome = { error: () => error as Error };
    }
  }

  protected override item(value: unknown): void {
    this.asked--;
    const next = this.waiters.shift();
    if (next === undefined) this.items.push(value as T);
    else next({ value: value as T, done: false });
    if (this.waiters.length > 0) this.ask();
  }

  protected override replied(value: unknown): void {
    this.items.push(value as T);
    this.settle(undefined);
  }

  protected override ended(): void {
    this.settle(undefined);
  }

  protected override failed(make: () => Error): void {
    this.settle(make);
  }

  private settle(error: (() => Error) | undefined): void {
    this.outcome ??= { error };
    for (const next of this.waiters.splice(0)) next(this.take());
  }

  /** What there is for the next who asks, now that nothing more will come. */
  private take(): IteratorResult<T> | Promise<never> {
    if (this.items.length > 0) return { value: this.items.shift()!, done: false };
    const error = this.outcome?.error;
    // The error is told once; then the stream is simply over.
    this.outcome = { error: undefined };
    return error === undefined ? { value: undefined, done: true } : failing(error);
  }

  private ask(): void {
    if (this.asked > 0 || this.id < 0) return;
    this.asked = WINDOW;
    this.loop.flush();
    native.pull(this.id, WINDOW);
    this.loop.soon();
  }

  /** The next item. */
  next(): Promise<IteratorResult<T>> {
    return new Promise((resolve) => {
      if (this.items.length > 0 || this.outcome !== undefined) {
        resolve(this.take());
        return;
      }
      this.waiters.push(resolve);
      this.ask();
    });
  }

  /** Ends the stream early: the call is cancelled, and nothing more comes. */
  return(): Promise<IteratorResult<T>> {
    this.items.length = 0;
    this.outcome = { error: undefined };
    this.abandon();
    this.settle(undefined);
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
