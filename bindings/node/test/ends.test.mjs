// How calls, connections and processes end: deadlines, cancellation, death.
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";

import { connect, context } from "procall";

import { deferred, folder, program, serve, server } from "../testing/serving.mjs";

describe("ends", { timeout: 60_000 }, () => {
  it("a deadline ends the call in time, and the handler hears of it", async (t) => {
    const told = deferred();
    const { client } = await serve(t, {
      async slow() {
        const { signal } = context();
        await once(signal, "abort");
        told.resolve(signal.reason);
      },
    });
    const start = performance.now();
    await assert.rejects(client.call("slow", [], { deadlineMs: 60 }), { code: "DEADLINE_EXCEEDED", retryable: false });
    const took = performance.now() - start;
    assert.ok(took >= 59, `${took} ms`);
    assert.equal((await told.promise).code, "DEADLINE_EXCEEDED");
    await assert.rejects(client.call("slow", [], { deadlineMs: 0 }), { code: "DEADLINE_EXCEEDED", executed: "no" });
  });

  it("a signal cancels the call, and the handler hears of it", async (t) => {
    const [started, told] = [deferred(), deferred()];
    const { client } = await serve(t, {
      async slow() {
        const { signal } = context();
        started.resolve();
        await once(signal, "abort");
        told.resolve();
        return "late";
      },
      echo: (n) => n,
    });
    const controller = new AbortController();
    const call = client.call("slow", [], { signal: controller.signal });
    await started.promise;
    controller.abort("changed my mind");
    const error = await call.catch((error) => error);
    assert.equal(error.code, "CANCELLED");
    assert.equal(error.cause, "changed my mind");
    await told.promise;

    const before = await client.call("echo", [1], { signal: controller.signal }).catch((error) => error);
    assert.deepEqual([before.code, before.executed, before.cause], ["CANCELLED", "no", "changed my mind"]);
    // Aborting later is no matter.
    const late = new AbortController();
    assert.equal(await client.call("echo", [2], { signal: late.signal }), 2);
    late.abort();
    assert.equal(await client.echo(3), 3);
  });

  it("a signal ends a stream", async (t) => {
    const { client } = await serve(t, {
      async *forever() {
        for (let n = 0; ; n++) yield n;
      },
    });
    const controller = new AbortController();
    let seen = 0;
    await assert.rejects(
      async () => {
        for await (const _ of client.stream("forever", [], { signal: controller.signal })) if (++seen === 10) controller.abort();
      },
      { code: "CANCELLED" },
    );
    assert.ok(seen >= 10 && seen < 300);
  });

  it("the death of the server ends its calls at once", async (t) => {
    const { client, child } = await server(t);
    const calls = [client.hang(), client.hang()].map((call) => call.catch((error) => error));
    const stream = client.stream("forever");
    await stream.next();
    child.kill("SIGKILL");
    for (const error of await Promise.all(calls)) assert.deepEqual([error.code, error.executed], ["CONNECTION_LOST", "maybe"]);
    await assert.rejects(
      async () => {
        for await (const _ of stream);
      },
      { code: "CONNECTION_LOST" },
    );
    await assert.rejects(client.add(1, 2), { code: "CONNECTION_LOST", executed: "no" });
  });

  it("the death of a client ends what it called", async (t) => {
    const [started, told] = [deferred(), deferred()];
    const { address, client } = await serve(t, {
      async slow() {
        const { signal } = context();
        started.resolve();
        await once(signal, "abort");
        told.resolve();
      },
      add: (a, b) => a + b,
    });
    const { child } = await program(t, "caller.mjs", [address, "slow"]);
    await started.promise;
    child.kill("SIGKILL");
    await told.promise;
    assert.equal(await client.add(1, 2), 3);
  });

  it("an idle client lets its process end", async (t) => {
    const { address } = await serve(t, { add: (a, b) => a + b });
    const { gone } = await program(t, "caller.mjs", [address, "add", "1", "2"]);
    const [code, signal] = await gone;
    assert.deepEqual([code, signal], [0, null]);
  });

  it("a call under way keeps its process", async (t) => {
    const release = deferred();
    const { address } = await serve(t, {
      wait: async () => {
        await release.promise;
        return 5;
      },
    });
    const { child, gone } = await program(t, "caller.mjs", [address, "wait"]);
    release.resolve();
    const [answer] = await once(child, "message");
    assert.deepEqual(answer, { result: 5 });
    assert.equal((await gone)[0], 0);
  });

  it("SIGTERM lets calls in flight finish, and the process ends with 0", async (t) => {
    const listen = `unix:${folder(t)}/draining.sock`;
    const { child, gone } = await program(t, "draining.mjs", [listen]);
    const client = await connect(listen);
    t.after(() => client.close());
    const call = client.slow();
    const started = await once(child, "message");
    assert.equal(started[0], "started");
    child.kill("SIGTERM");
    // Once it has heard the signal, new calls are refused.
    let refused;
    do refused = await client.echo(1).catch((error) => error);
    while (refused === 1);
    assert.deepEqual([refused.code, refused.executed], ["UNAVAILABLE", "no"]);
    child.send("finish");
    assert.equal(await call, "finished");
    assert.deepEqual(await gone, [0, null]);
  });

  it("a socket that a dead server left is replaced", async (t) => {
    const listen = `unix:${folder(t)}/again.sock`;
    const first = await program(t, "server.mjs", [listen]);
    first.child.kill("SIGKILL");
    await first.gone;
    const second = await program(t, "server.mjs", [listen]);
    const client = await connect(listen);
    t.after(() => client.close());
    assert.equal(await client.pid(), second.child.pid);
    const third = await program(t, "server.mjs", [listen]).catch((error) => error);
    assert.match(third.message, /NAME_TAKEN/);
  });

  it("a thread of its own has a loop of its own, and leaves nothing behind", async (t) => {
    const { address } = await serve(t, { add: (a, b) => a + b });
    const { Worker } = await import("node:worker_threads");
    const source = `
      const { connect } = require("procall");
      const { parentPort, workerData } = require("node:worker_threads");
      connect(workerData).then(async (client) => parentPort.postMessage(await client.add(20, 22)));
    `;
    for (const terminate of [false, true]) {
      const worker = new Worker(source, { eval: true, workerData: address });
      const exit = once(worker, "exit");
      assert.deepEqual(await once(worker, "message"), [42]);
      if (terminate) await worker.terminate();
      await exit;
    }
  });
});
