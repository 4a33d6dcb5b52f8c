// The Node caller: every case against the worker named on the command line.
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { Pool } from "procall";

const pool = await Pool.spawn(process.argv[2], { workers: 1 });

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
  async values() {
    const odd = JSON.parse('{"__proto__": 1, "a.b": {"": null}}');
    for (const value of [null, true, 0, -1, 2n ** 53n + 1n, -(2n ** 63n), 2n ** 64n - 1n, 0.1, "naïve 🦀 \0", [1, [2, []], {}], odd, "x".repeat(300_000)]) {
      assert.deepEqual(await pool.call("echo", [value]), value);
    }
  },
  async error() {
    const error = await fails("HANDLER_ERROR", "yes", pool.call("fail", ["on purpose"]));
    assert.match(error.message, /on purpose/);
    assert.ok(error.remoteType);
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
await pool.stop();
