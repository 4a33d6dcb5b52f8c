// The worker of the pool tests.
import { appendFileSync, readFileSync } from "node:fs";

import { context, method, service } from "procall";

if (process.env.FAIL !== undefined) {
  console.error("the model is missing");
  process.exit(3);
}

const held = [];
const notes = [];

/** Enters this process in a ledger; the first one that does so is killed then, in the middle of its call. */
function enter(ledger) {
  appendFileSync(ledger, `${process.pid}\n`);
  const entries = readFileSync(ledger, "utf8").trim().split("\n").length;
  if (entries === 1) process.kill(process.pid, "SIGKILL");
  return entries;
}

async function waitsForCancel() {
  const { signal } = context();
  console.log("waiting");
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  console.log("cancelled");
}

await service("calc", {
  add: (a, b) => a + b,
  echo: (value) => value,
  charge: enter,
  settle: method({ idempotent: true }, enter),
  pid: () => process.pid,
  surroundings: () => ({ args: process.argv.slice(2), cwd: process.cwd(), word: process.env.WORD ?? null }),
  print(text) {
    console.log(text);
    console.error(`err ${text}`);
  },
  /** Keeps the loop for so many milliseconds. */
  blocks(ms) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    return process.pid;
  },
  /** Keeps the loop until somebody writes to the pipe. */
  blocksUntil(path) {
    console.log("blocking");
    readFileSync(path);
    return process.pid;
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
  /** Ends this process in the way that is named. */
  ends(how) {
    console.error(`about to ${how}`);
    if (how === "segv") process.kill(process.pid, "SIGSEGV");
    if (how === "abort") process.abort();
    if (how === "exit") process.exit(3);
    if (how === "reject") void Promise.reject(new Error("nobody looks at this"));
    if (how === "throw") setImmediate(() => { throw new Error("nobody catches this"); });
    return new Promise(() => {});
  },
  /** Answers once it is released, by a notification. */
  held() {
    console.log("held");
    return new Promise((resolve) => held.push(() => resolve(process.pid)));
  },
  release() {
    for (const resolve of held.splice(0)) resolve();
  },
  note(n) {
    notes.push(n);
  },
  notes: () => notes,
  left: () => context().deadlineMs,
  async *count(n) {
    for (let at = 0; at < n; at++) yield at;
  },
  waitsForCancel,
  waitsUnless: (not) => (not ? null : waitsForCancel()),
  async failsAt(n) {
    if (n === 2) throw new RangeError("number 2");
    return n < 2 ? n : waitsForCancel();
  },
}).run();
