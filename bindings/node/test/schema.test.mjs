// Arguments against the schemas of their parameters.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { service as declare } from "procall";

import { serve } from "../testing/serving.mjs";

const user = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: ["integer", "null"], minimum: 0, maximum: 150 }, "a/b": { const: 1 } },
  required: ["name"],
  additionalProperties: false,
};
const params = {
  type: "object",
  properties: { user, role: { enum: ["admin", "guest"] }, tags: { type: "array", items: { type: "string" } }, free: {}, far: { $ref: "#/$defs/far" }, word: { type: "string", pattern: "^[a-z]+$" } },
  required: ["user"],
  $defs: { far: { type: "integer" } },
};

describe("schemas", { timeout: 60_000 }, () => {
  const right = [
    [{ name: "Ada" }],
    [{ name: "Ada", age: 36, "a/b": 1 }, "admin", ["x"], new Uint8Array(1), 7, "word"],
    [{ name: "Ada", age: null }, "guest", []],
    [{ name: "Ada", age: 3n }],
  ];
  const wrong = [
    [[1], ["/0"]],
    [[new Float32Array(1)], ["/0/$tensor", "/0/name"]],
    [[{ age: -1 }], ["/0/age", "/0/name"]],
    [[{ name: 7, age: 1.5 }], ["/0/age", "/0/name"]],
    [[{ name: "Ada", age: 151, "a/b": 2, more: 1 }], ["/0/age", "/0/a~1b", "/0/more"]],
    [[{ name: "Ada" }, "root", ["x", 1]], ["/1", "/2/1"]],
    [[{ name: "Ada" }, "guest", [], null, 1.5, "A"], ["/4", "/5"]],
    [{ user: { name: "Ada" }, role: "root" }, ["/role"]],
  ];
  const service = { method: (...args) => args.length };
  const options = { methods: { method: { params } } };

  for (const args of right) {
    it(`let ${args.length} right arguments through`, async (t) => {
      const { client } = await serve(t, service, options);
      assert.equal(await client.method(...args), args.length);
    });
  }

  it("describe bytes and typed arrays as every language does", async (t) => {
    const bytes = { type: "string", contentEncoding: "base64", "x-procall": "bytes" };
    const buffer = { type: "object", required: ["$tensor"], "x-procall": "buffer" };
    const sizes = { blob: { params: { type: "object", properties: { blob: bytes } } }, floats: { params: { type: "object", properties: { floats: buffer } } } };
    const { client } = await serve(t, { blob: (blob) => blob.length, floats: (floats) => floats.length }, { methods: sizes });
    assert.equal(await client.blob(new Uint8Array(3)), 3);
    assert.equal(await client.floats(new Float32Array(3)), 3);
    await assert.rejects(client.blob([1, 2]), { code: "INVALID_ARGUMENT" });
    await assert.rejects(client.floats({}), { code: "INVALID_ARGUMENT" });
  });

  it("are refused when they are none, or refer to what is not there", async () => {
    for (const params of [{ type: "text" }, { properties: { a: { $ref: "#/nowhere" } } }, { properties: { a: { $ref: "https://example.com/schema" } } }]) {
      assert.throws(() => declare("x", service, { methods: { method: { params } } }), { code: "INVALID_ARGUMENT", message: /method: the schema cannot be used/ });
    }
  });

  for (const [args, paths] of wrong) {
    it(`refuse wrong arguments at ${paths.join(" and ")}`, async (t) => {
      const { client } = await serve(t, service, options);
      const error = await client.call("method", args).catch((error) => error);
      assert.deepEqual([error.code, error.executed], ["INVALID_ARGUMENT", "no"]);
      assert.deepEqual(error.fields.map(({ path }) => path).sort(), paths);
    });
  }
});
