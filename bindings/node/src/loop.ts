/** The loop of this thread: commands go out in one buffer, events come in with one callback. Not for users of the package. */

import { Reader } from "./decode.js";
import { Writer } from "./encode.js";
import { ProcallError, UndecodableError } from "./errors.js";
import * as n from "./native.js";

const { native } = n;

/** Bodies stand behind the records; the native half hands longer ones over by themselves. */
const ARRAY = n.EVENTS * n.EVENT_LEN + (256 << 10);
/** Commands of this many bytes leave without waiting for more. */
const FULL = 64 << 10;
/** Method names whose bytes are kept. */
const NAMES = 1024;
const WAITS = Uint8Array.of(1);
const WAITS_NOT = Uint8Array.of(0);
const START_LEN = 40;
const ANSWER_LEN = 12;

/** Something of ours whose outcome is awaited. */
export interface Operation {
  /** An event came; true when it was the last. */
  handle(kind: number, flags: number, value: () => unknown, extra: number): boolean;
}

/** What calls and connections of this side serve. */
export interface Serving {
  handle(event: IncomingCall): void;
  ended(error: ProcallError | undefined): void;
}

/** A call of the peer's, as it arrives. */
export interface IncomingCall {
  readonly served: number;
  readonly method: number;
  readonly flags: number;
  /** Milliseconds left, or `NONE`. */
  readonly left: number;
  /** The arguments; throws when they are no values. */
  arguments(): unknown[];
}

/** What of a call's options the command carries; what follows `meta` is there when `flags` say so. */
export interface CommandOptions {
  readonly meta?: Readonly<Record<string, unknown>> | undefined;
  readonly key?: string | undefined;
  readonly to?: string | undefined;
  readonly version?: string | undefined;
  readonly wait?: boolean | undefined;
  readonly idempotencyKey?: string | undefined;
  readonly retries?: number | undefined;
}

/** How a call is to be made. */
export interface Command {
  readonly kind: typeof n.START | typeof n.NOTIFY;
  readonly channel: number;
  readonly id: number;
  readonly method: string;
  readonly flags: number;
  /** Milliseconds; not a number is the default, infinity is never. */
  readonly timeout: number;
  /** What the handler that calls has left; not a number when no handler does. */
  readonly inherited: number;
  /** The number of the call whose handler calls; `NONE` when no handler does. */
  readonly serving: number;
  readonly params: readonly unknown[] | object;
  readonly options: CommandOptions | undefined;
}

class Loop {
  private readonly out = new Writer();
  private readonly array = Buffer.from(new ArrayBuffer(ARRAY));
  private readonly records = new Uint32Array(this.array.buffer, 0, (n.EVENTS * n.EVENT_LEN) / 4);
  private readonly reader = new Reader();
  private readonly operations: (Operation | undefined)[] = [];
  private readonly free: number[] = [];
  private readonly names = new Map<string, Buffer>();
  /** Services by number. */
  readonly services: (Serving | undefined)[] = [];
  /** Calls of peers that want to hear more than their arrival. */
  readonly served = new Map<number, Operation>();
  /** Who hears what happens in pools. */
  readonly pools = new Map<number, (notice: unknown) => void>();
  private scheduled = false;
  private readonly resolved = Promise.resolve();
  private readonly flushed = (): void => {
    this.scheduled = false;
    this.flush();
  };

  constructor() {
    native.open(() => this.turn());
  }

  /** A number for an operation. */
  begin(operation: Operation): number {
    const id = this.free.pop() ?? this.operations.length;
    this.operations[id] = operation;
    return id;
  }

  /** The number is free again. */
  end(id: number): void {
    this.operations[id] = undefined;
    this.free.push(id);
  }

  /** Writes the command of a call or notification; it leaves with the others of this moment. Throws when the params cannot be encoded. */
  command(command: Command): void {
    const { out } = this;
    const name = this.nameOf(command.method);
    out.reserve(START_LEN + name.length);
    const start = out.at;
    out.at += START_LEN;
    out.bytes.set(name, out.at);
    out.at += name.length;
    const params = out.at;
    let meta = params;
    let metaEnd = params;
    try {
      if (!Array.isArray(command.params)) out.value(command.params);
      else if (command.params.length > 0) out.arguments(command.params);
      metaEnd = meta = out.at;
      const { options, flags } = command;
      if (options !== undefined) {
        if (options.meta !== undefined) out.value(options.meta);
        metaEnd = out.at;
        if ((flags & n.KEY) !== 0) out.chars(options.key!);
        if ((flags & n.TO) !== 0) out.chars(options.to!);
        if ((flags & n.FOR_ENGINE) !== 0) {
          out.chars(options.version ?? "");
          out.raw(options.wait === true ? WAITS : WAITS_NOT);
          out.chars(options.idempotencyKey ?? "");
          const { retries = n.NONE } = options;
          out.raw(Uint8Array.of(retries, retries >>> 8, retries >>> 16, retries >>> 24));
        }
      }
    } catch (error) {
      out.at = start;
      throw error;
    }
    const { view } = out;
    view.setUint8(start, command.kind);
    view.setUint8(start + 1, command.flags);
    view.setUint16(start + 2, name.length, true);
    view.setUint32(start + 4, command.channel, true);
    view.setUint32(start + 8, command.id, true);
    view.setUint32(start + 12, meta - params, true);
    view.setUint32(start + 16, metaEnd - meta, true);
    view.setFloat64(start + 20, command.timeout, true);
    view.setFloat64(start + 28, command.inherited, true);
    view.setUint32(start + 36, command.serving, true);
    this.schedule();
  }

