// Calls with streams: out, in, and both ways.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { ProcallError } from "procall";

import { deferred, serve, server } from "../testing/serving.mjs";

async function collect(items) {
  const all = [];
  for await (const item of items) all.push(item);
  return all;
}

describe("streams", { timeout: 60_000 }, () => {
  it("come from generators of either kind, and from marked functions", async (t) => {
    const { client } = await serve(
      t,
      {
        async *count(n) {
          for (let at = 0; at < n; at++) yield at;
        },
        *plain(n) {
          for (let at = 0; at < n; at++) yield { at };
        },
        list: (n) => Array.from({ length: n }, (_, at) => at),
        promised: async () => new Set(["a", "b"]),
      },
      { methods: { list: { itemsOut: true }, promised: { itemsOut: true } } },
    );
    assert.deepEqual(await collect(client.stream("count", [3])), [0, 1, 2]);
    assert.deepEqual(await collect(client.stream("plain", { n: 2 })), [{ at: 0 }, { at: 1 }]);
    assert.deepEqual(await collect(client.stream("list", [2])), [0, 1]);
    assert.deepEqual(await collect(client.stream("promised")), ["a", "b"]);
    assert.deepEqual(await collect(client.stream("count", [0])), []);
    assert.deepEqual(await collect(client.stream("count", [5000])), Array.from({ length: 5000 }, (_, at) => at));
  });

  it("carry items of every size in order", async (t) => {
    const sizes = [0, 1, 1000, 16 << 10, 70_000, 300_000, 2_000_000, 3];
    const { client } = await serve(t, {
      *sized() {
        for (const size of sizes) yield new Uint8Array(size).fill(size % 251);
      },
    });
    const items = await collect(client.stream("sized"));
    assert.deepEqual(items.map((item) => item.length), sizes);
    for (const item of items) assert.ok(item.every((byte) => byte === item.length % 251));
  });

  it("end the generator when the reader leaves early", async (t) => {
    const ended = deferred();
    const { client } = await serve(t, {
      async *forever() {
        try {
          for (let n = 0; ; n++) yield n;
        } finally {
          ended.resolve();
        }
      },
    });
    const seen = [];
    for await (const n of client.stream("forever")) {
      seen.push(n);
      if (n === 2) break;
    }
    assert.deepEqual(seen, [0, 1, 2]);
    await ended.promise;
  });

  it("tell a handler that waits that nobody reads any more", async (t) => {
    const { client, child } = await server(t);
    const told = new Promise((resolve) => child.on("message", resolve));
    for await (const word of client.stream("untilCancelled")) {
      assert.equal(word, "started");
      break;
    }
    assert.equal(await told, "cancelled");
  });

  it("are slowed down by a slow reader", async (t) => {
    let made = 0;
    const { client } = await serve(t, {
      *numbers() {
        for (; made < 10_000; made++) yield made;
      },
      made: () => made,
    });
    const stream = client.stream("numbers");
    assert.deepEqual(await stream.next(), { value: 0, done: false });
    // Whatever can be sent without being read is sent by the time that later calls are answered.
    for (let call = 0; call < 50; call++) await client.made();
    const ahead = await client.made();
    assert.ok(ahead < 200, `${ahead} items were made for a reader of one`);
    await stream.return();
  });

  it("end with the error of the generator, after the items before it", async (t) => {
    const { client } = await serve(t, {
      *broken() {
        yield 1;
        yield 2;
        throw new TypeError("broken");
      },
      *unsendable() {
        yield 1;
        yield Symbol("x");
      },
      list: () => 7,
    }, { methods: { list: { itemsOut: true } } });
    const stream = client.stream("broken");
    assert.deepEqual([await stream.next(), await stream.next()], [{ value: 1, done: false }, { value: 2, done: false }]);
    await assert.rejects(stream.next(), { code: "HANDLER_ERROR", remoteType: "TypeError", message: "broken" });
    assert.deepEqual(await stream.next(), { value: undefined, done: true });
    await assert.rejects(collect(client.stream("unsendable")), { code: "INVALID_RESULT", executed: "yes" });
    await assert.rejects(collect(client.stream("list")), { code: "INVALID_RESULT" });
  });

  it("go to methods that take them", async (t) => {
    const { client } = await serve(
      t,
      {
        async sum(items, factor) {
          let sum = 0;
          for await (const item of items) sum += item * factor;
          return sum;
        },
        async first(items) {
          for await (const item of items) return item;
        },
        ignore: () => "done",
      },
      { methods: { sum: { itemsIn: true }, first: { itemsIn: true }, ignore: { itemsIn: true } } },
    );
    assert.equal(await client.call("sum", [2], { items: [1, 2, 3] }), 12);
    assert.equal(await client.call("sum", { factor: 1 }, { items: Array.from({ length: 5000 }, () => 1) }), 5000);
    assert.equal(await client.call("sum", [1], { items: [] }), 0);
    let given = 0;
    async function* endless() {
      for (;;) yield given++;
    }
    assert.equal(await client.call("first", [], { items: endless() }), 0);
    assert.ok(given < 1000);
    assert.equal(await client.call("ignore", [], { items: endless() }), "done");
  });

  it("of ours that break cancel the call", async (t) => {
    const [started, cut] = [deferred(), deferred()];
    const { client } = await serve(
      t,
      {
        async sum(items) {
          started.resolve();
          try {
            for await (const _ of items);
          } catch (error) {
            cut.resolve(error);
            throw error;
          }
        },
      },
      { methods: { sum: { itemsIn: true } } },
    );
    async function* broken() {
      yield 1;
      await started.promise;
      throw new RangeError("no more");
    }
    await assert.rejects(client.call("sum", [], { items: broken() }), RangeError);
    assert.ok((await cut.promise) instanceof ProcallError);
    await assert.rejects(client.call("sum", [], { items: [() => {}] }), { code: "INVALID_ARGUMENT" });
  });

  it("go both ways", async (t) => {
    const { client } = await serve(
      t,
      {
        async *double(items) {
          for await (const item of items) yield item * 2;
        },
      },
      { methods: { double: { itemsIn: true } } },
    );
    assert.deepEqual(await collect(client.stream("double", [], { items: [1, 2, 3] })), [2, 4, 6]);
    assert.deepEqual(await collect(client.stream("double", [], { items: [] })), []);
    const many = Array.from({ length: 3000 }, (_, at) => at);
    assert.deepEqual(await collect(client.stream("double", [], { items: many })), many.map((n) => n * 2));
    // Ping-pong: each item is sent when the answer to the one before is here.
    const turns = [deferred(), deferred(), deferred()];
    async function* pong() {
      for (let at = 0; at < 3; at++) {
        yield at;
        await turns[at].promise;
      }
    }
    const seen = [];
    for await (const item of client.stream("double", [], { items: pong() })) {
      turns[seen.length].resolve();
      seen.push(item);
    }
    assert.deepEqual(seen, [0, 2, 4]);
  });

  it("give items to several who ask at once", async (t) => {
    const { client } = await serve(t, { *three() { yield* [1, 2, 3]; } });
    const stream = client.stream("three");
    const results = await Promise.all([stream.next(), stream.next(), stream.next(), stream.next()]);
    assert.deepEqual(results.map(({ value }) => value), [1, 2, 3, undefined]);
  });
});
