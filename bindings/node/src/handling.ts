/** One call of a peer's, from its arrival to our answer. Not for users of the package. */

import { CODES } from "./codes.js";
import { type ContextSource, type Peer, within } from "./context.js";
import { decode } from "./decode.js";
import { declaredOf, fieldsOf, MAX_DETAILS } from "./declared.js";
import type { ErrorClass } from "./described.js";
import { encode } from "./encode.js";
import { ProcallError, UndecodableError, UnencodableError } from "./errors.js";
import { type IncomingCall, type Loop, type Operation, theLoop } from "./loop.js";
import type { Input, Method } from "./methods.js";
import * as n from "./native.js";
import { Sender } from "./sender.js";
import { HandlerSpan } from "./tracing.js";
import { below, type Validate, type Validated } from "./validation.js";

const { native } = n;

/** Characters of an error's message and stack that travel: an error that is longer than a chunk, 64 KiB, loses all of them. */
const MAX_MESSAGE = 4 << 10;
const MAX_TRACE = 8 << 10;
/** Items asked for at once. */
const WINDOW = 32;

/** A call that is being handled. */
export class Handling implements Operation, ContextSource {
  private readonly loop: Loop = theLoop();
  private readonly served: number;
  readonly leftMs: number | null;
  readonly arrivedAt: number;
  /** Not answered yet: the number is still the call's. */
  private open: boolean;
  private abort: AbortController | undefined;
  /** It was cancelled because its time was over. */
  private late = false;
  private sender: Sender | undefined;
  private incoming: IncomingItems | undefined;
  span: HandlerSpan | undefined;
  /** The number of the connection that a notification came by. */
  private readonly connection: number | undefined;

  constructor(
    private readonly entry: Method,
    readonly method: string,
    call: IncomingCall,
  ) {
    const isNotification = (call.flags & n.NOTIFICATION) !== 0;
    this.served = isNotification ? n.NONE : call.served;
    this.leftMs = call.left === n.NONE ? null : call.left;
    // Only a call with a deadline needs to know when it came.
    this.arrivedAt = this.leftMs === null ? 0 : performance.now();
    this.open = !isNotification;
    if (isNotification) this.connection = call.served;
  }

  get waiting(): number {
    return this.open ? this.served : n.NONE;
  }

  /** Runs the handler and answers. */
  run(call: IncomingCall): void {
    let args: unknown[];
    try {
      args = call.arguments();
    } catch (error) {
      const message = error instanceof UndecodableError ? error.message : String(error);
      this.fail({ code: "INVALID_ARGUMENT", message: `the arguments cannot be read: ${message}` });
      return;
    }
    const { input } = this.entry;
    if (input === undefined) {
      this.invoke(args);
      return;
    }
    const byName = (call.flags & n.BY_NAME) !== 0;
    try {
      const validated = this.validate(input, args, byName);
      if (validated instanceof Promise) validated.then((found) => this.judge(input, args, byName, found), (error: unknown) => this.threw(error));
      else this.judge(input, args, byName, validated);
    } catch (error) {
      this.threw(error);
    }
  }

  /** What the schema makes of the arguments. */
  private validate({ members, tuple, validate }: Input, args: unknown[], byName: boolean): Validated | Promise<Validated> {
    if (members !== undefined) return validate(together(members, args), "");
    if (tuple) return validate(args, "");
    const { names, takesWhole } = this.entry.signature;
    return validate(args[0], byName && !takesWhole ? below("", names[0]!) : "");
  }

