// Error classes that a service declares, and whatever else a handler may throw.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { connect, method, Pool, ProcallError, service } from "procall";

import { WORKER } from "../testing/pooling.mjs";
import { serve } from "../testing/serving.mjs";

class NotAnImage extends Error {
  constructor(path, size) {
    super(`${path} is not an image`);
    this.path = path;
    this.size = size;
  }
}
class Corrupt extends NotAnImage {}
class Named extends Error {
  name = "Named";
  details = [1, 2];
}

function odd(path) {
  const error = Object.assign(new NotAnImage(path, 1n), { callback() {}, born: new Date(), long: "x".repeat(1 << 20) });
  return Object.defineProperty(error, "bad", { enumerable: true, get: () => assert.fail("this cannot be read") });
}

const methods = {
  open: method({ errors: [NotAnImage, Named] }, async (path) => {
    if (path === "named") throw new Named("by its name");
    if (path === "odd") throw odd(path);
    throw path === "corrupt" ? new Corrupt(path, 2) : new NotAnImage(path, 1);
  }),
  items: method({ errors: [NotAnImage] }, async function* () {
    yield 1;
    throw new NotAnImage("stream", 3);
  }),
  undeclared() {
    throw new NotAnImage("x", 1);
  },
};

describe("own errors", { timeout: 60_000 }, () => {
  it("are told with the methods that declare them", async (t) => {
    const { client } = await serve(t, methods);
    const told = new Map((await client.methods()).methods.map(({ name, errors }) => [name, errors]));
    assert.deepEqual(told.get("test.open"), [{ name: "NotAnImage" }, { name: "Named" }]);
    assert.deepEqual(told.get("test.items"), [{ name: "NotAnImage" }]);
    assert.equal(told.get("test.undeclared"), undefined);
  });

  it("arrive as instances of the class where it is known", async (t) => {
    const { address } = await serve(t, methods);
    const client = await connect(address, { errors: [NotAnImage, Named] });
    t.after(() => client.close());
    const error = await client.open("a.txt").catch((error) => error);
    assert.ok(error instanceof NotAnImage && error instanceof Error);
    assert.deepEqual([error.name, error.message, { ...error }], ["NotAnImage", "a.txt is not an image", { path: "a.txt", size: 1 }]);
    assert.ok(error.cause instanceof ProcallError);
    assert.deepEqual([error.cause.code, error.cause.executed, error.cause.remoteType], ["HANDLER_ERROR", "yes", "NotAnImage"]);
    assert.match(error.cause.remoteTrace, /errors\.test\.mjs/);

    assert.ok((await client.open("corrupt").catch((error) => error)) instanceof NotAnImage);
    const named = await client.open("named").catch((error) => error);
    assert.ok(named instanceof Named);
    assert.deepEqual([named.name, named.message, named.details], ["Named", "by its name", [1, 2]]);
    const odd = await client.open("odd").catch((error) => error);
    assert.deepEqual({ ...odd }, { path: "odd", size: 1 });

    const items = client.stream.items();
    assert.equal((await items.next()).value, 1);
    await assert.rejects(items.next(), NotAnImage);
    assert.ok((await client.undeclared().catch((error) => error)) instanceof NotAnImage);
  });

  it("are ProcallErrors with the fields as details elsewhere", async (t) => {
    const { client } = await serve(t, methods);
    const error = await client.open("a.txt").catch((error) => error);
    assert.ok(error instanceof ProcallError && !(error instanceof NotAnImage));
    assert.deepEqual(
      [error.code, error.executed, error.remoteType, error.message, error.details],
      ["HANDLER_ERROR", "yes", "NotAnImage", "a.txt is not an image", { path: "a.txt", size: 1 }],
    );
    assert.equal((await client.undeclared().catch((error) => error)).details, undefined);
  });

  it("may be those of a pool's workers", async (t) => {
    class TypeMistake extends Error {}
    const pool = await Pool.spawn(WORKER, { workers: 1, errors: [TypeError, TypeMistake] });
    t.after(() => pool.stop());
    const error = await pool.throws().catch((error) => error);
    assert.ok(error instanceof TypeError);
    assert.equal(error.message, "from the worker");
    const [answer] = await pool.broadcast("throws");
    assert.equal(answer.error.code, "HANDLER_ERROR");
  });

  it("are classes", async () => {
    await assert.rejects(connect("nobody", { errors: ["NotAnImage"] }), { code: "INVALID_ARGUMENT", message: /classes that extend Error/ });
    assert.throws(() => service("x", { a: method({ errors: [class {}] }, () => 1) }), { code: "INVALID_ARGUMENT", message: /a: errors/ });
  });
});

