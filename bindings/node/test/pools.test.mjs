// Pools: worker processes that are started, watched, restarted and never left behind.
import assert from "node:assert/strict";
import { realpathSync } from "node:fs";
import { describe, it } from "node:test";

import { Pool } from "procall";

import { gone, next, spawn, WORKER } from "../testing/pooling.mjs";
import { deferred, folder, program } from "../testing/serving.mjs";

describe("pools", { timeout: 60_000 }, () => {
  it("call their workers, as services and by name", async (t) => {
    const pool = await spawn(t, { workers: 2 });
    assert.ok(pool.call instanceof Function && pool.workers().length === 2);
    assert.equal(await pool.calc.add(1, 2), 3);
    assert.equal(await pool.call("add", { a: 3, b: 4 }), 7);
    const pids = await Promise.all(Array.from({ length: 20 }, () => pool.calc.pid()));
    assert.deepEqual(new Set(pids), new Set(pool.workers().map(({ pid }) => pid)));
    const all = [];
    for await (const n of pool.stream("count", [200])) all.push(n);
    assert.deepEqual(all, Array.from({ length: 200 }, (_, at) => at));
    const { name, methods } = await pool.methods();
    assert.equal(name, "calc");
    assert.ok(methods.some(({ name }) => name === "calc.add"));
    await assert.rejects(pool.calc.throws(), { code: "HANDLER_ERROR", remoteType: "TypeError", message: "from the worker" });
    await assert.rejects(pool.call("ad"), { code: "NOT_FOUND" });
    assert.ok((await pool.call("left", [], { deadlineMs: 700 })) <= 701);
  });

  it("give workers what they are told to", async (t) => {
    const cwd = folder(t);
    const pool = await spawn(t, { args: ["one two", "$HOME"], cwd, env: { WORD: "a b" }, name: "named" });
    assert.deepEqual(await pool.calc.surroundings(), { args: ["one two", "$HOME"], cwd: realpathSync(cwd), word: "a b" });
    assert.equal(pool.workers()[0].name, "named/1");
    const commanded = await Pool.command([process.execPath, WORKER, "x"], { workers: 1 });
    t.after(() => commanded.stop());
    assert.deepEqual((await commanded.calc.surroundings()).args, ["x"]);
    await assert.rejects(Pool.spawn(WORKER, { wrokers: 2 }), { code: "INVALID_ARGUMENT", message: /wrokers/ });
  });

  it("tell how a worker died, and replace it", async (t) => {
    const pool = await spawn(t, { restart: { backoffMs: 1 } });
    const events = pool.events();
    // The news that it is ready may still be on its way.
    const happened = next(events, "exited");
    const first = pool.workers()[0].pid;
    const calls = [pool.calc.hang(), pool.calc.hang()].map((call) => call.catch((error) => error));
    assert.equal(await pool.calc.add(1, 2), 3);
    process.kill(first, "SIGKILL");
    for (const error of await Promise.all(calls)) {
      assert.deepEqual([error.code, error.executed], ["WORKER_LOST", "maybe"]);
      assert.match(error.message, /SIGKILL/);
      assert.match(error.worker, new RegExp(`/1 \\(pid ${first}\\)`));
    }
    const exit = await happened;
    assert.equal(exit.pid, first);
    assert.match(exit.reason, /SIGKILL/);
    await next(events, "ready");
    assert.notEqual(await pool.calc.pid(), first);
    assert.equal(pool.workers()[0].restarts, 1);

    const error = await pool.calc.dies().catch((error) => error);
    assert.equal(error.code, "WORKER_LOST");
    assert.match(`${error.message} ${error.remoteTrace}`, /7[\s\S]*out of luck/);
  });

  it("restart workers on demand without losing a call", async (t) => {
    const pool = await spawn(t, { workers: 2, finishTimeoutMs: 5000 });
    const before = pool.workers().map(({ pid }) => pid);
    let running = true;
    let calls = 0;
    const load = (async () => {
      for (; running; calls++) assert.equal(await pool.calc.add(calls, 1), calls + 1);
    })();
    await pool.restart();
    running = false;
    await load;
    assert.ok(calls > 0);
    for (const { pid } of pool.workers()) assert.ok(!before.includes(pid));
    await assert.rejects(pool.restart(9), { code: "INVALID_ARGUMENT" });
  });

  it("hand on what workers print, and what happens to them", async (t) => {
    const lines = [];
    const both = deferred();
    const pool = await spawn(t, {
      onOutput(line) {
        lines.push([line.outlet, line.text, line.worker, line.method]);
        assert.equal(typeof line.call, "number");
        if (lines.length === 2) both.resolve();
      },
    });
    const events = pool.events();
    await pool.calc.print("hello");
    await both.promise;
    assert.deepEqual(lines.sort(), [["stderr", "err hello", "worker/1", "calc.print"], ["stdout", "hello", "worker/1", "calc.print"]]);
    await pool.stop();
    const seen = [];
    for await (const event of events) seen.push(event.what);
    assert.ok(seen.includes("stopped"), String(seen));
  });

  it("do not say whose a line is while several calls run", async (t) => {
    const lines = [];
    const third = deferred();
    const pool = await spawn(t, {
      onOutput({ text, method, call }) {
        lines.push([text, method, call !== undefined]);
        if (lines.length === 3) third.resolve();
      },
    });
    const first = pool.call("held");
    const second = pool.call("print", ["beside"]);
    await second;
    await third.promise;
    pool.notify("release");
    await first;
    assert.deepEqual(lines.map(([text]) => text).sort(), ["beside", "err beside", "held"]);
    // Those of the second call, which ran beside the first.
    for (const [text, method, known] of lines) if (text !== "held") assert.deepEqual([method, known], [undefined, false]);
  });

  it("show what workers print on standard error, unless told otherwise", async (t) => {
    for (const [args, shown] of [[["shown"], ["worker/1 | err hello", "worker/1 | hello"]], [["silent"], []], [["told"], []]]) {
      const { gone: ended, stderr } = await program(t, "printing.mjs", args, { env: { ...process.env, FORCE_COLOR: "" } });
      assert.deepEqual(await ended, [0, null]);
      assert.deepEqual(stderr().split("\n").filter((line) => line !== "").sort(), shown);
    }
    await assert.rejects(Pool.spawn(WORKER, { showOutput: "no" }), { code: "INVALID_ARGUMENT", message: /showOutput is "no": give true or false/ });
  });

  it("fail to start with the reason and the last words", async () => {
    const error = await Pool.spawn(WORKER, { workers: 1, env: { FAIL: "1" }, restart: { backoffMs: 1 } }).catch((error) => error);
    assert.equal(error.code, "SPAWN_FAILED");
    assert.match(`${error.message} ${error.remoteTrace}`, /the model is missing/);
    await assert.rejects(Pool.spawn("/nowhere/worker.mjs"), { code: "SPAWN_FAILED" });
  });

  it("take a call that waits for a worker back", async (t) => {
    const pool = await spawn(t, { concurrency: 1 });
    const busy = pool.calc.hang().catch((error) => error);
    const controller = new AbortController();
    const queued = pool.call("add", [1, 2], { signal: controller.signal });
    const late = pool.call("add", [1, 2], { deadlineMs: 50 });
    controller.abort();
    await assert.rejects(queued, { code: "CANCELLED", executed: "no" });
    await assert.rejects(late, { code: "DEADLINE_EXCEEDED", executed: "no" });
    await pool.stop();
    assert.equal((await busy).code === "WORKER_LOST" || (await busy).code === "CLOSED", true);
  });

  it("tell a worker that its call was cancelled", async (t) => {
    const [waiting, cancelled] = [deferred(), deferred()];
    const pool = await spawn(t, { onOutput: ({ text }) => (text === "waiting" ? waiting : cancelled).resolve(text) });
    const controller = new AbortController();
    const call = pool.call("waitsForCancel", [], { signal: controller.signal });
    await waiting.promise;
    controller.abort();
    await assert.rejects(call, { code: "CANCELLED" });
    assert.equal(await cancelled.promise, "cancelled");
  });

  it("take no calls once they are stopped, and leave nobody", async (t) => {
    const pool = await spawn(t, { workers: 2 });
    const pids = pool.workers().map(({ pid }) => pid);
    const running = pool.calc.hang().catch((error) => error);
    await pool.calc.add(1, 1);
    await pool[Symbol.asyncDispose]();
    assert.ok(["WORKER_LOST", "CLOSED"].includes((await running).code));
    for (const pid of pids) await gone(pid, 0);
    await assert.rejects(pool.calc.add(1, 2), { code: "CLOSED" });
    await pool.stop();

    const closed = await spawn(t);
    const [{ pid }] = closed.workers();
    closed.close();
    await assert.rejects(closed.calc.add(1, 2), { code: "CLOSED" });
    await gone(pid, 2000);
  });

  it("refuse calls while they drain", async (t) => {
    const pool = await spawn(t);
    await pool.drain();
    await assert.rejects(pool.calc.add(1, 2), { code: "UNAVAILABLE", executed: "no" });
  });

  it("are ended by Ctrl-C with their process, whether the workers hear it too or not", async (t) => {
    for (const group of [false, true]) {
      const { ready, child, gone: ended, stderr } = await program(t, "parent.mjs", ["signal"], { detached: true });
      process.kill(group ? -child.pid : child.pid, "SIGINT");
      assert.deepEqual(await ended, [null, "SIGINT"]);
      for (const pid of ready.pids) await gone(pid, 10_000);
      assert.equal(stderr(), "");
    }
  });

  const codes = { exit: 7, "exit-in-answer": 7, "exit-with-unsent-calls": 7, "exit-in-progress": 7, throw: 1, reject: 1 };
  for (const [way, code] of Object.entries(codes)) {
    it(`do not change how their process ends: ${way}`, async (t) => {
      const { ready, child, gone: ended, stderr } = await program(t, "leaving.mjs", [way]);
      child.send("end");
      assert.deepEqual(await ended, [code, null], stderr());
      for (const pid of ready.pids) await gone(pid, 10_000);
      // Of an error that nobody caught Node tells, and nobody else says anything.
      if (code === 7) assert.equal(stderr(), "");
      else assert.match(stderr(), /^file:.*leaving\.mjs:\d+\n[\s\S]*Error: nobody (catches|looks at) this\n(    at .*\n)*\nNode\.js v\S+\n$/);
    });
  }

  for (const way of ["idle", "exit", "calls", "spin"]) {
    const when = { idle: "comes to its end", exit: "exits", calls: "exits with calls in flight", spin: "is killed while a worker spins" };
    it(`leave nobody when their process ${when[way]}`, async (t) => {
      const { ready, child, gone: ended } = await program(t, "parent.mjs", [way]);
      assert.equal(ready.pids.length, 2);
      if (way === "spin") child.kill("SIGKILL");
      await ended;
      for (const pid of ready.pids) await gone(pid, 2000);
    });
  }
});
