// How params bind: the golden vectors, through a service with the same signatures.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { it } from "node:test";

import { serve } from "../testing/serving.mjs";

const vectors = JSON.parse(readFileSync(new URL("../../../spec/vectors/params.json", import.meta.url), "utf8"));

/** A schema and a function with the signature of a vector. */
function methodOf(signature) {
  const properties = {};
  for (const { name, struct } of signature) properties[name] = struct ? { type: "object" } : { type: ["integer", "string", "array", "boolean", "null"] };
  const params = {
    type: "object",
    properties,
    required: signature.filter((parameter) => !("default" in parameter)).map(({ name }) => name),
    "x-order": signature.map(({ name }) => name),
  };
  return { params, fn: (...args) => signature.map((parameter, at) => (args[at] === undefined ? parameter.default : args[at])) };
}

// The dialects are spoken by the engine.
for (const vector of vectors.filter(({ dialect }) => dialect !== true)) {
  it(`params: ${vector.name}`, async (t) => {
    const { params, fn } = methodOf(vector.signature);
    const { client } = await serve(t, { method: fn }, { methods: { method: { params } } });
    const call = client.call("method", "given" in vector ? vector.given : []);
    if (vector.error === undefined) {
      assert.deepEqual(await call, vector.bound);
    } else {
      const error = await call.catch((error) => error);
      assert.deepEqual([error.code, error.executed], [vector.error, "no"]);
      assert.deepEqual(error.fields.map(({ path }) => path).sort(), [...(vector.paths ?? [])].sort());
    }
  });
}