describe("whatever a handler throws", { timeout: 60_000 }, () => {
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const things = {
    "a text": ["out of ink", "out of ink", "string"],
    null: [null, "null", "null"],
    undefined: [undefined, "undefined", "undefined"],
    "a number": [-0, "0", "number"],
    "a symbol": [Symbol("s"), "Symbol(s)", "symbol"],
    "an object": [{ a: 1 }, "[object Object]", "object"],
    "an object without a prototype": [Object.create(null), "something that cannot be shown", "object"],
    "a revoked proxy": [revoked.proxy, "something that cannot be shown", "object"],
    "an error with a getter that throws": [Object.defineProperty(new Error("x"), "message", { get() { throw new Error("y"); } }), "something that cannot be shown", "object"],
    "an error whose message is no text": [Object.assign(new Error("x"), { message: { a: 1 } }), "[object Object]", "Error"],
    "a lone surrogate": [new RangeError("a\ud800b"), "a\ufffdb", "RangeError"],
    "an error without a stack": [Object.assign(new TypeError("bare"), { stack: undefined }), "bare", "TypeError"],
  };
  for (const [name, [thrown, message, remoteType]] of Object.entries(things)) {
    it(`arrives: ${name}`, async (t) => {
      const { client } = await serve(t, {
        now() {
          throw thrown;
        },
        later: () => Promise.reject(thrown),
        async *items() {
          throw thrown;
        },
        fine: () => 1,
      });
      for (const call of [client.now(), client.later(), client.stream.items().next()]) {
        const error = await call.then(assert.fail, (error) => error);
        assert.deepEqual([error.code, error.executed, error.message, error.remoteType], ["HANDLER_ERROR", "yes", message, remoteType]);
      }
      assert.equal(await client.fine(), 1);
    });
  }

  it("arrives in part when it is long", async (t) => {
    const { client } = await serve(t, {
      long() {
        throw new Error("x".repeat(10 << 20));
      },
      fine: () => 1,
    });
    const error = await client.long().catch((error) => error);
    assert.equal(error.code, "HANDLER_ERROR");
    assert.match(error.message, /^x{4096} \.\.\. \(10485760 characters in all\)$/);
    assert.equal(await client.fine(), 1);
  });

  it("answers INVALID_RESULT for what is no value, with the path", async (t) => {
    const circular = {};
    circular.self = circular;
    const things = {
      "a function": () => () => 1,
      "a date inside": () => ({ user: { born: new Date(0) } }),
      "itself": () => circular,
      "a getter that throws": () => ({ get bad() { throw new Error("do not look"); } }),
      "a hole": () => [1, , 3],
      later: async () => new Set(),
    };
    const { client } = await serve(t, { ...things, fine: () => 1 });
    for (const name of Object.keys(things)) {
      const error = await client.call(name).then(assert.fail, (error) => error);
      assert.deepEqual([error.code, error.executed], ["INVALID_RESULT", "yes"], name);
    }
    assert.match((await client.call("a date inside").catch((error) => error)).message, /user\.born/);
    assert.equal(await client.fine(), 1);
  });
});
