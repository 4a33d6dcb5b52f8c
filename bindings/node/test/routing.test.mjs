// Which worker gets a call: by policy, by key, by name, all of them; and workers that come and go.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Pool, ProcallError } from "procall";

import { next, spawn, spawnPatient, WORKER } from "../testing/pooling.mjs";
import { deferred } from "../testing/serving.mjs";

const calls = (pool) => pool.workers().map(({ calls }) => calls);
const failure = (promise) => promise.then((value) => assert.fail(`it answered ${value}`), (error) => error);

describe("pools send calls", { timeout: 120_000 }, () => {
  it("by the policy that they are given", async (t) => {
    const counts = { idle_first: [6, 0, 0], least_loaded: [2, 2, 2], round_robin: [2, 2, 2] };
    for (const [dispatch, wanted] of Object.entries(counts)) {
      const pool = await spawn(t, { workers: 3, dispatch });
      const pids = [];
      for (let n = 0; n < 6; n++) pids.push(await pool.calc.pid());
      assert.deepEqual(calls(pool), wanted, dispatch);
      if (dispatch === "round_robin") assert.deepEqual(pids.slice(0, 3), pids.slice(3));
      await pool.stop();
    }
  });

  it("with the same key to the same worker, and tell its loss once", async (t) => {
    const pool = await spawnPatient(t, { workers: 2 });
    const events = pool.events();
    const pid = (key) => pool.call("pid", [], { key });
    const homes = new Map();
    for (let n = 0; n < 16; n++) homes.set(`${n}`, await pid(`${n}`));
    for (const [key, home] of homes) assert.equal(await pid(key), home);
    assert.equal(new Set(homes.values()).size, 2, "16 keys and 2 workers");
    const home = homes.get("0");
    process.kill(home, "SIGKILL");
    await next(events, "exited");
    await next(events, "ready");
    const error = await failure(pid("0"));
    assert.ok(error instanceof ProcallError);
    assert.deepEqual([error.code, error.executed], ["WORKER_LOST", "no"]);
    assert.match(error.message, /was killed by SIGKILL/);
    const then = await pid("0");
    assert.notEqual(then, home);
    for (let n = 0; n < 5; n++) assert.equal(await pid("0"), then, "pinned again");
    // Keys of the other worker are none the worse.
    const [other, its] = [...homes].find(([, at]) => at !== home);
    assert.equal(await pid(other), its);
    // Keys count for streams too.
    const items = [];
    for await (const n of pool.stream("count", [3], { key: other })) items.push(n);
    assert.deepEqual(items, [0, 1, 2]);
  });

  it("with a key in the order of sending, past idle workers", async (t) => {
    const pool = await spawn(t, { workers: 2, concurrency: 1 });
    const home = await pool.call("pid", [], { key: "k" });
    const { name } = pool.workers().find(({ pid }) => pid === home);
    const busy = pool.call("held", [], { key: "k" });
    const waiting = Array.from({ length: 5 }, (_, n) => pool.call("note", [n], { key: "k" }));
    assert.equal(pool.metrics().queueDepth, 5);
    assert.notEqual(await pool.calc.pid(), home, "others pass them by");
    pool.notify("release", [], { to: name });
    assert.equal(await busy, home);
    await Promise.all(waiting);
    assert.deepEqual(await pool.call("notes", [], { key: "k" }), [0, 1, 2, 3, 4]);
  });

  it("to the worker that they name", async (t) => {
    const pool = await spawn(t, { workers: 3, name: "calc" });
    for (const at of [2, 0, 1]) {
      const { name, pid } = pool.workers()[at];
      assert.equal(await pool.call("pid", [], { to: name }), pid);
    }
    const error = await failure(pool.call("pid", [], { to: "calc/9" }));
    assert.deepEqual([error.code, error.executed], ["NOT_FOUND", "no"]);
    assert.match(error.message, /calc\/1, calc\/2, calc\/3/);
  });

  it("to all workers, and show which one has failed", async (t) => {
    const pool = await spawn(t, { workers: 3, restart: { maxRestarts: 0 } });
    const all = await pool.broadcast("pid");
    assert.deepEqual(all, pool.workers().map(({ name: worker, pid: value }) => ({ worker, value })));
    const events = pool.events();
    process.kill(pool.workers()[1].pid, "SIGKILL");
    await next(events, "failed");
    const [first, second, third] = await pool.broadcast("add", [20, 22]);
    assert.deepEqual([first, third], [{ worker: "worker/1", value: 42 }, { worker: "worker/3", value: 42 }]);
    assert.equal(second.worker, "worker/2");
    assert.deepEqual([second.error.code, second.error.executed, "value" in second], ["NO_WORKER", "no", false]);
    const refused = await pool.broadcast("throws", [], { deadlineMs: 20_000 });
    assert.deepEqual(refused.map(({ error }) => error.code), ["HANDLER_ERROR", "NO_WORKER", "HANDLER_ERROR"]);
    await pool.stop();
    for (const { error } of await pool.broadcast("pid")) assert.equal(error.code, "CLOSED");
  });

  it("no differently where there are no workers to choose from", async (t) => {
    const pool = await spawn(t);
    const value = await pool.call("add", [1, 2], { key: "k", to: "worker/1", onTimeout: "return", deadlineMs: 20_000, idempotent: true, meta: { a: 1 } });
    assert.equal(value, 3);
    assert.equal(await pool.call("add", [1, 2], { key: "", meta: {} }), 3);
    assert.equal(await pool.call("add", [1, 2], { key: "ключ 🔑".repeat(10_000) }), 3);
    for (const [options, message] of [
      [{ key: 7 }, /key is 7: give a text, such as "user-7"/],
      [{ key: "\ud800" }, /lone surrogate/],
      [{ to: null }, /to is null: give a text, such as "calc\/2"/],
      [{ onTimeout: "kill" }, /onTimeout is 'kill': give "return" or "restart"/],
    ]) {
      const error = await failure(pool.call("add", [1, 2], options));
      assert.deepEqual([error.code, error.executed], ["INVALID_ARGUMENT", "no"]);
      assert.match(error.message, message);
    }
    assert.throws(() => pool.notify("add", [1, 2], { to: 3 }), { code: "INVALID_ARGUMENT" });
  });
});

