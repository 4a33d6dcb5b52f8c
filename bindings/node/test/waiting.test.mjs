// More calls than a connection takes at once: they wait for their turn.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { connect, context } from "procall";

import { deferred, serve, server } from "../testing/serving.mjs";

/** A service that holds calls until it is told, and a client with as many of them as the connection takes. */
async function full(t, methods = {}) {
  const held = [];
  const { client, address } = await serve(t, { hold: () => new Promise((resolve) => held.push(resolve)), add: (a, b) => a + b, ...methods });
  const other = await connect(address);
  t.after(() => other.close());
  const calls = Array.from({ length: 1024 }, () => client.call("hold", [], { deadlineMs: null }));
  // Answered once those before it are in flight: it comes by another connection, so it is asked until they are.
  while (held.length < 1024) await other.add(1, 2);
  return { client, held, calls, release: () => held.splice(0).forEach((resolve) => resolve("held")) };
}

describe("calls beyond what a connection takes", { timeout: 60_000 }, () => {
  it("are all answered, ten thousand at once", async (t) => {
    const { client } = await server(t);
    const sums = await Promise.all(Array.from({ length: 10_000 }, (_, at) => client.add(at, 1)));
    assert.deepEqual(sums, Array.from({ length: 10_000 }, (_, at) => at + 1));
    assert.equal(client.metrics().totalRequests, 10_000);
    assert.equal(client.metrics().successRate, 1);
  });

  it("begin in their order, with the arguments of the moment they were made", async (t) => {
    const order = [];
    const { client, release } = await full(t, { note: (n) => void order.push(n) });
    const argument = [0];
    const calls = Array.from({ length: 100 }, (_, at) => {
      argument[0] = at;
      return client.call("note", argument);
    });
    release();
    await Promise.all(calls);
    assert.deepEqual(order, Array.from({ length: 100 }, (_, at) => at));
  });

  it("are given up at their deadline and when their signal is aborted, and were not executed", async (t) => {
    const { client, release, calls } = await full(t, { never: () => assert.fail("it ran") });
    const controller = new AbortController();
    const aborted = client.call("never", [], { signal: controller.signal });
    const late = client.call("never", [], { deadlineMs: 10 });
    const stream = client.stream("never", [], { signal: controller.signal });
    const item = stream.next();
    item.catch(() => {});
    const reason = new Error("enough");
    controller.abort(reason);
    await assert.rejects(aborted, { code: "CANCELLED", executed: "no", cause: reason });
    await assert.rejects(item, { code: "CANCELLED", executed: "no", cause: reason });
    await assert.rejects(late, { code: "DEADLINE_EXCEEDED", executed: "no", message: /waited for its turn/ });
    release();
    await Promise.all(calls);
    assert.equal(await client.add(1, 2), 3);
  });

  it("have what is left of their time", async (t) => {
    const { client, release } = await full(t, { left: () => context().deadlineMs });
    const left = client.call("left", [], { deadlineMs: 50_000 });
    const pause = deferred();
    setTimeout(pause.resolve, 20);
    await pause.promise;
    release();
    const ms = await left;
    assert.ok(ms > 0 && ms <= 49_990, `${ms} ms are left`);
  });

  it("may be streams, and those that are left early never begin", async (t) => {
    const { client, release } = await full(t, {
      async *count(n) {
        for (let at = 0; at < n; at++) yield at;
      },
      never: () => assert.fail("it ran"),
    });
    const left = client.stream("never");
    const waiting = left.next();
    await left.return();
    assert.deepEqual(await waiting, { value: undefined, done: true });
    const counted = [];
    const counting = (async () => {
      for await (const n of client.stream.count(100)) counted.push(n);
    })();
    release();
    await counting;
    assert.equal(counted.length, 100);
  });

  it("are refused at once when they cannot be encoded", async (t) => {
    const { client, calls, release } = await full(t);
    await assert.rejects(client.add(() => 1), { code: "INVALID_ARGUMENT", executed: "no" });
    release();
    await Promise.all(calls);
  });

  it("end with CLOSED when the client is closed", async (t) => {
    const { client, calls } = await full(t);
    const waiting = Array.from({ length: 2000 }, () => client.add(1, 2));
    client.close();
    const outcomes = await Promise.allSettled([...calls, ...waiting]);
    assert.deepEqual(new Set(outcomes.map(({ reason }) => reason.code)), new Set(["CLOSED"]));
    assert.ok(outcomes.slice(1024).every(({ reason }) => reason.executed === "no"));
  });
});
