// The worker of the pool tests.
import { context, service } from "procall";

if (process.env.FAIL !== undefined) {
  console.error("the model is missing");
  process.exit(3);
}

await service("calc", {
  add: (a, b) => a + b,
  pid: () => process.pid,
  surroundings: () => ({ args: process.argv.slice(2), cwd: process.cwd(), word: process.env.WORD ?? null }),
  print(text) {
    console.log(text);
    console.error(`err ${text}`);
  },
  hang: () => new Promise(() => {}),
  spin() {
    console.log("spinning");
    for (;;);
  },
  throws() {
    throw new TypeError("from the worker");
  },
  dies() {
    console.error("out of luck");
    process.exit(7);
  },
  left: () => context().deadlineMs,
  async *count(n) {
    for (let at = 0; at < n; at++) yield at;
  },
  async waitsForCancel() {
    const { signal } = context();
    console.log("waiting");
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    console.log("cancelled");
  },
}).run();
