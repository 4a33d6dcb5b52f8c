// Calls with one value: arguments, results, errors.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { connect, context, ProcallError, TypedBuffer } from "procall";

import { deferred, serve, server } from "../testing/serving.mjs";

/** Checks that a promise rejects with a ProcallError that has these members. */
async function fails(promise, members) {
  const error = await promise.then(
    () => assert.fail("it should have failed"),
    (error) => error,
  );
  assert.ok(error instanceof ProcallError, String(error));
  for (const [name, value] of Object.entries(members)) {
    if (value instanceof RegExp) assert.match(String(error[name]), value);
    else assert.deepEqual(error[name], value, `${name} of ${error}`);
  }
  return error;
}

describe("calls", { timeout: 60_000 }, () => {
  for (const listen of [undefined, "tcp:127.0.0.1:0"]) {
    it(`reach functions of another loop over ${listen ?? "unix"}`, async (t) => {
      const { client } = await serve(t, { add: (a, b) => a + b, later: async (n) => n * 2 }, { listen });
      assert.equal(await client.add(1, 2), 3);
      assert.equal(await client.call("later", [21]), 42);
      assert.equal(await client.test.add("a", "b"), "ab");
      assert.equal(await client.call("test.add", [1.5, 2]), 3.5);
    });
  }

  it("reach another process", async (t) => {
    const { client, child } = await server(t);
    assert.equal(await client.pid(), child.pid);
  });

  it("bind by name, with defaults and a whole object", async (t) => {
    const { client } = await serve(t, {
      sub: (a, b = 1) => a - b,
      area: ({ width, height }) => width * height,
      point: (point) => point.x,
      sum: (first, ...rest) => rest.reduce((sum, n) => sum + n, first),
      middle: (a, b = "default", c = "c") => [a, b, c],
    });
    assert.equal(await client.call("sub", { b: 2, a: 5 }), 3);
    assert.equal(await client.call("sub", { a: 5 }), 4);
    assert.equal(await client.call("area", { width: 3, height: 4 }), 12);
    assert.equal(await client.area({ width: 3, height: 4 }), 12);
    assert.equal(await client.call("point", { x: 7, y: 8 }), 7);
    assert.equal(await client.call("point", { point: { x: 9 } }), 9);
    assert.equal(await client.sum(1, 2, 3, 4), 10);
    assert.deepEqual(await client.call("middle", { a: 1, c: 3 }), [1, "default", 3]);
    assert.deepEqual(await client.middle(1, undefined), [1, "default", "c"]);
  });

  it("are refused with the name of the argument that is wrong", async (t) => {
    const { client } = await serve(
      t,
      { add: (a, b) => a + b, checked: (...args) => args },
      { methods: { checked: { params: { type: "object", properties: { x: {}, y: {} }, required: ["x"] } } } },
    );
    await fails(client.add(1), { code: "INVALID_ARGUMENT", executed: "no", message: /argument b: missing/ });
    await fails(client.add(1, 2, 3), { code: "INVALID_ARGUMENT", message: /2 arguments expected, 3 given/ });
    const error = await fails(client.call("add", { a: 1, bb: 2 }), { code: "INVALID_ARGUMENT", candidates: ["b"] });
    assert.deepEqual(error.fields.map(({ path }) => path), ["/b", "/bb"]);
    await fails(client.checked(), { code: "INVALID_ARGUMENT", message: /argument x: missing/ });
    assert.deepEqual(await client.checked(1, 2), [1, 2]);
    await fails(client.call("add", 7), { code: "INVALID_ARGUMENT", message: /bare value/ });
  });

  it("of an unknown method suggest the ones that were meant", async (t) => {
    const { client } = await serve(t, { add: (a, b) => a + b });
    await fails(client.ad(1, 2), { code: "NOT_FOUND", executed: "no", candidates: ["test.add"], message: /did you mean test\.add/ });
  });

  it("bring the exception of the handler", async (t) => {
    const { client } = await serve(t, {
      boom() {
        throw Object.assign(new RangeError("out of range"), { details: { limit: 3 } });
      },
      async later() {
        throw new ProcallError("PERMISSION_DENIED", "not you", { retryAfterMs: 5 });
      },
      text() {
        throw "just text";
      },
    });
    async function caller() {
      await client.boom();
    }
    const error = await fails(caller(), {
      code: "HANDLER_ERROR",
      executed: "yes",
      remoteType: "RangeError",
      message: "out of range",
      remoteTrace: /calls\.test\.mjs/,
      details: { limit: 3 },
      retryable: false,
    });
    assert.match(error.stack, /at async caller/);
    await fails(client.later(), { code: "PERMISSION_DENIED", executed: "yes", message: "not you", retryAfterMs: 5 });
    await fails(client.text(), { code: "HANDLER_ERROR", message: "just text", remoteType: "string" });
  });

  it("end with an error when the result cannot be sent", async (t) => {
    const { client } = await serve(t, {
      date: () => ({ at: [new Date()] }),
      huge: () => new Uint8Array((256 << 20) + 1),
    });
    await fails(client.date(), { code: "INVALID_RESULT", executed: "yes", message: /class Date cannot be encoded at at\[0\]/ });
    await fails(client.huge(), { code: "RESULT_TOO_LARGE", executed: "yes" });
  });

  it("are not made with arguments that cannot be sent", async (t) => {
    const { client } = await serve(t, { echo: (value) => value });
    await fails(client.echo({ a: [() => {}] }), { code: "INVALID_ARGUMENT", executed: "no", message: /a function cannot be encoded at \[0\]\.a\[0\]/ });
    await fails(client.call("echo", [1], { deadlineMs: -1 }), { code: "INVALID_ARGUMENT" });
    await fails(client.call("x".repeat(256)), { code: "INVALID_ARGUMENT", message: /1 to 255 bytes/ });
    assert.equal(await client.echo(1), 1);
  });

  it("carry every value", async (t) => {
    const { client } = await serve(t, { echo: (value) => value, nothing() {} });
    const values = [
      null, true, 0, -0, 2 ** 53 - 1, 2n ** 64n - 1n, -(2n ** 63n), 0.1, NaN, -Infinity, "", "\0", "日本語 🎉", "\ufffd",
      [], {}, { "": 1, __proto: 2, then: 3 }, [[[]]], new Uint8Array([0, 255]), new Float32Array([1.5, -2]),
      new TypedBuffer("bfloat16", [1, 2], new Uint8Array(4)),
    ];
    for (const value of values) assert.deepEqual(await client.echo(value), value);
    assert.deepEqual(await client.echo(values), values);
    assert.equal(await client.nothing(), null);
    assert.equal(await client.echo(null), null);
  });

  it("carry long bodies, in chunks", async (t) => {
    const { client } = await serve(t, { length: (data) => data.length, make: (length) => new Uint8Array(length).fill(7) });
    const text = "x".repeat(271_828);
    assert.equal(await client.length(text), 271_828);
    for (const length of [0, 16 << 10, (16 << 10) + 1, 65_535, 65_536, 1 << 20, 5_000_000]) {
      const made = await client.make(length);
      assert.equal(made.length, length);
      assert.ok(made.every((byte) => byte === 7));
      assert.equal(await client.length(made), length);
    }
  });

  it("run a thousand at once", async (t) => {
    const { client } = await serve(t, { echo: (n) => n, later: (n) => new Promise((resolve) => setImmediate(resolve, n)) });
    const calls = Array.from({ length: 1000 }, (_, n) => (n % 2 === 0 ? client.echo(n) : client.later(n)));
    assert.deepEqual(await Promise.all(calls), Array.from({ length: 1000 }, (_, n) => n));
  });

  it("report progress", async (t) => {
    const seen = deferred();
    const { client } = await serve(t, {
      async train(epochs) {
        const ctx = context();
        ctx.progress(1, epochs, "first");
        await seen.promise;
        return "trained";
      },
    });
    const reports = [];
    const result = await client.call("train", [3], {
      progress(report) {
        reports.push(report);
        seen.resolve();
      },
    });
    assert.equal(result, "trained");
    assert.deepEqual(reports, [{ done: 1, total: 3, text: "first" }]);
  });

  it("are listed", async (t) => {
    const { client } = await serve(
      t,
      { add: (a, b) => a + b, *count(n) {} },
      { version: "1.2.3", description: "for tests", methods: { add: { idempotent: true, description: "adds", result: { type: "number" } } } },
    );
    const { name, version, methods } = await client.methods();
    assert.deepEqual([name, version], ["test", "1.2.3"]);
    assert.deepEqual(methods.map(({ name, shape, idempotent }) => [name, shape, idempotent]), [["test.add", "unary", true], ["test.count", "items_out", false]]);
    assert.deepEqual(methods[0].params_schema.required, ["a", "b"]);
    assert.deepEqual(methods[0].result_schema, { type: "number" });
  });

  it("with a stream are not answered as values, nor the other way round", async (t) => {
    const { client } = await serve(t, { add: (a, b) => a + b, *count(n) {} });
    await fails(client.count(1), { code: "INVALID_ARGUMENT", message: /test\.count returns a stream/ });
    await fails(client.stream("add", [1, 2]).next(), { code: "INVALID_ARGUMENT" });
  });

  it("that nobody answers arrive as notifications", async (t) => {
    const heard = deferred();
    const { client } = await serve(t, { log: (text) => heard.resolve(text) });
    client.notify("log", ["hello"]);
    assert.equal(await heard.promise, "hello");
    assert.throws(() => client.notify("log", [() => {}]), { code: "INVALID_ARGUMENT" });
  });

  it("fail where nobody listens", async (t) => {
    await fails(connect("unix:/nowhere/at.sock", { timeoutMs: 0 }), { code: "NO_WORKER", executed: "no" });
    await fails(connect("tcp:127.0.0.1:1", { timeoutMs: 0 }), { code: "NO_WORKER" });
    await fails(connect("ftp:x"), { code: "INVALID_ARGUMENT" });
    await fails(connect("unix:/x", { timeoutMs: -1 }), { code: "INVALID_ARGUMENT" });
  });

  it("on a closed client end with CLOSED", async (t) => {
    const { address } = await serve(t, { hang: () => new Promise(() => {}), one: () => 1 });
    const client = await connect(address);
    const hanging = client.hang();
    assert.equal(await client.one(), 1);
    await client[Symbol.asyncDispose]();
    await fails(hanging, { code: "CLOSED" });
    await fails(client.one(), { code: "CLOSED", executed: "no" });
  });

  it("made by a handler have no more time than it has", async (t) => {
    const { client, address } = await serve(t, {
      outer() {
        const ctx = context();
        return ctx.with(inner).left();
      },
      left: () => context().deadlineMs,
    });
    const inner = await connect(address);
    t.after(() => inner.close());
    assert.ok((await client.call("outer", [], { deadlineMs: 5000 })) <= 5001);
    assert.ok((await client.call("left", [], { deadlineMs: 90_000 })) > 80_000);
    assert.equal(await client.call("left", [], { deadlineMs: null }), null);
  });

  it("are told when the context is asked for too late", async (t) => {
    const { client } = await serve(t, {
      async late() {
        await null;
        return context().deadlineMs;
      },
    });
    await fails(client.late(), { code: "HANDLER_ERROR", message: /before the first `await`/ });
  });
});
