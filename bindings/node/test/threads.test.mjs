// Threads: the package in several of them at once, and work that is offloaded to them.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

import { connect, method, offload } from "procall";

import { NotAnImage } from "../testing/programs/work.mjs";
import { program, serve, server } from "../testing/serving.mjs";

const WORK = new URL("../testing/programs/work.mjs", import.meta.url);
const CLIENT = new URL("../testing/programs/client-thread.mjs", import.meta.url);
const descriptors = () => readdirSync("/proc/self/fd").length;

describe("the package in several threads", { timeout: 120_000 }, () => {
  for (const stays of [false, true]) {
    it(`has a loop in each, and leaves nothing behind ${stays ? "when they are terminated" : "when they end"}`, async (t) => {
      const { client, address } = await server(t);
      const run = async () => {
        const threads = Array.from({ length: 4 }, () => new Worker(CLIENT, { workerData: { address, calls: 200, stays } }));
        const exits = threads.map((thread) => once(thread, "exit"));
        await Promise.all(threads.map(async (thread) => assert.deepEqual(await once(thread, "message"), ["called"])));
        if (stays) await Promise.all(threads.map((thread) => thread.terminate()));
        assert.deepEqual((await Promise.all(exits)).flat(), stays ? [1, 1, 1, 1] : [0, 0, 0, 0]);
      };
      // The first time may open what stays open.
      await run();
      const before = descriptors();
      for (let n = 0; n < 3; n++) await run();
      assert.equal(descriptors(), before);
      assert.equal(await client.add(1, 2), 3);
    });
  }
});

describe("offloaded functions", { timeout: 60_000 }, () => {
  const offloaded = (t, options) => {
    const work = offload(WORK, options);
    t.after(() => work.close());
    return work;
  };

  it("run in threads, as many as were said, and leave the loop free", async (t) => {
    const work = offloaded(t, { threads: 2 });
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const held = [work.wait(flag), work.wait(flag)];
    const third = work.square(7);
    const { client } = await serve(t, { add: (a, b) => a + b });
    assert.equal(await client.add(1, 2), 3);
    Atomics.store(flag, 0, 1);
    // Whoever was not there yet sees the flag.
    Atomics.notify(flag, 0);
    const threads = await Promise.all(held);
    assert.notEqual(threads[0], threads[1]);
    assert.equal(await third, 49);
    assert.ok(threads.includes(await work.thread()));
  });

  it("fail with their error, also through a service", async (t) => {
    const work = offloaded(t, { threads: 1 });
    const error = await work.fail("a.txt").catch((error) => error);
    assert.deepEqual([error.name, error.message, error.path, error.fn], ["NotAnImage", "a.txt is not an image", "a.txt", undefined]);
    assert.match(error.stack, /work\.mjs/);
    assert.equal(await work.throwText().catch((error) => error), "a text");
    const { address } = await serve(t, { fail: method({ errors: [NotAnImage] }, (path) => work.fail(path)) });
    const client = await connect(address, { errors: [NotAnImage] });
    t.after(() => client.close());
    const known = await client.fail("b.txt").catch((error) => error);
    assert.ok(known instanceof NotAnImage);
    assert.equal(known.path, "b.txt");
  });

  it("take and give what can be cloned", async (t) => {
    const work = offloaded(t, { threads: 1 });
    await assert.rejects(work.square(() => 1), { code: "INVALID_ARGUMENT", executed: "no" });
    await assert.rejects(work.closure(), { name: "TypeError", message: /cannot leave its thread/ });
    await assert.rejects(work.nothing(), { name: "TypeError", message: /exports no function nothing/ });
    await assert.rejects(work.number(), { message: /exports no function number/ });
    assert.equal(await work.square(3), 9);
  });

  it("whose thread ends are told so, and the next call has another", async (t) => {
    const work = offloaded(t, { threads: 1 });
    const first = await work.thread();
    const [left, next] = [work.leave(3), work.thread()];
    await assert.rejects(left, { code: "WORKER_LOST", executed: "maybe", message: /ended with 3/ });
    assert.notEqual(await next, first);
    await assert.rejects(work.crash(), { code: "WORKER_LOST", message: /JSON/ });
    assert.equal(await work.square(4), 16);
  });

  it("end with their set", async () => {
    const work = offload(WORK, { threads: 1 });
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const calls = [work.wait(flag), work.square(1)].map((call) => call.catch(({ code }) => code));
    await work[Symbol.asyncDispose]();
    assert.deepEqual(await Promise.all(calls), ["CLOSED", "CLOSED"]);
    await assert.rejects(work.square(1), { code: "CLOSED" });
  });

  it("do not keep an idle process", async (t) => {
    const { gone, ready } = await program(t, "offloading.mjs");
    assert.equal(ready, 49);
    assert.deepEqual(await gone, [0, null]);
  });

  it("are of a module that is there", async () => {
    assert.throws(() => offload("./work.mjs"), { code: "INVALID_ARGUMENT", message: /import\.meta\.url/ });
    assert.throws(() => offload(WORK, { threads: 0 }), { code: "INVALID_ARGUMENT", message: /threads is 0/ });
    const missing = offload(fileURLToPath(new URL("none.mjs", WORK)), { threads: 1 });
    await assert.rejects(missing.anything(), { name: "Error", code: "ERR_MODULE_NOT_FOUND" });
    await missing.close();
  });
});
