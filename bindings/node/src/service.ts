/** Services: named sets of methods, and where they are served. */

import { encode } from "./encode.js";
import { ProcallError } from "./errors.js";
import { Handling } from "./handling.js";
import { type IncomingCall, type Operation, type Serving, theLoop } from "./loop.js";
import type { MethodOptions } from "./described.js";
import { infoOf, type Method, methodsOf } from "./methods.js";
import { calling, DONE, errorOf, native, type Placed } from "./native.js";
import type { METHODS, OwnMethods } from "./remote.js";

/** How long calls in flight may take once a service is asked to stop. */
const DRAIN_MS = 10_000;

/** What is said of a service. */
export interface ServiceOptions {
  /** Its own version. */
  readonly version?: string | undefined;
  /** What it is for, in a sentence. */
  readonly description?: string | undefined;
  /** Calls it works on at the same time; 1,024. A pool gives a worker no more than this. */
  readonly concurrency?: number | undefined;
  /** What is said of its methods, by name. */
  readonly methods?: Readonly<Record<string, MethodOptions>> | undefined;
}

/** Where and how to serve. */
export interface RunOptions {
  /** An address or a name to listen at, such as `unix:/run/calc.sock` or `tcp:127.0.0.1:9000`. */
  readonly listen?: string | undefined;
  /** The engine to register with, by its address such as `tcp:127.0.0.1:8080` or its name, instead of listening. */
  readonly engine?: string | undefined;
  /** With an engine: what this process is called among the service's workers, instead of `calc/1`, `calc/2` and so on. */
  readonly name?: string | undefined;
  /**
   * With an engine that keeps its state (`procall serve --state`): what it recognises this service by. When either comes back over a Unix
   * socket, the service serves again as soon as it is connected, and no other process can take its place while it is there. Without it,
   * `PROCALL_IDENTITY` says it, followed by a slash and the service's name.
   */
  readonly identity?: string | undefined;
  /**
   * The PEM file with the certificate to show over TLS: to clients at an address such as `tls:0.0.0.0:8443`, or to an engine that wants one.
   * Without it, `PROCALL_TLS_CERT` names one.
   */
  readonly cert?: string | undefined;
  /** The PEM file with the key that belongs to it, which nobody else may be able to read. Without it, `PROCALL_TLS_KEY` names one. */
  readonly key?: string | undefined;
  /** The PEM file with the authorities of which one must have signed what clients show. Without it, `PROCALL_TLS_CLIENT_CA` names one. */
  readonly clientCa?: string | undefined;
  /** The PEM file with the authorities that are trusted for an engine, instead of those of this machine. Without it, `PROCALL_TLS_CA` names one. */
  readonly ca?: string | undefined;
  /**
   * Whether long messages travel compressed where the other side wants that too, which is for slow networks. Without it, `PROCALL_COMPRESSION`
   * says.
   */
  readonly compression?: boolean | undefined;
  /** Whether SIGTERM and SIGINT let calls in flight finish and end the service; true. */
  readonly signals?: boolean | undefined;
  /** Aborting it stops the service as SIGTERM does. */
  readonly signal?: AbortSignal | undefined;
  /** Told where the service listens; not called for a worker. */
  readonly onListening?: ((address: string) => void) | undefined;
  /** Told when an engine has taken the service for the first time; without it that is said on standard error. */
  readonly onRegistered?: ((engine: string) => void) | undefined;
}

/** A service that is being served. */
export interface Running {
  /** Where it listens; `undefined` for a worker, and with an engine. */
  readonly address: string | undefined;
  /** The engine that it is registered with. */
  readonly engine: string | undefined;
  /** Resolves when it is over. */
  readonly ended: Promise<void>;
  /** Takes no new calls, lets those in flight finish, and ends. */
  stop(): Promise<void>;
}

/** What a service tells others, and what it runs itself. */
interface Offer {
  readonly methods: readonly Method[];
  readonly names: readonly string[];
  readonly description: Buffer;
}

