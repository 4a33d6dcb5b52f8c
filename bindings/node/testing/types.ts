// What users of the types rely on: this file is compiled, never run.
import {
  type Answer, type CallOptions, type Client, connect, context, type ErrorCode, type Health, type Latency, type Metrics, Pool, type PoolEvent,
  method, offload, type PoolOptions, type PoolStats, ProcallError, Service, service, type Stream, type WorkerInfo,
} from "procall";
import * as z from "zod";

/** Compiles when the two are the same type. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(..._same: Same<A, B> extends true ? [] : [never]): void {}

interface Calc {
  add(a: number, b: number): number;
  later(text: string): Promise<Uint8Array>;
}

export async function typed(): Promise<void> {
  const calc: Client<Calc> = await connect<Calc>("calc", { timeoutMs: 100 });
  const sum: number = await calc.add(1, 2);
  const bytes: Uint8Array = await calc.later("x");
  // @ts-expect-error: an argument of a wrong type
  await calc.add("1", 2);
  // @ts-expect-error: there is no such method
  await calc.sub(1, 2);
  const named: string = await calc.call<string>("add", { a: 1, b: 2 }, { deadlineMs: 80, signal: new AbortController().signal, idempotent: true });
  for await (const n of calc.stream<number>("count", [5], { deadlineMs: null })) n.toFixed();
  await calc[Symbol.asyncDispose]();
  void [sum, bytes, named];
}

export async function dynamic(): Promise<void> {
  const calc = await connect("calc");
  await calc.anything.at.all(1, "2");
  // @ts-expect-error: misspelt option
  await calc.call("add", [1, 2], { deadline: 80 });
  const { methods } = await calc.methods();
  methods.map(({ name, shape }) => `${name} ${shape}`);
}

export async function pools(): Promise<void> {
  await using pool = await Pool.spawn<{ calc: Calc }>("calc.py", { workers: 4, onEvent: ({ what }) => what === "ready" });
  const sum: number = await pool.calc.add(1, 2);
  for (const { pid, state } of pool.workers()) void [pid, state];
  for await (const event of pool.events()) event.text.trim();
  void sum;
}

export async function routes(): Promise<void> {
  const options: PoolOptions = { workers: { min: 1, max: 8 }, idleTimeoutMs: 1000, dispatch: "least_loaded", maxCalls: 10_000, maxMemory: "2GiB" };
  const pool = await Pool.spawn<{ calc: Calc }>("calc.py", options);
  // @ts-expect-error: an elastic pool has both bounds
  await Pool.spawn("calc.py", { workers: { min: 1 } });
  // @ts-expect-error: there is no such policy
  await Pool.spawn("calc.py", { dispatch: "random", maxMemory: 2 << 30 });
  const how: CallOptions = { key: "user-7", to: "calc/2", onTimeout: "restart", deadlineMs: 80 };
  const sum: number = await pool.call<number>("add", [1, 2], how);
  // @ts-expect-error: a misspelt choice
  await pool.call("add", [1, 2], { onTimeout: "kill" });
  pool.notify("log", ["hello"], { to: "calc/2", meta: { a: 1 } });

  const answers: Answer<number>[] = await pool.broadcast<number>("reload", ["model.bin"], { deadlineMs: 1000 });
  for (const answer of answers) {
    if (answer.error === undefined) answer.value.toFixed();
    else answer.error.code.trim();
    // @ts-expect-error: it may be an error instead
    answer.value.toFixed();
    if ("error" in answer) answer.worker.trim();
  }
  // @ts-expect-error: a broadcast is to all of them
  await pool.broadcast("reload", [], { to: "calc/2" });
  void sum;
}

export function figures(pool: Pool, client: Client<Calc>, event: PoolEvent): unknown[] {
  const { metrics, health, workers }: PoolStats = pool.stats();
  const same: [Metrics, Metrics, Health, WorkerInfo[]] = [pool.metrics(), client.metrics(), pool.health(), pool.workers()];
  const latency: Latency = metrics.latency;
  const beat: number | null = metrics.heartbeatRoundTripMs;
  const uptime: number | undefined = workers[0]?.uptimeMs;
  const problem: string | undefined = health.problems[0];
  return [same, latency.p99Ms, beat, uptime, problem, event.what === "replacing"];
}

export async function services(): Promise<void> {
  class Calculator {
    add(a: number, b: number): number {
      context().progress(1, 2, "half");
      const pid: number = context().caller.pid;
      context().progress(pid);
      return a + b;
    }
  }
  const running = await service("calc", new Calculator(), { methods: { add: { idempotent: true } } }).start({ listen: "tcp:127.0.0.1:0" });
  await running.stop();
  await service("calc", { add: (a: number, b: number) => a + b }).run();
}

export function errors(error: unknown): ErrorCode | undefined {
  if (!(error instanceof ProcallError)) return undefined;
  const executed: "no" | "maybe" | "yes" = error.executed;
  for (const { path, message } of error.fields) void [path.trim(), message.trim()];
  switch (error.code) {
    case "NOT_FOUND":
      same<typeof error.code, "NOT_FOUND">();
      return error.code;
    // @ts-expect-error: there is no such code
    case "NOT_FUOND":
      break;
  }
  void executed;
  return error.code;
}

const arithmetic = service("calc", {
  add: (a: number, b: number) => a + b,
  async later(text: string): Promise<Uint8Array> {
    return new TextEncoder().encode(text);
  },
  async *count(n: number) {
    for (let at = 0; at < n; at++) yield at;
  },
  *words(text: string) {
    yield* text.split(" ");
  },
  divide: method(
    { input: z.object({ a: z.number(), b: z.number().default(1) }), output: z.number(), idempotent: true },
    ({ a, b }) => a / b.valueOf(),
  ),
  power: method({ input: z.tuple([z.number(), z.number()]) }, async (base, exponent) => base ** exponent),
  plain: method({ input: { type: "object", properties: { a: { type: "number" } } } }, ({ a }) => Number(a)),
  repeat: method({ idempotent: true, errors: [RangeError] }, (text: string, times: number) => text.repeat(times)),
});

class Store extends Service {
  readonly #entries = new Map<string, number>();
  constructor() {
    super("store");
  }
  put(key: string, value: number): void {
    this.#entries.set(key, value);
  }
  get(key: string): number | null {
    return this.#entries.get(key) ?? null;
  }
  *keys() {
    yield* this.#entries.keys();
  }
}

export async function inferred(): Promise<void> {
  const calc = await connect<typeof arithmetic>("calc");
  const sum: number = await calc.add(1, 2);
  const bytes: Uint8Array = await calc.later("x");
  const quotient: number = await calc.divide({ a: 1 });
  const power: number = await calc.power(2, 3);
  const text: string = await calc.repeat("x", 3);
  const named: number = await calc.call("add", { a: 1, b: 2 }, { deadlineMs: 80 });
  const positional: number = await calc.call("add", [1, 2]);
  const free: string = await calc.call<string>("another.service", [1]);
  for await (const n of calc.stream.count(5)) n.toFixed();
  for await (const word of calc.stream.words("a b")) word.trim();
  for await (const n of calc.stream<number>("count", [5])) n.toFixed();
  // @ts-expect-error: an argument of a wrong type
  await calc.add("1", 2);
  // @ts-expect-error: a member that is missing
  await calc.divide({ b: 1 });
  // @ts-expect-error: there is no such method
  await calc.sub(1, 2);
  // @ts-expect-error: its answer is a stream, so it is `calc.stream.count`
  await calc.count(5);
  // @ts-expect-error: its answer is a value
  calc.stream.add(1, 2);
  // @ts-expect-error: the sum is no text
  const wrong: string = await calc.call("add", [1, 2]);
  // @ts-expect-error: an output that is none
  method({ output: z.number() }, () => "text");

  const store = await connect<Store>("store");
  await store.put("a", 1);
  const value: number | null = await store.get("a");
  for await (const key of store.stream.keys()) key.trim();
  // @ts-expect-error: a service is not run from afar
  store.run();

  const pool = await Pool.spawn("calc.mjs");
  const typed = pool.as<typeof arithmetic>();
  const same: number = await typed.add(1, 2);
  const both = await Pool.spawn<{ calc: typeof arithmetic; store: Store }>("all.mjs");
  const again: number = await both.calc.add(1, 2);
  for await (const n of both.stream.calc.count(5)) n.toFixed();
  const stored: number | null = await both.store.get("a");
  void [sum, bytes, quotient, power, text, named, positional, free, wrong, value, same, again, stored];
}

/** What an option of a call leaves is what it was: an inferred client. */
export async function options(controller: AbortController): Promise<void> {
  const calc = await connect<typeof arithmetic>("calc", { timeoutMs: 100, signal: controller.signal });
  same<Awaited<ReturnType<typeof calc.add>>, number>();
  const sum = await calc.call("add", [1, 2], { deadlineMs: 80, signal: controller.signal, progress: ({ done }) => done.toFixed() });
  same<typeof sum, number>();
  // Whoever passes options on need not leave out what is not given, whatever `exactOptionalPropertyTypes` says.
  const deadlineMs: number | undefined = controller.signal.aborted ? 80 : undefined;
  await calc.call("add", [1, 2], { deadlineMs, key: undefined });
  await Pool.spawn("calc.py", { workers: undefined, restart: { backoffMs: deadlineMs } });
  const items = calc.stream.words("a b");
  same<typeof items, Stream<string>>();
  for await (const item of items) same<typeof item, string>();
}

class NotAnImage extends Error {}

export async function many(pool: Pool): Promise<void> {
  const sizes: number[] = await pool.map<number>("size", ["a.png"], { progress: true, lookAhead: 4, deadlineMs: 80 }).toArray();
  for await (const size of pool.map<number>("size", new Set(["a.png"]), { progress: (done, total) => `${done} of ${total ?? "?"}` })) size.toFixed();
  const [outcome] = await pool.batch<number>([["add", [1, 2]], ["pid"]]);
  if (outcome?.error === undefined) outcome?.value.toFixed();
  await connect("images", { errors: [NotAnImage] });
  // @ts-expect-error: not a class of errors
  await connect("images", { errors: [Map] });

  const work = offload<{ hash(text: string): Promise<string>; rounds: number }>(new URL("file:///work.mjs"), { threads: 4 });
  const hash: string = await work.hash("x");
  // @ts-expect-error: not a function
  void work.rounds;
  await work.close();
  void [sizes, hash];
}
