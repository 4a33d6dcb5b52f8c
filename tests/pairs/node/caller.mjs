// The Node caller: every case against the worker named on the command line.
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { connect, Pool } from "procall";
import * as corpus from "./corpus.mjs";
import * as natives from "./natives.mjs";

// Behind an engine, the worker is a service that registered there; nobody starts it again.
const engine = process.argv[2] === "engine";
const pool = engine ? await connect("pairs", { timeoutMs: 60_000 }) : await Pool.spawn(process.argv[2], { workers: 1 });

async function fails(code, executed, promise) {
  const error = await promise.then(
    (value) => assert.fail(`it gave ${JSON.stringify(value)}`),
    (error) => error,
  );
  assert.equal(error.code, code, String(error));
  if (executed !== undefined) assert.equal(error.executed, executed);
  return error;
}

async function oneMoreCancel(before) {
  const patience = performance.now() + 10_000;
  for (;;) {
    const now = await pool.call("cancels");
    if (now === before + 1) return;
    assert.ok(now <= before + 1 && performance.now() < patience, `${now} cancels after ${before}`);
  }
}

const cases = {
  async unary() {
    assert.equal(await pool.call("add", [1, 2]), 3);
    assert.equal(await pool.pairs.add(40, 2), 42);
    assert.equal(await pool.call("add", { b: 40, a: 2 }), 42);
  },
  async "no arguments, no result"() {
    // A result that is null is a result.
    assert.equal(await pool.call("nothing"), null);
    assert.equal(await pool.call("nothing", []), null);
    assert.equal(await pool.call("nothing", {}), null);
    assert.equal(await pool.pairs.nothing(), null);
    assert.equal(await pool.call("echo", [null]), null);
    assert.equal(await pool.call("echo", { value: null }), null);
  },
  async "by position and by name"() {
    assert.equal(await pool.call("greet", ["Ada"]), "hello Ada");
    assert.equal(await pool.call("greet", ["Ada", "good day"]), "good day Ada");
    assert.equal(await pool.call("greet", { name: "Ada" }), "hello Ada");
    assert.equal(await pool.call("greet", { greeting: "good day", name: "Ada" }), "good day Ada");
    const missing = await fails("INVALID_ARGUMENT", "no", pool.call("greet", { greeting: "hey" }));
    assert.equal(missing.fields[0].path, "/name");
    const unknown = await fails("INVALID_ARGUMENT", "no", pool.call("greet", { name: "Ada", greting: "hey" }));
    assert.equal(unknown.fields[0].path, "/greting");
  },
  values: () => corpus.roundTrips(pool),
  "values, refused": () => corpus.refusals(pool),
  "values of this language": () => natives.roundTrips(pool),
  async error() {
    const error = await fails("HANDLER_ERROR", "yes", pool.call("fail", ["on purpose"]));
    assert.match(error.message, /on purpose/);
    assert.match(error.remoteType, /Failure$/);
    // Rust has no stack of an error; the others tell where it came from.
    const { language } = await pool.call("launched");
    assert.equal(error.remoteTrace?.includes("fail") ?? false, language !== "rust", error.remoteTrace);
  },
  async refusals() {
    const error = await fails("NOT_FOUND", "no", pool.call("ad", [1, 2]));
    assert.deepEqual([...error.candidates], ["pairs.add"]);
    await fails("INVALID_ARGUMENT", "no", pool.call("add", [1, 2, 3]));
    await fails("INVALID_ARGUMENT", "no", pool.call("add", [7, "seven"]));
  },
  async stream() {
    const items = [];
    for await (const n of pool.stream("count", [1000])) items.push(n);
    assert.deepEqual(items, Array.from({ length: 1000 }, (_, n) => n));
    for await (const n of pool.stream("count", [0])) assert.fail(`an item ${n}`);
  },
  async "stream in"() {
    const items = Array.from({ length: 500 }, (_, n) => n + 1);
    assert.equal(await pool.call("total", [], { items }), 125_250);
  },
  "streams both ways": () => corpus.bothWays(pool),
  async "stream left early"() {
    const before = await pool.call("cancels");
    let wanted = 0;
    for await (const n of pool.stream("endless")) {
      assert.equal(n, wanted);
      wanted += 1;
      if (wanted === 3) break;
    }
    await oneMoreCancel(before);
  },
  async cancel() {
    const before = await pool.call("cancels");
    const controller = new AbortController();
    const call = pool.call("sleep", [60_000], { signal: controller.signal });
    await pause(100);
    controller.abort();
    await fails("CANCELLED", undefined, call);
    await oneMoreCancel(before);
  },
  async deadline() {
    const start = performance.now();
    const error = await fails("DEADLINE_EXCEEDED", undefined, pool.call("sleep", [60_000], { deadlineMs: 100 }));
    assert.notEqual(error.executed, "no");
    const took = performance.now() - start;
    assert.ok(took >= 99 && took < 20_000, `it came after ${took} ms`);
    assert.equal(await pool.call("add", [1, 2]), 3);
  },
  async "worker death"() {
    const error = await fails("WORKER_LOST", "maybe", pool.call("die", [3]));
    if (engine) {
      await fails("NO_WORKER", "no", pool.call("add", [1, 2]));
      return;
    }
    assert.match(error.message, /exited with code 3/);
    assert.equal(await pool.call("add", [1, 2]), 3);
  },
};

for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    console.log("ok   ", name);
  } catch (reason) {
    process.exitCode = 1;
    console.log("FAIL ", `${name}: ${reason}`);
  }
}
if (engine) pool.close();
else await pool.stop();
