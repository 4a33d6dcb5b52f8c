// Workers that go on although nobody waits: those that hang tell where, and ignored cancels cost the process where that is wanted.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { Pool } from "procall";

import { next } from "../testing/pooling.mjs";

const HANGING = fileURLToPath(new URL("../testing/programs/hanging.mjs", import.meta.url));

async function spawn(t, options) {
  const pool = await Pool.spawn(HANGING, { workers: 1, showOutput: false, stopTimeoutMs: 500, finishTimeoutMs: 100, ...options });
  const keep = setInterval(() => {}, 1000);
  t.after(() => {
    clearInterval(keep);
    return pool.stop();
  });
  return pool;
}

async function overrun(pool, method, params = []) {
  const error = await pool.call(method, params, { deadlineMs: 50 }).catch((error) => error);
  assert.equal(error.code, "DEADLINE_EXCEEDED");
}

describe("a worker that hangs", { timeout: 120_000 }, () => {
  for (const [method, doing] of [
    ["spin", "busy"],
    ["block", "blocked"],
  ]) {
    it(`because it is ${doing} is replaced, and tells where it was`, async (t) => {
      const pool = await spawn(t, { hangTimeoutMs: 500, env: { CONCURRENCY: "2" } });
      const events = pool.events();
      const [{ pid }] = pool.workers();
      await overrun(pool, method);
      const beside = await pool.call("pid").catch((error) => error);
      assert.deepEqual([beside.code, beside.executed], ["WORKER_LOST", "maybe"]);
      assert.match(beside.message, /^hanging\/1 was hung: no answer to pings for \d+\.\d s, its call is \d+\.\d s past its deadline/);
      assert.match(beside.message, new RegExp(`its process is ${doing}.*; last stack: .*at (Object\\.)?${method} \\(file:.*hanging\\.mjs`));
      const { reason } = await next(events, "replacing");
      assert.match(reason, /^it was hung: no answer to pings/);
      await next(events, "ready");
      const [worker] = pool.workers();
      assert.deepEqual([worker.restarts, worker.lastExit.slice(0, 9)], [1, "was hung:"]);
      assert.notEqual(await pool.call("pid"), pid);
    });
  }

  it("is not one whose loop answers", async (t) => {
    const pool = await spawn(t, { hangTimeoutMs: 3000 });
    const [{ pid }] = pool.workers();
    await overrun(pool, "pause", [4000]);
    assert.equal(await pool.call("pid"), pid);
  });
});

describe("a cancel that is ignored", { timeout: 120_000 }, () => {
  it("costs the process after the grace, if that is wanted", async (t) => {
    const pool = await spawn(t, { onCancel: "kill", cancelGraceMs: 300 });
    const events = pool.events();
    const [{ pid }] = pool.workers();
    const abort = new AbortController();
    const call = pool.call("pause", [600_000], { signal: abort.signal });
    const cancelled = assert.rejects(call);
    // The call before it has left, and that is answered by the same worker in turn.
    await pool.call("pid", [], { deadlineMs: 100 }).catch(() => {});
    abort.abort();
    await cancelled;
    const { reason } = await next(events, "replacing");
    assert.match(reason, /^it went on with a call for 0\.\d s after that was cancelled$/);
    assert.notEqual(await pool.call("pid"), pid);
    assert.match(pool.workers()[0].lastExit, /^went on with a call/);
  });

  it("is refused where other calls would be lost with it", async () => {
    const several = Pool.spawn(HANGING, { workers: 1, onCancel: "kill", concurrency: 2 });
    await assert.rejects(several, { code: "INVALID_ARGUMENT", message: /is for workers that take one call at a time/ });
    await assert.rejects(Pool.spawn(HANGING, { onCancel: "stop" }), { code: "INVALID_ARGUMENT", message: /onCancel: "stop".*abandon and kill/ });
    await assert.rejects(Pool.spawn(HANGING, { hangTimeoutMs: 0 }), { code: "INVALID_ARGUMENT" });
  });
});
