// Handlers and callers that go wrong.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";

import { connect, context, Pool } from "procall";

import { next, spawn, spawnPatient, WORKER } from "../testing/pooling.mjs";
import { deferred, folder, program, serve } from "../testing/serving.mjs";

describe("a handler", { timeout: 120_000 }, () => {
  it("that blocks its loop for long is not taken for dead", async (t) => {
    const pool = await spawn(t, { workers: 1 });
    const [{ pid }] = pool.workers();
    // Longer than three heartbeats in vain take, 5 s apart.
    assert.equal(await pool.call("blocks", [21_000], { deadlineMs: 60_000 }), pid);
    assert.equal(await pool.pid(), pid);
    assert.equal(pool.workers()[0].restarts, 0);
  });

  it("that blocks its loop has others wait or refused, as the pool is told", async (t) => {
    const path = join(folder(t), "fifo");
    execFileSync("mkfifo", [path]);
    const opened = deferred();
    const pool = await spawn(t, { workers: 1, concurrency: 1, queue: 1, onOutput: ({ text }) => text === "blocking" && opened.resolve() });
    const blocked = pool.call("blocksUntil", [path]);
    await opened.promise;
    const waiting = pool.call("add", [1, 2]);
    await assert.rejects(pool.call("add", [1, 2]), { code: "OVERLOADED", executed: "no" });
    writeFileSync(path, "go on");
    assert.equal(await blocked, pool.workers()[0].pid);
    assert.equal(await waiting, 3);
    assert.equal(pool.workers()[0].restarts, 0);
  });

  it("that is abandoned half-way runs its finally", async (t) => {
    const ended = deferred();
    const { client } = await serve(t, {
      async *forever() {
        try {
          for (let n = 0; ; n++) yield n;
        } finally {
          ended.resolve("finally");
        }
      },
    });
    for await (const n of client.stream.forever()) if (n === 40) break;
    assert.equal(await ended.promise, "finally");
  });

  it("whose finally throws or yields harms nobody", async (t) => {
    const ended = deferred();
    const { client } = await serve(t, {
      *stubborn() {
        try {
          for (;;) yield 1;
        } finally {
          ended.resolve();
          yield "more";
          throw new Error("from the finally");
        }
      },
      fine: () => 1,
    });
    for await (const _ of client.stream.stubborn()) break;
    await ended.promise;
    assert.equal(await client.fine(), 1);
  });

  it("that answers after its caller has gone harms nobody", async (t) => {
    const called = deferred();
    const answer = deferred();
    const { client, address } = await serve(t, {
      slow() {
        const { signal } = context();
        called.resolve(signal);
        return answer.promise;
      },
      fine: () => 1,
    });
    const leaving = await connect(address);
    const call = leaving.slow();
    const signal = await called.promise;
    const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
    leaving.close();
    await assert.rejects(call, { code: "CLOSED" });
    await aborted;
    answer.resolve("too late");
    assert.equal(await client.fine(), 1);
  });
});

describe("a caller", { timeout: 60_000 }, () => {
  it("whose signal is aborted before, does not call", async (t) => {
    const { client } = await serve(t, { never: () => assert.fail("it ran") });
    const signal = AbortSignal.abort(new Error("before"));
    await assert.rejects(client.call("never", [], { signal }), { code: "CANCELLED", executed: "no", cause: signal.reason });
    await assert.rejects(client.stream("never", [], { signal }).next(), { code: "CANCELLED", executed: "no", cause: signal.reason });
  });

  it("that has closed its client is told so, every way it calls", async (t) => {
    const { client } = await serve(t, { one: () => 1 });
    const pool = await Pool.spawn(WORKER, { workers: 1 });
    await pool.stop();
    client.close();
    client.close();
    for (const closed of [client, pool]) {
      await assert.rejects(closed.call("one"), { code: "CLOSED", executed: "no" });
      await assert.rejects(closed.stream("one").next(), { code: "CLOSED", executed: "no" });
      assert.doesNotThrow(() => closed.notify("one"));
    }
    await assert.rejects(client.methods(), { code: "CLOSED" });
    await assert.rejects(pool.map("one", [1]).toArray(), { code: "CLOSED" });
    await client[Symbol.asyncDispose]();
    await pool[Symbol.asyncDispose]();
  });

  it("disposes of clients, streams and pools", async (t) => {
    const ended = deferred();
    const { address } = await serve(t, {
      async *forever() {
        try {
          for (;;) yield 1;
        } finally {
          ended.resolve();
        }
      },
    });
    const client = await connect(address);
    const stream = client.stream.forever();
    await stream.next();
    await stream[Symbol.asyncDispose]();
    await ended.promise;
    await client[Symbol.asyncDispose]();
    await assert.rejects(client.forever(), { code: "CLOSED" });
    const pool = await Pool.spawn(WORKER, { workers: 1 });
    await pool[Symbol.asyncDispose]();
    assert.equal(pool.health().healthy, false);
  });

  it("with an idle client and an idle pool may end", async (t) => {
    const { gone } = await program(t, "idle.mjs");
    assert.deepEqual(await gone, [0, null]);
  });
});

describe("a worker", { timeout: 60_000 }, () => {
  it("that exits or fails in a handler is replaced, and the call says what is known", async (t) => {
    const pool = await spawnPatient(t);
    const events = pool.events();
    for (const how of ["exit", "reject"]) {
      const error = await pool.call("ends", [how]).then(assert.fail, (error) => error);
      assert.deepEqual([error.code, error.executed], ["WORKER_LOST", "maybe"]);
      await next(events, "ready");
      assert.equal(await pool.call("add", [1, 2]), 3);
    }
  });
});
