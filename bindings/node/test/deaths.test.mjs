// How workers die: each way is named exactly, costs the others nothing, and leaves nothing behind however often it happens.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { Pool } from "procall";

import { next, spawnPatient, WORKER } from "../testing/pooling.mjs";
import { deferred } from "../testing/serving.mjs";

/** How a worker ends, what is said of it, and what it says last. */
const WAYS = {
  segv: [/was killed by SIGSEGV/, /about to segv/],
  // Node prints where it was aborted, which is longer than what is kept.
  abort: [/was killed by SIGABRT/, /ends \(.*worker\.mjs/],
  exit: [/exited with code 3/, /about to exit/],
  reject: [/exited with code 1/, /about to reject[\s\S]*nobody looks at this/],
  throw: [/exited with code 1/, /about to throw[\s\S]*nobody catches this/],
};

/** Children of this process that have ended and were not collected. */
function zombies() {
  const stat = (pid) => {
    try {
      return readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\)/s, "").trim().split(" ");
    } catch {
      // It went while we looked.
      return [];
    }
  };
  return readdirSync("/proc").filter((name) => {
    const [state, parent] = /^\d+$/.test(name) ? stat(name) : [];
    return state === "Z" && Number(parent) === process.pid;
  });
}

const descriptors = () => readdirSync("/proc/self/fd").length;

describe("a worker that dies", { timeout: 300_000 }, () => {
  for (const [how, [said, words]] of Object.entries(WAYS)) {
    it(`by ${how} is named exactly, and its siblings are unharmed`, async (t) => {
      const holding = deferred();
      const pool = await spawnPatient(t, { workers: 2, onOutput: ({ text }) => text === "held" && holding.resolve() });
      const events = pool.events();
      const [{ pid }, sibling] = pool.workers();
      const neighbour = pool.call("held", [], { to: sibling.name });
      await holding.promise;
      const error = await pool.call("ends", [how], { to: "worker/1" }).catch((error) => error);
      assert.deepEqual([error.code, error.executed], ["WORKER_LOST", "maybe"]);
      assert.match(error.message, said);
      assert.match(error.remoteTrace, words);
      assert.equal(error.worker, `worker/1 (pid ${pid})`);
      assert.match((await next(events, "exited")).reason, said);
      await next(events, "ready");
      assert.match(pool.workers()[0].lastExit, said);
      pool.notify("release", [], { to: sibling.name });
      assert.equal(await neighbour, sibling.pid);
      assert.deepEqual(pool.workers().map(({ restarts }) => restarts), [1, 0]);
    });
  }

  it("before it is ready fails the pool, with its last words", async () => {
    const options = { workers: 2, env: { FAIL: "1" }, restart: { backoffMs: 1 } };
    const error = await Pool.spawn(WORKER, options).catch((error) => error);
    assert.deepEqual([error.code, error.executed], ["SPAWN_FAILED", "no"]);
    assert.match(error.message, /exited with code 3/);
    assert.match(`${error.message} ${error.remoteTrace}`, /the model is missing/);
  });

  it("a hundred times is replaced as often, and nothing is left of any", async (t) => {
    const pool = await spawnPatient(t, { workers: 2 });
    const events = pool.events();
    const cycle = async (name) => {
      const { pid } = pool.workers().find((worker) => worker.name === name);
      process.kill(pid, "SIGKILL");
      const exit = await next(events, "exited");
      assert.deepEqual([exit.worker, exit.pid, exit.reason], [name, pid, "was killed by SIGKILL"]);
      await next(events, "ready");
      assert.ok(!existsSync(`/proc/${pid}`), "it was collected");
      // None is deaf: the new one answers, and so does its neighbour.
      const answers = await pool.broadcast("pid", [], { deadlineMs: 20_000 });
      assert.deepEqual(answers, pool.workers().map(({ name: worker, pid: value }) => ({ worker, value })));
      assert.ok(answers.every(({ value }) => value !== pid));
    };
    // The first time may open what stays open.
    for (const { name } of pool.workers()) await cycle(name);
    const before = descriptors();
    for (let n = 0; n < 100; n++) await cycle(`worker/${1 + (n % 2)}`);
    assert.equal(descriptors(), before);
    assert.deepEqual(zombies(), []);
    assert.equal(pool.metrics().restarts, 102);
  });
});
