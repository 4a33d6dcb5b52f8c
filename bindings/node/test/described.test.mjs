// What is said of methods: schemas of every make, and classes that are services.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as before from "@sinclair/typebox";
import { connect, method, Service, service } from "procall";
import * as typebox from "typebox";
import * as z from "zod";

import { folder, serve } from "../testing/serving.mjs";

/** What a call is refused with, and where. */
async function refusal(call) {
  const { code, executed, fields } = await call.then(assert.fail, (error) => error);
  return [code, executed, fields.map(({ path }) => path).sort()];
}

const objects = {
  zod: z.object({ a: z.number(), b: z.number().default(10), tags: z.array(z.string()).optional() }),
  "JSON Schema": {
    type: "object",
    properties: { a: { type: "number" }, b: { type: "number" }, tags: { type: "array", items: { type: "string" } } },
    required: ["a"],
  },
  TypeBox: byTypeBox(typebox),
  "TypeBox before 1.0": byTypeBox(before),
};

function byTypeBox({ Type }) {
  return Type.Object({ a: Type.Number(), b: Type.Optional(Type.Number()), tags: Type.Optional(Type.Array(Type.String())) });
}

describe("described methods", { timeout: 60_000 }, () => {
  it("are registered with the names of their parameters, where those are known", async (t) => {
    const { client } = await serve(t, {
      plain: (a, b = 1) => [a, b],
      none: () => null,
      rest: (a, ...more) => [a, more],
      destructured: ({ a }, b) => [a, b],
      tuple: method({ input: z.tuple([z.number(), z.number()]) }, (base, exponent) => base ** exponent),
      whole: method({ input: { type: "object" } }, (settings) => settings),
      one: method({ input: z.string() }, (text) => text),
    });
    const { methods } = await client.methods();
    const told = Object.fromEntries(methods.map(({ name, params }) => [name.replace("test.", ""), params]));
    assert.deepEqual(told, {
      plain: ["a", "b"],
      none: undefined,
      rest: undefined,
      destructured: undefined,
      tuple: ["base", "exponent"],
      whole: undefined,
      one: ["text"],
    });
  });

  it("tell that they take any number of arguments", async (t) => {
    const { client } = await serve(t, { all: (...numbers) => numbers.length, some: (unit, ...numbers) => [unit, numbers.length] });
    const [all, some] = (await client.methods()).methods.map(({ params_schema }) => params_schema);
    assert.deepEqual([all.type, all.prefixItems, all.items, all.minItems], [["object", "array"], undefined, true, 0]);
    assert.deepEqual([some.prefixItems, some.minItems, some.required, some["x-order"]], [[{}], 1, ["unit"], ["unit"]]);
  });

  for (const [make, input] of Object.entries(objects)) {
    it(`take one object of ${make}`, async (t) => {
      const { client } = await serve(t, { add: method({ input }, ({ a, b = 10 }) => a + b) });
      assert.equal(await client.add({ a: 1, b: 2 }), 3);
      assert.equal(await client.add({ a: 1 }), 11);
      assert.equal(await client.call("add", { a: 1, b: 2 }), 3);
      assert.equal(await client.call("add", [1, 2]), 3);
      const { methods } = await client.methods();
      assert.deepEqual(Object.keys(methods[0].params_schema.properties), ["a", "b", "tags"]);
      assert.deepEqual(methods[0].params, ["a", "b", "tags"]);
    });

    it(`name every field that ${make} has something against`, async (t) => {
      const { client } = await serve(t, { add: method({ input }, () => assert.fail("it ran")) });
      const wrong = { a: "x", b: "y", tags: ["fine", 2] };
      assert.deepEqual(await refusal(client.add(wrong)), ["INVALID_ARGUMENT", "no", ["/a", "/b", "/tags/1"]]);
      assert.deepEqual(await refusal(client.call("add", wrong)), ["INVALID_ARGUMENT", "no", ["/a", "/b", "/tags/1"]]);
      assert.deepEqual(await refusal(client.add({ a: 1, c: 2 })), ["INVALID_ARGUMENT", "no", ["/c"]]);
      assert.deepEqual(await refusal(client.add()), ["INVALID_ARGUMENT", "no", ["/0"]]);
    });
  }

  it("tell an object that is the only member from the object of all", async (t) => {
    const input = z.object({ user: z.object({ name: z.string() }) });
    const { client } = await serve(t, { greet: method({ input }, ({ user }) => `hello ${user.name}`) });
    for (const params of [[{ user: { name: "Ada" } }], [{ name: "Ada" }], { user: { name: "Ada" } }]) {
      assert.equal(await client.call("greet", params), "hello Ada");
    }
  });

  it("give the function what the schema makes of the input, also later", async (t) => {
    const input = z.object({ word: z.string().trim().refine(async (word) => word !== "bad", "is a bad word") });
    const { client } = await serve(t, { shout: method({ input }, ({ word }) => word.toUpperCase()) });
    assert.equal(await client.shout({ word: "  hi " }), "HI");
    assert.deepEqual(await refusal(client.shout({ word: "bad" })), ["INVALID_ARGUMENT", "no", ["/word"]]);
  });

  for (const [make, input] of [
    ["zod", z.tuple([z.number(), z.number()])],
    ["JSON Schema", { type: "array", prefixItems: [{ type: "number" }, { type: "number" }], minItems: 2 }],
  ]) {
    it(`take a tuple of ${make} as arguments`, async (t) => {
      const { client } = await serve(t, { power: method({ input }, (base, exponent) => base ** exponent) });
      assert.equal(await client.power(2, 10), 1024);
      assert.equal(await client.call("power", { exponent: 3, base: 2 }), 8);
      assert.deepEqual(await refusal(client.power(2)), ["INVALID_ARGUMENT", "no", ["/1"]]);
    });
  }

  it("take one argument of any other schema", async (t) => {
    const { client } = await serve(t, {
      upper: method({ input: z.string() }, (text) => text.toUpperCase()),
      sizes: method({ input: z.record(z.string(), z.number()) }, (sizes) => Object.keys(sizes).length),
      sum: method({ input: z.array(z.number()) }, (numbers) => numbers.reduce((a, b) => a + b, 0)),
    });
    assert.equal(await client.upper("a"), "A");
    assert.equal(await client.call("upper", { text: "b" }), "B");
    assert.equal(await client.sizes({ a: 1, b: 2 }), 2);
    assert.equal(await client.call("sizes", { a: 1, b: 2 }), 2);
    assert.equal(await client.sum([1, 2, 3]), 6);
    assert.deepEqual((await refusal(client.upper(1))).slice(0, 2), ["INVALID_ARGUMENT", "no"]);
    assert.deepEqual(await refusal(client.sizes({ a: "x" })), ["INVALID_ARGUMENT", "no", ["/a"]]);
  });

  for (const [make, output] of [["zod", z.object({ n: z.number() })], ["JSON Schema", { type: "object", properties: { n: { type: "number" } } }]]) {
    it(`answer what ${make} says`, async (t) => {
      const { client } = await serve(t, {
        right: method({ output }, async () => ({ n: 1 })),
        wrong: method({ output }, () => ({ n: "one" })),
        items: method({ output }, async function* () {
          yield { n: 1 };
          yield { n: "two" };
        }),
      });
      assert.deepEqual(await client.right(), { n: 1 });
      assert.deepEqual(await refusal(client.wrong()), ["INVALID_RESULT", "yes", ["/n"]]);
      const items = client.stream.items();
      assert.deepEqual((await items.next()).value, { n: 1 });
      assert.deepEqual(await refusal(items.next()), ["INVALID_RESULT", "yes", ["/n"]]);
    });
  }

  it("keep `this`, names, defaults, streams and what is said of them", async (t) => {
    class Counter {
      #from = 5;
      add = method({ idempotent: true, description: "Adds." }, (a, b = 2) => this.#from + a + b);
      count = method({ description: "Counts." }, async function* (n) {
        for (let at = 0; at < n; at++) yield this.first() + at;
      });
      first() {
        return this.#from;
      }
    }
    const { client } = await serve(t, new Counter());
    assert.equal(await client.call("add", { a: 1 }), 8);
    const counted = [];
    for await (const n of client.stream.count(2)) counted.push(n);
    assert.deepEqual(counted, [5, 6]);
    const { methods } = await client.methods();
    const known = Object.fromEntries(methods.map(({ name, idempotent, shape, description }) => [name, [idempotent, shape, description]]));
    assert.deepEqual(known["test.add"], [true, "unary", "Adds."]);
    assert.deepEqual(known["test.count"], [false, "items_out", "Counts."]);
  });

  it("say what is wrong with their description", () => {
    assert.throws(() => method({}, "no function"), { code: "INVALID_ARGUMENT", message: /method takes options and a function/ });
    assert.throws(() => service("x", { a: method({ input: "string" }, () => 1) }), { code: "INVALID_ARGUMENT", message: /a schema is/ });
    assert.throws(() => service("x", { a: method({ input: {}, params: {} }, () => 1) }), { code: "INVALID_ARGUMENT", message: /both input and params/ });
    assert.throws(() => service("x", 5), { code: "INVALID_ARGUMENT", message: /the methods of a service/ });
  });
});

describe("classes that extend Service", { timeout: 60_000 }, () => {
  it("offer their own public methods", async (t) => {
    class Base extends Service {
      inherited() {}
    }
    class Calc extends Base {
      #memory = 40;
      plain = 3;
      constructor() {
        super("calc", { version: "2", methods: { add: { idempotent: true } } });
      }
      add(n) {
        return this.#memory + n;
      }
      later = async (n) => n + this.plain;
      async *count(n) {
        for (let at = 0; at < n; at++) yield at;
      }
      toString() {
        return "not a method";
      }
      _hidden() {}
      #private() {}
      get memory() {
        assert.fail("a getter is no method");
      }
    }
    const running = await new Calc().start({ listen: `unix:${folder(t)}/calc.sock`, onListening() {} });
    const client = await connect(running.address);
    t.after(async () => {
      client.close();
      await running.stop();
    });
    const { name, version, methods } = await client.methods();
    assert.deepEqual([name, version], ["calc", "2"]);
    assert.deepEqual(methods.map(({ name }) => name).sort(), ["calc.add", "calc.count", "calc.later"]);
    assert.equal(await client.add(2), 42);
    assert.equal(await client.calc.later(1), 4);
    const seen = [];
    for await (const n of client.stream.calc.count(3)) seen.push(n);
    assert.deepEqual(seen, [0, 1, 2]);
  });

  it("need methods and a name", async () => {
    await assert.rejects(new Service("empty").start(), { code: "INVALID_ARGUMENT", message: /without methods/ });
    assert.throws(() => new Service(), { code: "INVALID_ARGUMENT", message: /cannot name/ });
  });

  it("hide names with an underscore in plain objects too", async (t) => {
    const { client } = await serve(t, { shown: () => 1, _hidden: () => 2, toString: () => "3" });
    assert.deepEqual((await client.methods()).methods.map(({ name }) => name), ["test.shown"]);
    await assert.rejects(client.call("_hidden"), { code: "NOT_FOUND" });
  });
});