/**
 * A named set of methods: what {@link service} gives, or a class of one's own, whose public methods are offered.
 *
 * ```ts
 * class Calc extends Service {
 *   constructor() {
 *     super("calc");
 *   }
 *   add(a: number, b: number) {
 *     return a + b;
 *   }
 * }
 * await new Calc().run();
 * ```
 */
export class Service<M = OwnMethods> {
  /** The type of the methods, for `connect<typeof calc>("calc")`; there is no such member when it runs. */
  declare readonly [METHODS]?: M;
  readonly name: string;
  readonly #options: ServiceOptions;
  #offered: Offer | undefined;

  constructor(name: string, options?: ServiceOptions);
  /** @internal */
  constructor(name: string, options: ServiceOptions, target: object);
  constructor(name: string, options: ServiceOptions = {}, target?: object) {
    if (typeof name !== "string" || name === "" || /[\s\p{Cc}]/u.test(name)) {
      throw new ProcallError("INVALID_ARGUMENT", `${JSON.stringify(name)} cannot name a service`);
    }
    this.name = name;
    this.#options = options;
    if (target !== undefined) this.#offered = offer(name, target, options);
  }

  /** The methods of a class are looked at when it is served: its fields are not there yet when this constructor runs. */
  #offer(): Offer {
    this.#offered ??= offer(this.name, this, this.#options);
    return this.#offered;
  }

  /**
   * Serves wherever the surroundings say, until told to stop.
   *
   * Started by a pool, it is that pool's worker. With an engine named, by the option or `PROCALL_ENGINE`, it registers there, and again whenever
   * the engine was away. With `PROCALL_LISTEN` it listens there. Otherwise it registers with the engine of the runtime directory if one runs,
   * else it listens under its name. `connect(name)` finds it in each of the last two cases. SIGTERM and SIGINT let calls in flight finish.
   *
   * Rejects with NO_WORKER when no engine is there within 5 s, with INVALID_ARGUMENT when the engine refuses what is registered, and with
   * NAME_TAKEN while another worker has the name.
   */
  async run(options: RunOptions = {}): Promise<void> {
    let running: Running | undefined;
    let stopping = false;
    let signalled = false;
    const stop = (): void => {
      stopping = true;
      void running?.stop();
    };
    const onSignal = (signal: NodeJS.Signals): void => {
      // Whoever asks twice does not want to wait.
      if (signalled) process.exit(signal === "SIGINT" ? 130 : 143);
      signalled = true;
      stop();
    };
    const signals: NodeJS.Signals[] = options.signals === false ? [] : ["SIGTERM"];
    // With that flag, which a pool sets that looks for workers that hang, SIGINT shows where the program is, unless somebody listens for it.
    const flags = [...process.execArgv, ...(process.env["NODE_OPTIONS"] ?? "").split(" ")];
    if (options.signals !== false && !flags.includes("--trace-sigint")) signals.push("SIGINT");
    // Before it is said that the service is there: whoever reads that may end it at once.
    for (const signal of signals) process.on(signal, onSignal);
    options.signal?.addEventListener("abort", stop, { once: true });
    try {
      running = await this.start(options);
      if (stopping || options.signal?.aborted === true) stop();
      await running.ended;
    } finally {
      for (const signal of signals) process.removeListener(signal, onSignal);
      options.signal?.removeEventListener("abort", stop);
    }
  }

  /** Begins to serve, and leaves signals to the program. */
  async start(options: RunOptions = {}): Promise<Running> {
    const loop = theLoop();
    const { methods, names, description } = this.#offer();
    if (options.listen === undefined) {
      const worker = calling(() => native.serveParent(description));
      if (worker !== null) {
        loop.soon();
        return running(new Served(methods, names, worker), {});
      }
    }
    const serve = (service: number): Served => new Served(methods, names, service);
    const placing = new Placing(description, options, serve);
    const served = await placing.served;
    const { address, engine } = placing.place;
    if (engine !== undefined) {
      if (options.onRegistered !== undefined) options.onRegistered(engine);
      else process.stderr.write(`procall: registered with ${engine}\n`);
    } else if (address !== undefined) {
      if (options.onListening !== undefined) options.onListening(address);
      else process.stderr.write(`procall: listening at ${address}\n`);
    }
    return running(served, placing.place);
  }
}

