// Services that are registered with an engine, and callers that find them through it.
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";

import { connect, method, ProcallError, service } from "procall";

import { House } from "../testing/engines.mjs";
import { folder } from "../testing/serving.mjs";

const LANGUAGES = ["Node", "Python", "Python with async handlers"];
const PATIENCE = 60_000;
const failure = (promise) => promise.then((value) => assert.fail(`it answered ${value}`), (error) => error);

class SoldOut extends Error {}

async function enter(t, target = "shop", options = {}) {
  const client = await connect(target, options);
  t.after(() => client.close());
  return client;
}

/** Asks until the service is back. Every refusal must be one that a program can pass over. */
async function untilAnswered(client, method, params) {
  for (;;) {
    try {
      return await client.call(method, params, { wait: true, deadlineMs: PATIENCE });
    } catch (error) {
      assert.ok(["NO_WORKER", "NOT_FOUND"].includes(error.code) && error.executed === "no", String(error));
    }
  }
}

async function collected(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

for (const language of LANGUAGES) {
  describe(`a service with an engine (${language})`, { timeout: 120_000 }, () => {
    it("registers with the engine that runs and is found by its name", async (t) => {
      const house = await new House(t).start();
      await house.registered(language);
      const shop = await enter(t, "shop", { errors: [SoldOut] });
      assert.equal(await shop.add(1, 2), 3);
      assert.equal(await shop.shop.add(1, 2), 3);
      assert.deepEqual(await collected(shop.stream.count(200)), Array.from({ length: 200 }, (_, n) => n));
      const items = Array.from({ length: 100 }, (_, n) => n);
      assert.equal(await shop.call("total", [], { items }), 4950);
      const error = await failure(shop.order("lamp", 3));
      assert.ok(error instanceof SoldOut);
      assert.deepEqual([error.item, error.wanted], ["lamp", 3]);
      const { methods } = await shop.methods();
      assert.ok(methods.some(({ name }) => name === "shop.add"));
    });

    it("is back, as its callers are, when the engine was killed and is started again", async (t) => {
      const house = await new House(t).start();
      const service = await house.registered(language);
      const shop = await enter(t);
      const pid = await shop.pid();
      const flight = shop.brief();
      assert.equal(await service.line(), "brief");
      await Promise.all([failure(flight).then((error) => assert.equal(error.code, "CONNECTION_LOST")), house.engine.kill()]);
      service.child.stdin.write("\n");
      // It waits for the connection.
      const waiting = shop.call("procall.ping");
      await house.start();
      await waiting;
      assert.equal(await untilAnswered(shop, "shop.add", [20, 22]), 42);
      assert.equal(await shop.pid(), pid, "the service came back by itself");
      assert.deepEqual(await collected(shop.stream.count(3)), [0, 1, 2]);
    });

    it("ends its calls when it is killed, and is back when it is started again", async (t) => {
      const house = await new House(t).start();
      const service = await house.registered(language);
      const shop = await enter(t);
      const flight = failure(shop.hang());
      assert.equal(await service.line(), "hanging");
      await service.kill();
      const lost = await flight;
      assert.deepEqual([lost.code, lost.executed], ["WORKER_LOST", "maybe"]);
      const absent = await failure(shop.add(1, 2));
      assert.deepEqual([absent.code, absent.executed], ["NO_WORKER", "no"]);
      const waiting = shop.call("add", [1, 2], { wait: true, deadlineMs: PATIENCE });
      await house.registered(language);
      assert.equal(await waiting, 3);
    });

    it("lets calls in flight finish when it is told to end", async (t) => {
      const house = await new House(t).start();
      const shop = await (async () => {
        const service = await house.registered(language);
        const shop = await enter(t);
        const flight = shop.brief();
        assert.equal(await service.line(), "brief");
        service.child.kill("SIGTERM");
        service.child.stdin.write("\n");
        assert.equal(await flight, "finished");
        assert.equal(await service.line(), "done");
        assert.deepEqual(await service.gone, [0, null]);
        return shop;
      })();
      assert.equal((await failure(shop.add(1, 2))).code, "NO_WORKER");
    });
  });
}

describe("an engine", { timeout: 120_000 }, () => {
  it("can be named, and its address leads to all services", async (t) => {
    const house = await new House(t).start();
    await house.registered("Node", [], { PROCALL_ENGINE: house.address });
    const shop = await enter(t, "shop", { engine: house.address });
    assert.equal(await shop.add(1, 2), 3);
    const engine = await enter(t, house.address);
    assert.equal(await engine.call("shop.add", [1, 2]), 3);
    const rows = await engine.call("procall.engine.list");
    assert.ok(rows.some(({ name }) => name === "shop.add"));
  });

  it("has services of this process too, which stop and fail as they should", async (t) => {
    const house = await new House(t).start();
    const here = await service("here", { pid: () => process.pid }).start({ onRegistered: (engine) => assert.equal(engine, "engine") });
    assert.deepEqual([here.engine, here.address], ["engine", undefined]);
    const client = await enter(t, "here");
    assert.equal(await client.pid(), process.pid);
    await house.engine.kill();
    await house.start();
    assert.equal(await untilAnswered(client, "here.pid"), process.pid);
    await here.stop();
    await here.ended;
    await house.engine.kill();
    const error = await failure(service("late", { ping() {} }).start({ engine: house.address }));
    assert.deepEqual([error.code, error.executed], ["NO_WORKER", "no"]);
    assert.match(error.message, /procall serve/);
    assert.match((await failure(connect("shop", { engine: house.address, timeoutMs: 0 }))).message, /procall serve/);
  });

  it("tells why it refuses a registration, and who is no engine", async (t) => {
    const house = await new House(t).start();
    const odd = service("odd", { add: (a) => a }, { methods: { add: { result: { type: "no such type" } } } });
    const refused = await failure(odd.start({ engine: house.address }));
    assert.equal(refused.code, "INVALID_ARGUMENT");
    assert.deepEqual(refused.fields.map(({ path }) => path), ["/methods/0/result_schema"]);
    const listening = await service("plain", { ping() {} }).start({ listen: `unix:${join(folder(t), "plain.sock")}`, onListening() {} });
    const wrong = await failure(service("lost", { ping() {} }).start({ engine: listening.address }));
    assert.equal(wrong.code, "INVALID_ARGUMENT");
    assert.match(wrong.message, /no engine/);
    await listening.stop();
    const both = await failure(service("both", { ping() {} }).start({ engine: "here", listen: "there" }));
    assert.match(both.message, /give one of them/);
  });

  it("checks arguments as the services mean them", async (t) => {
    await new House(t).start();
    const object = { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } }, required: ["a"], additionalProperties: false };
    const methods = {
      gathered: method({ input: object }, ({ a, b = 0 }) => a + b),
      apart: method({ params: object }, (a, b = 0) => a + b),
      whole: (value) => value,
      rest: (...values) => values.length,
    };
    const here = await service("here", methods).start({ onRegistered() {} });
    t.after(() => here.stop());
    const client = await enter(t, "here");
    assert.deepEqual(await Promise.all([client.gathered({ a: 1, b: 2 }), client.call("gathered", { a: 1 })]), [3, 1]);
    assert.deepEqual(await Promise.all([client.apart(1, 2), client.apart(1), client.call("apart", { b: 2, a: 1 })]), [3, 1, 3]);
    assert.deepEqual(await Promise.all([client.whole([1]), client.call("whole", { value: 1 }), client.call("whole", { x: 1 })]), [[1], 1, { x: 1 }]);
    assert.equal(await client.rest(1, 2, 3), 3);
    for (const [call, path] of [[client.gathered({ a: "x" }), "/0"], [client.apart("x"), "/0"], [client.apart(1, 2, 3), "/2"]]) {
      const error = await failure(call);
      assert.deepEqual([error.code, error.executed, error.fields[0].path], ["INVALID_ARGUMENT", "no", path]);
    }
  });

  it("tells versions and workers of a service apart", async (t) => {
    const house = await new House(t).start();
    await house.registered("Node", ["1.0"]);
    const second = await house.registered("Python", ["2.0", "corner"]);
    const shop = await enter(t);
    for (let n = 0; n < 4; n++) {
      assert.equal(await shop.call("which", [], { version: "1.0" }), "1.0");
      assert.equal(await shop.call("which", [], { version: "2.0", wait: true }), "2.0");
      assert.equal(await shop.call("pid", [], { to: "corner" }), second.pid);
    }
    const error = await failure(shop.call("which", [], { version: "3.0" }));
    assert.ok(error instanceof ProcallError);
    assert.equal(error.executed, "no");
    assert.match((await failure(shop.call("which", [], { version: 2 }))).message, /version is 2: give a text/);
    assert.match((await failure(shop.call("which", [], { wait: 1 }))).message, /wait is 1: give true or false/);
    const other = house.shop("Node", ["1.0", "corner"]);
    await other.said("NAME_TAKEN");
    const [code] = await other.gone;
    assert.equal(code, 1);
  });
});