describe("a call that is given up", { timeout: 120_000 }, () => {
  it("by a signal costs no worker", async (t) => {
    const waiting = deferred();
    const pool = await spawn(t, { onOutput: ({ text }) => text === "waiting" && waiting.resolve() });
    const [{ pid }] = pool.workers();
    const controller = new AbortController();
    const call = pool.call("waitsForCancel", [], { signal: controller.signal });
    await waiting.promise;
    controller.abort();
    assert.equal((await failure(call)).code, "CANCELLED");
    assert.equal(await pool.calc.pid(), pid);
    const [worker] = pool.workers();
    assert.deepEqual([worker.pid, worker.restarts], [pid, 0]);
  });

  it("by its deadline keeps its slot until the worker is done, and others go elsewhere", async (t) => {
    const pool = await spawn(t, { workers: 2, concurrency: 1 });
    const [first, second] = pool.workers();
    const error = await failure(pool.call("held", [], { deadlineMs: 50, onTimeout: "return" }));
    assert.deepEqual([error.code, error.executed], ["DEADLINE_EXCEEDED", "maybe"]);
    assert.deepEqual(pool.workers().map(({ state, inFlight }) => [state, inFlight]), [["busy", 1], ["ready", 0]]);
    for (let n = 0; n < 5; n++) assert.equal(await pool.calc.pid(), second.pid);
    pool.notify("release", [], { to: first.name });
    assert.equal(await pool.call("pid", [], { to: first.name }), first.pid);
    assert.equal(pool.metrics().restarts, 0);
  });

  it("by its deadline costs the worker if the caller wants that", async (t) => {
    const pool = await spawn(t);
    const events = pool.events();
    const [{ pid }] = pool.workers();
    const error = await failure(pool.call("spin", [], { deadlineMs: 100, onTimeout: "restart" }));
    assert.deepEqual([error.code, error.executed], ["DEADLINE_EXCEEDED", "maybe"]);
    const told = await next(events, "replacing");
    assert.equal(told.reason, "it was busy with a call when its deadline passed");
    assert.equal(told.text, `worker/1 (pid ${pid}) is replaced: ${told.reason}`);
    assert.notEqual(await pool.calc.pid(), pid);
    assert.equal(pool.workers()[0].restarts, 1);
  });
});