function offer(name: string, target: object, options: ServiceOptions): Offer {
  const methods = methodsOf(target, options.methods ?? {});
  const infos = methods.map((method) => infoOf(name, method));
  const description = encode({
    registration: {
      name,
      version: options.version,
      description: options.description,
      concurrency: options.concurrency ?? 1024,
      methods: infos,
    },
    parameters: methods.map(({ signature }) => ({ gathers: false, ...signature })),
  });
  return { methods, names: infos.map((info) => String(info["name"])), description };
}

function running(served: Served, { address, engine }: Omit<Placed, "service">): Running {
  return { address, engine, ended: served.over, stop: () => served.stop() };
}

/** A service that is to listen, which it does at once, or to register with an engine, which may take a while. */
class Placing implements Operation {
  readonly place: Placed;
  readonly served: Promise<Served>;
  private resolve!: (served: Served) => void;
  private reject!: (error: unknown) => void;

  constructor(
    description: Buffer,
    options: RunOptions,
    private readonly serve: (service: number) => Served,
  ) {
    const loop = theLoop();
    const id = loop.begin(this);
    try {
      const { listen, engine, name, identity, ca, cert, key, clientCa, compression } = options;
      const tls = { ca, cert, key, clientCa };
      this.place = calling(() => native.serveAt(id, description, listen, engine, name, identity, tls, compression));
    } catch (error) {
      loop.end(id);
      throw error;
    }
    this.served = new Promise((resolve, reject) => ([this.resolve, this.reject] = [resolve, reject]));
    if (this.place.service !== undefined) {
      loop.end(id);
      this.resolve(serve(this.place.service));
    } else {
      loop.soon();
    }
  }

  handle(kind: number, _flags: number, value: () => unknown, service: number): boolean {
    // Served from this moment on: the next event may be a call.
    if (kind === DONE) this.resolve(this.serve(service));
    else this.reject(errorOf(value()));
    return true;
  }
}

/** A service under the number that the native half gave it. */
class Served implements Serving {
  /** Resolves when it is over. */
  readonly over: Promise<void>;
  private settle!: (error: ProcallError | undefined) => void;

  constructor(
    private readonly methods: readonly Method[],
    private readonly names: readonly string[],
    private readonly number: number,
  ) {
    this.over = new Promise((resolve, reject) => {
      this.settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    theLoop().services[number] = this;
  }

  handle(call: IncomingCall): void {
    new Handling(this.methods[call.method]!, this.names[call.method]!, call).run(call);
  }

  ended(error: ProcallError | undefined): void {
    this.settle(error);
  }

  async stop(): Promise<void> {
    const loop = theLoop();
    loop.flush();
    native.drain(this.number);
    if (!native.isServing(this.number)) this.ended(undefined);
    loop.soon();
    const timer = setTimeout(() => {
      // Past the time the remaining calls end with their connections.
      native.stop(this.number);
      this.ended(undefined);
    }, DRAIN_MS);
    await this.over.finally(() => clearTimeout(timer));
  }
}

/**
 * A service of functions, or of the public methods of a class instance.
 *
 * ```ts
 * const calc = service("calc", { add: (a: number, b: number) => a + b });
 * export type Calc = typeof calc;      // elsewhere: connect<Calc>("calc")
 * await calc.run();
 * ```
 */
export function service<M extends object>(name: string, methods: M, options: ServiceOptions = {}): Service<M> {
  if (typeof methods !== "object" || methods === null) {
    throw new ProcallError("INVALID_ARGUMENT", `the methods of a service are functions of an object, or of a class instance, not ${typeof methods}`);
  }
  return new Service<M>(name, options, methods);
}
