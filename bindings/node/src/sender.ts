/** Sends the values of an iterable one after another, each when there is credit for it. Not for users of the package. */

import { Writer } from "./encode.js";
import { SENT_LATER, SENT_NOW } from "./native.js";

export class Sender {
  private readonly writer = new Writer(1 << 10);
  private waiting: ((over: boolean) => void) | undefined;

  /** `send` takes one encoded item and says what it came to. */
  constructor(private readonly send: (item: Uint8Array) => number) {}

  /** An item that waited was sent, or nobody wants it any more. */
  sent(over: boolean): void {
    const { waiting } = this;
    this.waiting = undefined;
    waiting?.(over);
  }

  /** Resolves when all is sent (`true`) or nobody wants more (`false`); rejects with the error of the iterable or of a value. */
  async run(items: AsyncIterable<unknown> | Iterable<unknown>): Promise<boolean> {
    const { writer } = this;
    for await (const item of items) {
      writer.reset();
      writer.value(item);
      const status = this.send(writer.bytes.subarray(0, writer.at));
      if (status === SENT_NOW) continue;
      const over = status !== SENT_LATER || (await new Promise<boolean>((resolve) => (this.waiting = resolve)));
      // Leaving the loop ends the iterable.
      if (over) return false;
    }
    return true;
  }
}