describe("workers come and go", { timeout: 120_000 }, () => {
  it("with the load", async (t) => {
    const all = deferred();
    let held = 0;
    const onOutput = ({ text }) => text === "held" && ++held === 3 && all.resolve();
    const pool = await spawn(t, { workers: { min: 1, max: 3 }, idleTimeoutMs: 100, concurrency: 1, onOutput });
    assert.equal(pool.workers().length, 1, "it starts with the fewest");
    const events = pool.events();
    const busy = Array.from({ length: 3 }, () => pool.calc.held());
    for (const worker of ["worker/2", "worker/3"]) {
      // The news that the first one is ready may still be on its way.
      while ((await next(events, "ready")).worker !== worker);
    }
    await all.promise;
    for (const { name } of pool.workers()) pool.notify("release", [], { to: name });
    assert.equal(new Set(await Promise.all(busy)).size, 3, "all three were at work");
    for (let n = 0; n < 2; n++) await next(events, "stopped");
    assert.deepEqual(pool.workers().map(({ state }) => state), ["ready"]);
  });

  it("after so many calls, and none is lost", async (t) => {
    const pool = await spawn(t, { workers: 2, maxCalls: 10, finishTimeoutMs: 20_000 });
    const events = pool.events();
    const lane = async (from) => {
      for (let n = from; n < from + 30; n++) assert.equal(await pool.calc.add(n, 1), n + 1);
    };
    await Promise.all([0, 100, 200, 300].map(lane));
    assert.equal((await next(events, "replacing")).reason, "it has served 10 calls");
    // The one that is being replaced may still be on its way.
    await next(events, "ready");
    const workers = pool.workers();
    assert.ok(workers.reduce((sum, { restarts }) => sum + restarts, 0) >= 1);
    assert.equal(workers.reduce((sum, { calls }) => sum + calls, 0), 120);
    assert.deepEqual([pool.metrics().successfulRequests, pool.metrics().failedRequests], [120, 0]);
  });

  it("when they grow too large", async (t) => {
    const pool = await spawn(t, { maxMemory: "1MiB" });
    const events = pool.events();
    const [{ pid, memory, uptimeMs }] = pool.workers();
    assert.ok(memory > 1 << 20 && uptimeMs > 0);
    assert.match((await next(events, "replacing")).reason, /^it takes \d+ MiB of memory$/);
    assert.equal((await next(events, "exited")).pid, pid);
    assert.notEqual((await next(events, "ready")).pid, pid);
  });

  it("as options say, and wrong ones are named", async () => {
    for (const [options, message] of [
      [{ wrokers: 2 }, /no option wrokers; did you mean workers\?/],
      [{ colour: "red" }, /no option colour; there are args, .*workers$/],
      [{ workers: "4" }, /workers is "4": give a number of processes, or \{ min, max \}/],
      [{ workers: 0 }, /1 to 1024 workers, not 0/],
      [{ workers: { min: 2 } }, /no min or no max/],
      [{ workers: { min: 3, max: 2 } }, /not 3 to 2/],
      [{ workers: { min: 1, max: 2, idle: 3 } }, /no option workers\.idle; there are max, min/],
      [{ dispatch: "roundrobin" }, /dispatch: .*idle_first, least_loaded, round_robin; did you mean round_robin\?/],
      [{ maxCalls: 0 }, /maxCalls is 0: give a whole number from 1/],
      [{ maxMemory: "2 gigs" }, /maxMemory: .*such as 512MiB, 2GiB or 300MB/],
      [{ maxMemory: -1 }, /maxMemory is -1: give a number of bytes, or a text such as "2GiB"/],
      [{ idleTimeoutMs: "1m" }, /idleTimeoutMs is "1m": give a number of milliseconds/],
      [{ env: { PORT: 80 } }, /env\.PORT is 80: give a text/],
      [{ args: ["a", 1] }, /args is \["a", 1\]: give an array of texts/],
      [{ restart: { backoff: 1 } }, /no option restart\.backoff; did you mean restart\.backoffMs\?/],
      [{ onEvent: "ready" }, /onEvent is 'ready': give a function/],
      [4, /the options of a pool are an object, such as \{ workers: 4 \}, not 4/],
    ]) {
      const error = await failure(Pool.spawn(WORKER, options));
      assert.equal(error.code, "INVALID_ARGUMENT");
      assert.match(error.message, message);
    }
  });
});