  /** Writes the answer of a call. Throws when it cannot be encoded. */
  answer(served: number, value: unknown): void {
    const { out } = this;
    out.reserve(ANSWER_LEN);
    const start = out.at;
    out.at += ANSWER_LEN;
    try {
      // A function that returns nothing answers nil.
      if (value !== undefined) out.value(value);
    } catch (error) {
      out.at = start;
      throw error;
    }
    this.finish(start, n.ANSWER, served);
  }

  /** Writes the error of a call. */
  fail(served: number, map: Readonly<Record<string, unknown>>): void {
    const { out } = this;
    out.reserve(ANSWER_LEN);
    const start = out.at;
    out.at += ANSWER_LEN;
    out.value(map);
    this.finish(start, n.FAIL, served);
  }

  private finish(start: number, kind: number, served: number): void {
    const { out } = this;
    out.view.setUint32(start, kind, true);
    out.view.setUint32(start + 4, served, true);
    out.view.setUint32(start + 8, out.at - start - ANSWER_LEN, true);
    this.schedule();
  }

  private nameOf(method: string): Buffer {
    const known = this.names.get(method);
    if (known !== undefined) return known;
    const name = Buffer.from(method);
    if (name.length === 0 || name.length > 255) {
      throw new ProcallError("INVALID_ARGUMENT", `a method name has 1 to 255 bytes, this one has ${name.length}`);
    }
    if (this.names.size >= NAMES) this.names.clear();
    this.names.set(method, name);
    return name;
  }

  private schedule(): void {
    if (this.out.at >= FULL) this.flush();
    else if (!this.scheduled) {
      this.scheduled = true;
      void this.resolved.then(this.flushed);
    }
  }

  /** Sends what was written; before anything that goes to the native half by another way. */
  flush(): void {
    const { out } = this;
    if (out.at === 0) return;
    const waiting = native.submit(out.bytes.subarray(0, out.at));
    out.reset();
    if (waiting) this.soon();
  }

  /** Makes a turn without waiting for the connections. */
  soon(): void {
    process.nextTick(() => this.turn());
  }

  private turn(): void {
    for (;;) {
      const filled = native.turn(this.array);
      const end = (filled >> 1) * (n.EVENT_LEN / 4);
      for (let at = 0; at < end; at += n.EVENT_LEN / 4) {
        try {
          this.event(at);
        } catch (error) {
          // A defect of ours: it must be seen, but not at the cost of the events behind this one.
          queueMicrotask(() => {
            throw error;
          });
        }
      }
      if ((filled & 1) === 0) return;
    }
  }

  private event(at: number): void {
    const { records } = this;
    const kind = records[at]!;
    const id = records[at + 1]!;
    const flags = records[at + 3]!;
    switch (kind) {
      case n.CALL: {
        const numbers = records[at + 6]!;
        const call: IncomingCall = {
          served: id,
          method: numbers & 0xffff,
          flags,
          left: records[at + 7]!,
          arguments: () => this.argumentsAt(at),
        };
        this.services[numbers >>> 16]?.handle(call);
        return;
      }
      case n.SERVICE_ENDED: {
        const service = this.services[id];
        this.services[id] = undefined;
        service?.ended(records[at + 5] === 0 ? undefined : n.errorOf(this.valueAt(at)));
        return;
      }
      case n.NOTICE:
        this.pools.get(id)?.(this.valueAt(at));
        return;
      case n.SERVED_ITEM:
      case n.SERVED_END:
      case n.SERVED_FAILED:
      case n.SERVED_SENT:
      case n.CANCELLED:
        this.served.get(id)?.handle(kind, flags & 0xffff, () => this.valueAt(at), 0);
        return;
      default: {
        const operation = this.operations[id];
        if (operation?.handle(kind, flags & 0xffff, () => this.valueAt(at), records[at + 6]!) === true) this.end(id);
      }
    }
  }

  private body(at: number): [bytes: Buffer, start: number, end: number] {
    const offset = this.records[at + 4]!;
    const length = this.records[at + 5]!;
    if ((this.records[at + 3]! & n.OWN_BODY) !== 0) return [native.takeBody(offset), 0, length];
    return [this.array, offset, offset + length];
  }

  private valueAt(at: number): unknown {
    const encoding = this.records[at + 2]!;
    if (encoding === 0) return null;
    const [bytes, start, end] = this.body(at);
    if (encoding === n.MSGPACK) return this.reader.value(bytes, start, end);
    if (encoding === n.RAW) return new Uint8Array(bytes.subarray(start, end));
    throw new UndecodableError(`encoding ${encoding} is not known to this version`);
  }

  private argumentsAt(at: number): unknown[] {
    if (this.records[at + 2] === 0) return [];
    const [bytes, start, end] = this.body(at);
    return this.reader.arguments(bytes, start, end);
  }
}

let loop: Loop | undefined;

/** The loop of this thread, made when it is first needed. */
export function theLoop(): Loop {
  loop ??= new Loop();
  return loop;
}

export type { Loop };