  private judge(input: Input, args: unknown[], byName: boolean, validated: Validated): void {
    if ("fields" in validated) {
      // As they were sent: by position, or by name.
      const places = byName || !input.apart || input.members === undefined ? [] : input.members.map((name) => below("", name));
      const fields = validated.fields.map(({ path, message }) => {
        const at = places.findIndex((place) => path === place || path.startsWith(`${place}/`));
        return { path: at < 0 ? path : `/${at}${path.slice(places[at]!.length)}`, message };
      });
      const says = fields.map(({ path, message }) => (path === "" ? message : `argument ${path.slice(1)}: ${message}`)).join("; ");
      this.fail({ code: "INVALID_ARGUMENT", message: short(says), fields });
    } else if (input.members !== undefined && input.apart) {
      this.invoke(args);
    } else {
      this.invoke(input.tuple && Array.isArray(validated.value) ? validated.value : [validated.value]);
    }
  }

  /** The arguments are good: runs the handler with them. */
  private invoke(args: unknown[]): void {
    if (this.entry.itemsIn) {
      this.incoming = new IncomingItems(() => this.pull());
      this.follow();
      args.unshift(this.incoming);
    }
    if (this.open) this.span = HandlerSpan.of(this.method, () => this.meta());
    let result: unknown;
    try {
      result = within(this, () => this.entry.call(args));
    } catch (error) {
      this.threw(error);
      return;
    }
    if (this.entry.itemsOut) void this.stream(result);
    else if (isThenable(result)) result.then((value) => this.result(value), (error: unknown) => this.threw(error));
    else this.result(result);
  }

  /** The handler returned; its answer may have to be looked at first. */
  private result(value: unknown): void {
    const { output } = this.entry;
    if (output === undefined) {
      this.answer(value);
      return;
    }
    judged(output, value).then((value) => this.answer(value), (error: unknown) => this.threw(error));
  }

  private answer(value: unknown): void {
    if (!this.close()) return;
    try {
      this.loop.answer(this.served, value);
    } catch (error) {
      this.loop.fail(this.served, invalidResult(error));
    }
  }

  /** The handler failed, or gave a stream that did. */
  private threw(error: unknown): void {
    this.span?.threw(error);
    if (this.open) this.fail(mapOf(error, this.entry.errors));
    // Nobody waits for the outcome of a notification.
    else if (this.served === n.NONE) process.emitWarning(error instanceof Error ? error : shown(error), { detail: `in ${this.method}` });
  }

  private fail(map: Record<string, unknown>): void {
    if (this.close(map)) this.loop.fail(this.served, map);
  }

  /** True the first time, when the call can be answered. */
  private close(failure?: Readonly<Record<string, unknown>>): boolean {
    if (!this.open) return false;
    this.open = false;
    if (failure === undefined) this.span?.end();
    else this.span?.end(String(failure["code"]), String(failure["message"]));
    this.loop.served.delete(this.served);
    this.incoming?.end(undefined);
    return true;
  }

  private async stream(result: unknown): Promise<void> {
    this.follow();
    this.watch();
    try {
      const items = isThenable(result) ? await result : result;
      if (!isIterable(items)) {
        throw new ProcallError("INVALID_RESULT", `${this.method} should return an iterable, but returned ${typeof items}`);
      }
      this.sender = new Sender((item) => {
        if (!this.open) return n.SENT_NEVER;
        this.loop.flush();
        return native.sendServed(this.served, item);
      });
      if (!(await this.sender.run(resuming(this, items, this.entry.output)))) {
        this.fail({ code: this.late ? "DEADLINE_EXCEEDED" : "CANCELLED", message: "the stream was cancelled", started: true });
        return;
      }
    } catch (error) {
      if (isUnencodable(error)) this.fail(invalidResult(error));
      else this.threw(error);
      return;
    }
    if (this.close()) {
      this.loop.flush();
      native.endServed(this.served);
    }
  }

  /** From now on, events of this call come here. */
  private follow(): void {
    if (this.open) this.loop.served.set(this.served, this);
  }

  private watch(): void {
    if (!this.open) return;
    this.loop.flush();
    const wanted = native.watchServed(this.served);
    if (wanted !== n.WANTED) this.cancelled(wanted === n.WANTED_NO_LONGER);
  }

