/** Clients: what one calls on. */

import { type CallOptions, callUnary, type NotifyOptions, type Params, refused, routing, type Target, timeoutOf } from "./call.js";
import type { Context } from "./context.js";
import { type KnownErrors, knownErrors } from "./declared.js";
import type { ErrorClass } from "./described.js";
import { ProcallError } from "./errors.js";
import type { Metrics } from "./figures.js";
import { type Operation, theLoop } from "./loop.js";
import * as n from "./native.js";
import type { Dynamic, Remote, Streams, TypedCall } from "./remote.js";
import { Stream } from "./stream.js";
import { noticed } from "./tracing.js";

/** What a peer serves. */
export interface Registration {
  readonly name: string;
  readonly version?: string;
  readonly description?: string;
  readonly concurrency: number;
  readonly methods: readonly MethodInfo[];
}

/** What is known of one method. */
export interface MethodInfo {
  /** Full name, such as `calc.add`. */
  readonly name: string;
  /** What it does. */
  readonly description?: string;
  /** Names of its parameters in their order, when they are told. */
  readonly params?: readonly string[];
  /** JSON Schema of the params: an object with one property a parameter. */
  readonly params_schema?: unknown;
  /** JSON Schema of the result, or of one item when the result is a stream. */
  readonly result_schema?: unknown;
  /** It may run more than once without harm. */
  readonly idempotent: boolean;
  /** Which sides send a stream. */
  readonly shape: "unary" | "items_out" | "items_in" | "duplex";
  /** Errors of its own that it declares, beside those that every call may end with. */
  readonly errors?: readonly DeclaredError[];
}

/** An error that a method declares. */
export interface DeclaredError {
  /** What travels as its {@link ProcallError.remoteType}: the name of the class. */
  readonly name: string;
  readonly description?: string;
  /** JSON Schema of its details. */
  readonly schema?: unknown;
}

/**
 * What every client has beside the methods of its service. A method of one of these names is called with {@link call}.
 *
 * ```ts
 * const sum = await client.call<number>("add", [1, 2], { deadlineMs: 80, idempotent: true });
 * for await (const n of client.stream<number>("count", [5])) console.log(n);
 * client.notify("log", ["hello"]);
 * const { name, methods } = await client.methods();
 * console.log(name, methods.map(({ name, params }) => `${name}(${params})`));
 * client.close();
 * ```
 */
