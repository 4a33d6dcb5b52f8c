// The Node worker.
import { context, service } from "procall";

class Failure extends Error {}

let seen = 0;

const methods = {
  add: (a, b) => a + b,
  echo: (value) => value,
  nothing() {},
  greet: (name, greeting = "hello") => `${greeting} ${name}`,
  too_large: () => 2n ** 64n,
  /** How this process was started. */
  launched: () => ({
    language: "node",
    program: process.execPath,
    args: process.argv.slice(2),
    cwd: process.cwd(),
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("PAIRS_"))),
  }),
  async *mirror(items) {
    yield* items;
  },
  fail(message) {
    throw new Failure(message);
  },
  async *count(n) {
    for (let i = 0; i < n; i += 1) yield i;
  },
  *endless() {
    try {
      for (let i = 0; ; i += 1) yield i;
    } finally {
      seen += 1;
    }
  },
  async total(items) {
    let total = 0;
    for await (const item of items) total += item;
    return total;
  },
  sleep(ms) {
    const { signal } = context();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(ms), ms);
      signal.addEventListener("abort", () => {
        seen += 1;
        clearTimeout(timer);
        reject(signal.reason);
      });
    });
  },
  cancels: () => seen,
  die: (code) => process.exit(code),
};

const number = { type: "integer" };
const add = { type: "object", properties: { a: number, b: number }, required: ["a", "b"], additionalProperties: false };
await service("pairs", methods, { methods: { add: { params: add }, total: { itemsIn: true }, mirror: { itemsIn: true } } }).run();
