// What users of the types rely on: this file is compiled, never run.
import { type Client, connect, context, Pool, ProcallError, service, type ErrorCode } from "procall";

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

export async function services(): Promise<void> {
  class Calculator {
    add(a: number, b: number): number {
      context().progress(1, 2, "half");
      return a + b;
    }
  }
  const running = await service("calc", new Calculator(), { methods: { add: { idempotent: true } } }).start({ listen: "tcp:127.0.0.1:0" });
  await running.stop();
  await service("calc", { add: (a: number, b: number) => a + b }).run();
}

export function errors(error: unknown): ErrorCode | undefined {
  return error instanceof ProcallError ? error.code : undefined;
}