export interface ClientBase {
  /** Calls a method that answers with one value. An array binds by position, an object by name. */
  call<R = unknown>(method: string, params?: Params, options?: CallOptions): Promise<R>;
  /** Calls a method whose answer is a stream. */
  stream<T = unknown>(method: string, params?: Params, options?: CallOptions): Stream<T>;
  /** Sends a notification: at most once, never answered. */
  notify(method: string, params?: Params, options?: NotifyOptions): void;
  /** What the other side serves. */
  methods(): Promise<Registration>;
  /**
   * What was counted of the calls made through this client; once it is closed, the last of it.
   *
   * ```ts
   * const { totalRequests, latency } = client.metrics();
   * console.log(`${totalRequests} calls, 99 of 100 within ${latency.p99Ms} ms`);
   * ```
   */
  metrics(): Metrics;
  /** Closes the connection: calls in flight end with CLOSED. */
  close(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A client: methods of the service `S`, and {@link ClientBase}. */
export type Client<S = Dynamic> = Omit<ClientBase, "call" | "stream"> & Omit<Remote<S>, keyof ClientBase> & {
  readonly call: TypedCall<S>;
  readonly stream: Streams<S>;
};

/** What was counted of a channel's calls, those included that were written just now. */
export function counted(channel: number): Metrics {
  theLoop().flush();
  return n.calling(() => n.native.metrics(channel));
}

/** What calls are made on, by the number that the native half gave it. */
export class Caller implements ClientBase {
  readonly #channel: number;
  readonly #target: Target;
  /** What was counted, once it is closed. */
  #last: Metrics | undefined;

  constructor(channel: number, known: KnownErrors | undefined) {
    this.#channel = channel;
    this.#target = { channel, known };
  }

  call<R>(method: string, params: Params = [], options?: CallOptions): Promise<R> {
    return callUnary(this.#target, method, params, options) as Promise<R>;
  }

  stream<T>(method: string, params: Params = [], options?: CallOptions): Stream<T> {
    return new Stream<T>(this.#target, method, params, options);
  }

  notify(method: string, params: Params = [], options?: NotifyOptions): void {
    const flags = options === undefined ? 0 : routing(options);
    const meta = noticed(options?.meta);
    try {
      theLoop().command({
        kind: n.NOTIFY,
        channel: this.#channel,
        id: 0,
        method,
        flags,
        timeout: NaN,
        inherited: NaN,
        serving: n.NONE,
        params,
        options: meta === options?.meta ? options : { ...options, meta },
      });
    } catch (error) {
      throw refused(error);
    }
  }

  methods(): Promise<Registration> {
    return this.call("procall.methods");
  }

  metrics(): Metrics {
    return this.#last ?? counted(this.#channel);
  }

  close(): void {
    theLoop().flush();
    this.#last = n.native.close(this.#channel) ?? this.#last;
    theLoop().soon();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** A function's own members, which are no methods of the other side. */
const FUNCTION_MEMBERS = new Set(["then", "length", "name", "prototype", "apply", "bind", "call", "constructor", "toString"]);

/** A remote method that can be called, and whose members are methods of longer names: `client.calc.add(1, 2)`. */
function method(start: (name: string, args: unknown[]) => unknown, name: string): unknown {
  return withMembers((...args: unknown[]) => start(name, args), (member) => method(start, `${name}.${member}`));
}

/** A function whose members are made when they are asked for. */
function withMembers(call: (...args: any[]) => unknown, make: (member: string) => unknown): unknown {
  const members = new Map<string, unknown>();
  return new Proxy(call, {
    get(target, member) {
      if (typeof member === "symbol" || FUNCTION_MEMBERS.has(member)) {
        return member === "then" ? undefined : (Reflect.get(target, member) as unknown);
      }
      let found = members.get(member);
      if (found === undefined) members.set(member, (found = make(member)));
      return found;
    },
  });
}

/** The caller with every other member being a remote method. */
export function withMethods<C extends ClientBase>(caller: C): C & Dynamic {
  const members = new Map<string | symbol, unknown>();
  return new Proxy(caller, {
    get(target, member) {
      const known = members.get(member);
      if (known !== undefined) return known;
      let found: unknown;
      if (typeof member === "symbol" || member in target) {
        found = Reflect.get(target, member);
        // Members that are no functions may change.
        if (typeof found !== "function") return found;
        found = (found as (...args: unknown[]) => unknown).bind(target);
        // Methods whose answer is a stream are members of this one: `client.stream.count(5)`.
        if (member === "stream") {
          const start = (name: string, args: unknown[]): unknown => target.stream(name, args);
          found = withMembers(found as (...args: unknown[]) => unknown, (name) => method(start, name));
        }
      } else if (member === "then") {
        // Whoever awaits a client must not call a remote method.
        return undefined;
      } else {
        found = method((name, args) => target.call(name, args), member);
      }
      members.set(member, found);
      return found;
    },
  }) as C & Dynamic;
}

/** How to connect. */
export interface ConnectOptions {
  /**
   * How long the service may take to be there and to answer, in milliseconds; 5 s. Zero is one look, `Infinity` waits without end.
   */
  readonly timeoutMs?: number | undefined;
  /**
   * The engine to ask for the service, by its address or name, instead of looking elsewhere. Without it, `PROCALL_ENGINE` names one; else a
   * service that listens nowhere itself is looked for with the engine of the runtime directory.
   */
  readonly engine?: string | undefined;
  /** What the other side is to call this one, in its logs and to its handlers; the name of the script without it. */
  readonly name?: string | undefined;
  /**
   * How to talk to a service on this machine: `"shm"` in shared memory, `"unix"` over the socket, `"auto"` in shared memory when both sides can.
   * Without it, `PROCALL_TRANSPORT` says, which says `auto` unless it is set.
   */
  readonly transport?: "auto" | "unix" | "shm" | undefined;
  /**
   * For TLS, at addresses such as `tls:engine.example:8443`: the PEM file with the authorities that are trusted, instead of those of this
   * machine. Without it, `PROCALL_TLS_CA` names one.
   */
  readonly ca?: string | undefined;
  /** The PEM file with the certificate to show over TLS, where the other side wants one. Without it, `PROCALL_TLS_CERT` names one. */
  readonly cert?: string | undefined;
  /** The PEM file with the key that belongs to it, which nobody else may be able to read. Without it, `PROCALL_TLS_KEY` names one. */
  readonly key?: string | undefined;
  /**
   * Whether long messages travel compressed where the other side wants that too, which is for slow networks. Without it, `PROCALL_COMPRESSION`
   * says.
   */
  readonly compression?: boolean | undefined;
  /** Aborting it ends the search. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Error classes that the service's methods declare: a failure of one of these names is an instance of the class, made without its constructor,
   * with the message and the fields of the original; its `cause` is the {@link ProcallError}.
   */
  readonly errors?: readonly ErrorClass[] | undefined;
  /** The handler that connects: the search takes no more time than the handler has left, and ends when the handler is cancelled. */
  readonly context?: Context | undefined;
}

class Connecting implements Operation {
  readonly id = theLoop().begin(this);
  private timer: NodeJS.Timeout | undefined;
  private readonly signals: readonly AbortSignal[];
  private readonly onAbort = (): void => {
    n.native.cancel(this.id);
    theLoop().soon();
  };

  constructor(
    target: string,
    options: ConnectOptions,
    private readonly resolve: (channel: number) => void,
    private readonly reject: (error: unknown) => void,
  ) {
    const { signal, context } = options;
    this.signals = [signal, context?.signal].filter((signal) => signal !== undefined);
    try {
      const timeout = timeoutOf(options.timeoutMs === undefined ? undefined : { deadlineMs: options.timeoutMs });
      const inherited = context === undefined ? NaN : (context.deadlineMs ?? Infinity);
      if (this.aborted() !== undefined) throw this.cancelled();
      const { engine = null, name = null, transport = null, ca, cert, key, compression } = options;
      const script = process.argv[1] ?? null;
      const tls = { ca, cert, key };
      n.calling(() => n.native.connect(this.id, target, timeout, inherited, engine, name, script, tls, transport, compression));
    } catch (error) {
      theLoop().end(this.id);
      throw error;
    }
    for (const signal of this.signals) signal.addEventListener("abort", this.onAbort, { once: true });
    theLoop().soon();
  }

  handle(kind: number, _flags: number, value: () => unknown, extra: number): boolean {
    clearTimeout(this.timer);
    if (kind === n.PAUSE) {
      this.timer = setTimeout(() => {
        n.native.look(this.id);
        theLoop().soon();
      }, extra);
      return false;
    }
    for (const signal of this.signals) signal.removeEventListener("abort", this.onAbort);
    if (kind === n.DONE) {
      this.resolve(extra);
    } else {
      const error = n.errorOf(value());
      this.reject(error.code === "CANCELLED" ? this.cancelled() : error);
    }
    return true;
  }

  private aborted(): AbortSignal | undefined {
    return this.signals.find((signal) => signal.aborted);
  }

  private cancelled(): ProcallError {
    return new ProcallError("CANCELLED", "the signal was aborted before the service was connected", {
      executed: "no",
      cause: this.aborted()?.reason,
    });
  }
}

/**
 * Connects to a service by name, or by address such as `unix:/run/calc.sock`, `tcp:127.0.0.1:9000` or `tls:engine.example:8443`. The service may come up later.
 *
 * A service that is registered with an engine is found by its name through that engine; the address of an engine itself leads to all services
 * there. A connection to an engine is made anew when it is lost: calls in flight fail with CONNECTION_LOST, and calls made meanwhile wait for
 * it, up to 5 s.
 *
 * ```ts
 * const calc = await connect("calc");
 * console.log(await calc.add(1, 2));
 * calc.close();
 * ```
 */
export async function connect<S = Dynamic>(target: string, options: ConnectOptions = {}): Promise<Client<S>> {
  const known = knownErrors(options.errors);
  const channel = await new Promise<number>((resolve, reject) => new Connecting(target, options, resolve, reject));
  return withMethods(new Caller(channel, known)) as unknown as Client<S>;
}
