/** What happens in a pool, and who hears of it. */

import { native } from "./native.js";

/** Events that wait for a slow reader; the oldest one makes room for the next. */
const MAX_EVENTS = 256;

/** A line that a worker printed. */
export interface OutputLine {
  /** The worker's name, such as `calc/1`. */
  readonly worker: string;
  readonly pid: number;
  readonly outlet: "stdout" | "stderr";
  /** The line without its end, at most 8 KiB as the worker printed it. */
  readonly text: string;
  /** The line was longer: the next one goes on where this one stops. */
  readonly unfinished: boolean;
  /**
   * The call that printed it, by its number at the worker, when that is known: no other call was running there, nor had one run since its
   * output was last read to the end. What goes on after its call is taken for that of whoever is running.
   */
  readonly call?: number;
  /** The method of that call, as its caller named it. */
  readonly method?: string;
}

/** Something that happened to a worker. */
export interface PoolEvent {
  /** The worker's name, such as `calc/1`. */
  readonly worker: string;
  /** Its place in the pool, from 0. */
  readonly index: number;
  readonly pid: number | null;
  readonly what:
    | "started" | "ready" | "suspected" | "recovered" | "draining" | "replacing" | "exited" | "restarting" | "failed" | "stopped" | "other";
  /** How it ended, why it failed, or why it is replaced although it works. */
  readonly reason: string | null;
  /** All of it in words. */
  readonly text: string;
}

/** Functions that are told of a pool. */
export interface Listeners {
  /** Told every line that a worker prints, instead of standard error; see `showOutput`. */
  readonly onOutput?: ((line: OutputLine) => void) | undefined;
  /** Told what happens to the workers, from the first start on. */
  readonly onEvent?: ((event: PoolEvent) => void) | undefined;
}

/** Hears what happens in a pool. */
export class Audience {
  private readonly readers = new Set<(event: PoolEvent | undefined) => void>();
  private closed = false;

  constructor(private readonly options: Listeners) {}

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
