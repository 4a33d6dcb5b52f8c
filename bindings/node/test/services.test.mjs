// Services: what they offer, and where they run.
import assert from "node:assert/strict";
import { once } from "node:events";
import { EventEmitter } from "node:events";
import { createRequire } from "node:module";
import { createConnection } from "node:net";
import { describe, it } from "node:test";

import { connect, context, ProcallError, service, Service } from "procall";

import { deferred, folder, program, serve } from "../testing/serving.mjs";

describe("services", { timeout: 60_000 }, () => {
  it("tell their handlers the metadata of a call", async (t) => {
    const asked = [];
    const { client } = await serve(t, {
      early: () => context().meta,
      async late() {
        const ctx = context();
        await undefined;
        asked.push(ctx);
        return ctx.meta;
      },
    });
    const meta = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tenant: { id: 7 } };
    assert.deepEqual(await client.call("early", [], { meta }), meta);
    assert.deepEqual(await client.call("late", [], { meta }), meta);
    assert.deepEqual(asked[0].meta, meta);
    assert.deepEqual(await client.call("early"), {});
  });

  it("tell whoever connects what they serve, without being asked", async (t) => {
    const { address } = await serve(t, { async total(items) {} }, { methods: { total: { itemsIn: true } } });
    const link = createConnection(address.replace("unix:", ""));
    t.after(() => link.destroy());
    const hello = Buffer.concat([Buffer.from([0x94, 0x00, 0xa7]), Buffer.from("procall"), Buffer.from([1, 1, 0x80])]);
    link.write(Buffer.concat([Buffer.from([0, 0, 0, hello.length]), hello]));
    let heard = Buffer.alloc(0);
    for await (const part of link) {
      heard = Buffer.concat([heard, part]);
      if (heard.includes("items_in")) break;
    }
    assert.ok(heard.includes("test.total"));
  });

  it("offer the own public methods of a class instance", async (t) => {
    class Base {
      inherited() {}
    }
    class Calculator extends Base {
      #memory = 0;
      _hidden() {}
      run() {}
      stop() {}
      get memory() {
        throw new Error("a getter is no method");
      }
      add(a, b) {
        this.#memory = a + b;
        return this.#memory;
      }
      async recall() {
        return this.#memory;
      }
      *digits() {
        yield* String(this.#memory);
      }
      arrow = (n) => n + this.#memory;
    }
    const { client } = await serve(t, new Calculator());
    const { methods } = await client.methods();
    assert.deepEqual(methods.map(({ name }) => name).sort(), ["test.add", "test.arrow", "test.digits", "test.recall"]);
    assert.equal(await client.add(20, 22), 42);
    assert.equal(await client.recall(), 42);
    assert.equal(await client.arrow(1), 43);
  });

  it("know who calls", async (t) => {
    const told = deferred();
    const { client } = await serve(t, {
      whoami: () => context().caller,
      async later() {
        const ctx = context();
        await new Promise(setImmediate);
        return ctx.caller;
      },
      *stream() {
        yield context().caller;
      },
      note() {
        told.resolve(context().caller);
      },
    });
    const mine = await client.whoami();
    assert.equal(mine.pid, process.pid);
    assert.match(mine.runtime, /^node\/\d/);
    assert.equal(typeof mine.name, "string");
    assert.deepEqual(await client.later(), mine);
    assert.deepEqual((await client.stream("stream").next()).value, mine);
    client.notify("note");
    assert.deepEqual(await told.promise, mine);
  });

  it("do not let strangers emit", () => {
    class Bus extends EventEmitter {}
    assert.throws(() => service("bus", new Bus()), { code: "INVALID_ARGUMENT", message: /without methods/ });
  });

  it("are checked when they are made", () => {
    assert.throws(() => service("a b", { x() {} }), { code: "INVALID_ARGUMENT", message: /cannot name a service/ });
    assert.throws(() => service("a", { x() {} }, { methods: { y: {} } }), { code: "INVALID_ARGUMENT", message: /no method of that name/ });
    assert.throws(() => service("a", {}), { code: "INVALID_ARGUMENT" });
    assert.ok(service("a", { x() {} }) instanceof Service);
  });

  it("have methods of longer names", async (t) => {
    const { client } = await serve(t, { "math.deep.add": (a, b) => a + b, call: () => "called" });
    assert.equal(await client.math.deep.add(1, 2), 3);
    assert.equal(await client.call("test.call"), "called");
  });

  it("name the parameters of functions of every form", async (t) => {
    const { client } = await serve(t, {
      arrow: async (first, second = "a,b)", /* a comment, with a comma */ third) => [first, second, third],
      single: one => one,
      method(first, { second, third } = {}, [fourth] = [4]) {
        return [first, second, third, fourth];
      },
      ["computed"](value) {
        return value;
      },
      bound: function (a, b) {
        return [a, b];
      }.bind(null),
      builtin: Math.max,
    });
    assert.deepEqual(await client.call("arrow", { third: 3, first: 1 }), [1, "a,b)", 3]);
    assert.equal(await client.call("single", { one: 1 }), 1);
    assert.deepEqual(await client.method(1, { second: 2, third: 3 }), [1, 2, 3, 4]);
    assert.equal(await client.call("computed", { value: 5 }), 5);
    assert.deepEqual(await client.bound(1, 2), [1, 2]);
    assert.equal(await client.builtin(1, 2), 2);
  });

  it("listen under their name, and where the environment says", async (t) => {
    const env = { ...process.env, XDG_RUNTIME_DIR: folder(t) };
    const named = await program(t, "named.mjs", [], { env });
    assert.match(named.ready.address, /procall\/named\.sock$/);
    const told = await program(t, "named.mjs", [], { env: { ...env, PROCALL_LISTEN: "tcp:127.0.0.1:0" } });
    assert.match(told.ready.address, /^tcp:127\.0\.0\.1:\d+$/);
    for (const { ready, child } of [named, told]) {
      const client = await connect(ready.address);
      assert.equal(await client.pid(), child.pid);
      client.close();
    }
  });

  it("end when their signal says so", async (t) => {
    const controller = new AbortController();
    const listen = `unix:${folder(t)}/aborted.sock`;
    let listening;
    const ready = new Promise((resolve) => (listening = resolve));
    const running = service("x", { one: () => 1 }).run({ listen, signal: controller.signal, signals: false, onListening: listening });
    await ready;
    const client = await connect(listen);
    t.after(() => client.close());
    assert.equal(await client.one(), 1);
    controller.abort();
    await running;
    await assert.rejects(connect(listen, { timeoutMs: 0 }), { code: "NO_WORKER" });
  });

  it("warn of a notification's handler that fails", async (t) => {
    const { client } = await serve(t, {
      fail() {
        throw new Error("nobody is told");
      },
    });
    const warned = once(process, "warning");
    client.notify("fail");
    assert.match((await warned)[0].message, /nobody is told/);
  });

  it("are the same classes for import and require", () => {
    const required = createRequire(import.meta.url)("procall");
    assert.equal(required.ProcallError, ProcallError);
  });
});