  private cancelled(late: boolean): void {
    this.late = late;
    this.abort ??= new AbortController();
    const reason = late ? "the deadline passed" : "the caller no longer wants the answer";
    this.abort.abort(new ProcallError(late ? "DEADLINE_EXCEEDED" : "CANCELLED", reason, { executed: "yes" }));
    this.sender?.sent(true);
  }

  signal(): AbortSignal {
    if (this.abort === undefined) {
      this.abort = new AbortController();
      this.follow();
      this.watch();
    }
    return this.abort.signal;
  }

  get answers(): boolean {
    return this.connection === undefined;
  }

  caller(): Peer {
    const found = this.connection !== undefined ? native.caller(this.connection, true) : this.open ? native.caller(this.served, false) : null;
    return found ?? { name: "", runtime: "", pid: 0 };
  }

  meta(): Readonly<Record<string, unknown>> {
    const found = this.open ? native.meta(this.served) : null;
    return found === null ? {} : (decode(found) as Record<string, unknown>);
  }

  progress(done: number, total: number | undefined, text: string): void {
    if (!this.open) return;
    this.loop.flush();
    native.progress(this.served, done, total ?? null, text);
  }

  private pull(): void {
    if (!this.open) return;
    this.loop.flush();
    native.pullServed(this.served, WINDOW);
    this.loop.soon();
  }

  private item(value: () => unknown): void {
    try {
      this.incoming?.item(value());
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.incoming?.end(new ProcallError("INVALID_ARGUMENT", `an item cannot be read: ${message}`, { executed: "yes", cause: error }));
    }
  }

  handle(kind: number, flags: number, value: () => unknown): boolean {
    switch (kind) {
      case n.CANCELLED:
        this.cancelled(flags !== 0);
        break;
      case n.SERVED_SENT:
        this.sender?.sent(flags !== 0);
        break;
      case n.SERVED_ITEM:
        this.item(value);
        break;
      case n.SERVED_END:
        this.incoming?.end(undefined);
        break;
      case n.SERVED_FAILED:
        this.incoming?.end(n.errorOf(value()));
        break;
    }
    return false;
  }
}

/** The items that a caller sends, as its handler takes them. */
class IncomingItems implements AsyncIterableIterator<unknown> {
  private readonly items: unknown[] = [];
  private readonly waiting: { resolve(result: IteratorResult<unknown>): void; reject(error: unknown): void }[] = [];
  private asked = 0;
  private over: { error: unknown } | undefined;

  constructor(private readonly pull: () => void) {}

  item(item: unknown): void {
    this.asked--;
    const next = this.waiting.shift();
    if (next === undefined) this.items.push(item);
    else next.resolve({ value: item, done: false });
    if (this.waiting.length > 0) this.ask();
  }

  end(error: unknown): void {
    this.over ??= { error };
    for (const next of this.waiting.splice(0)) {
      if (this.over.error === undefined) next.resolve({ value: undefined, done: true });
      else next.reject(this.over.error);
    }
  }

  private ask(): void {
    if (this.asked > 0) return;
    this.asked = WINDOW;
    this.pull();
  }

  next(): Promise<IteratorResult<unknown>> {
    return new Promise((resolve, reject) => {
      if (this.items.length > 0) resolve({ value: this.items.shift(), done: false });
      else if (this.over !== undefined) {
        if (this.over.error === undefined) resolve({ value: undefined, done: true });
        else reject(this.over.error);
      } else {
        this.waiting.push({ resolve, reject });
        this.ask();
      }
    });
  }

  return(): Promise<IteratorResult<unknown>> {
    this.items.length = 0;
    this.end(undefined);
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** The same values; whenever the iterable runs, {@link context} finds the call. */
function resuming(
  source: ContextSource,
  items: AsyncIterable<unknown> | Iterable<unknown>,
  output: Validate | undefined,
): AsyncIterable<unknown> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = within(source, () =>
        Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator](),
      );
      return {
        async next() {
          const next = await within(source, () => iterator.next());
          return output === undefined || next.done === true ? next : { value: await judged(output, next.value), done: false };
        },
        return: async () => (await iterator.return?.()) ?? { value: undefined, done: true },
      };
    },
  };
}

/** A value that its schema has seen. */
async function judged(output: Validate, value: unknown): Promise<unknown> {
  const validated = await output(value, "");
  if (!("fields" in validated)) return validated.value;
  const { fields } = validated;
  const says = fields.map(({ path, message }) => (path === "" ? message : `${path.slice(1)}: ${message}`)).join("; ");
  throw new ProcallError("INVALID_RESULT", `the result: ${says}`, { executed: "yes", fields });
}

/** An object of the arguments that were given. */
function together(names: readonly string[], args: readonly unknown[]): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  names.forEach((name, at) => {
    // An own property, whatever the name is.
    if (args[at] !== undefined) Object.defineProperty(object, name, { value: args[at], enumerable: true, writable: true, configurable: true });
  });
  return object;
}

function invalidResult(error: unknown): Record<string, unknown> {
  const message = error instanceof Error ? error.message : String(error);
  return { code: "INVALID_RESULT", message: `the result: ${message}`, started: true };
}

/** What travels of something that a handler threw, whatever that is. */
function mapOf(error: unknown, declared: readonly ErrorClass[]): Record<string, unknown> {
  try {
    return errorMap(error, declared);
  } catch {
    // Its members cannot be read: a getter throws, or it is a revoked proxy.
    return { code: "HANDLER_ERROR", message: shown(error), remoteType: typeof error, started: true };
  }
}

function errorMap(error: unknown, declared: readonly ErrorClass[]): Record<string, unknown> {
  if (error instanceof ProcallError && error.code in CODES) {
    const { code, message, retryAfterMs, noRetry, fields, candidates, chain, remoteType } = error;
    return {
      code,
      message: short(message),
      started: true,
      remoteType: remoteType ?? error.name,
      remoteTrace: short(error.stack, MAX_TRACE),
      retryAfterMs,
      noRetry,
      fields,
      candidates,
      chain,
      ...detailsOf(error.details),
    };
  }
  if (error instanceof Error) {
    const type = declaredOf(error, declared);
    const { details } = error as { details?: unknown };
    // Few classes set their name, so the class says more.
    const name = type?.name ?? (error.name === "Error" ? error.constructor.name || "Error" : error.name);
    return {
      code: "HANDLER_ERROR",
      message: short(error.message),
      remoteType: short(name),
      remoteTrace: short(error.stack, MAX_TRACE),
      started: true,
      ...detailsOf(type === undefined ? details : fieldsOf(error)),
    };
  }
  return { code: "HANDLER_ERROR", message: short(shown(error)), remoteType: error === null ? "null" : typeof error, started: true };
}

/** What a handler attached, when it is a value. */
function detailsOf(details: unknown): { details?: Uint8Array } {
  if (details === undefined || details === null) return {};
  try {
    const bytes = encode(details);
    return bytes.length <= MAX_DETAILS ? { details: new Uint8Array(bytes) } : {};
  } catch {
    return {};
  }
}

/** Asks it of anything, a revoked proxy too. */
function isUnencodable(error: unknown): boolean {
  try {
    return error instanceof UnencodableError;
  } catch {
    return false;
  }
}

function shown(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "something that cannot be shown";
  }
}

/** A text of an error, of which a reader wants no more than this; it is to arrive in any case. */
function short(text: unknown, most = MAX_MESSAGE): string {
  const whole = well(text ?? "");
  return whole.length <= most ? whole : `${whole.slice(0, most)} ... (${whole.length} characters in all)`.toWellFormed();
}

function well(text: unknown): string {
  return (typeof text === "string" ? text : shown(text)).toWellFormed();
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

function isIterable(value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> {
  return typeof value === "object" && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value);
}
