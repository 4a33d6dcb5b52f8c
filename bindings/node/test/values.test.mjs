// The values of the protocol, there and back: through a Node worker and a Python worker they arrive as the same, or a typed error says why not.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { Pool, TypedBuffer } from "procall";

const PYTHON = fileURLToPath(new URL("../../../.venv/bin/python", import.meta.url));

function nested(depth) {
  let value = 1;
  for (let at = 0; at < depth; at++) value = [value];
  return value;
}

const BYTES = Uint8Array.from({ length: 256 }, (_, at) => at);

/** Values that come back as they are. */
const SAME = {
  nil: null,
  true: true,
  false: false,
  zero: 0,
  "one and its negative": [1, -1],
  "around 2^31": [2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, -(2 ** 31) - 1, -(2 ** 31)],
  "2^32": 2 ** 32,
  "the safe integers": [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
  "integers beyond the safe ones": [2n ** 53n, 2n ** 53n + 1n, -(2n ** 53n), -(2n ** 63n), 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n],
  "negative zero": -0,
  floats: [0.1, 5e-324, 1.797e308, -1.5],
  "not a number": NaN,
  infinities: [Infinity, -Infinity],
  "empty text": "",
  "text with NUL": "\0",
  emoji: "👩‍👩‍👧‍👦 😀",
  "combining marks": "e\u0301 Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A",
  "right to left": "שלום \u202eabc",
  "long text": "ä".repeat(1 << 19),
  "no bytes": new Uint8Array(0),
  "all bytes": BYTES,
  "many bytes": new Uint8Array(1 << 20).fill(7),
  "an empty array": [],
  "an empty object": {},
  "an array 62 deep": nested(62),
  "a hundred thousand elements": Array.from({ length: 100_000 }, (_, at) => at),
  "odd keys": JSON.parse('{"": 1, "__proto__": 2, "constructor": 3, "a.b": 4, "toString": 5, "ключ": 6}'),
  "typed arrays": [new Float32Array([1.5, -0, NaN]), new Float64Array([0.1]), new Uint16Array([65535]), new Int32Array([-1])],
  "large typed arrays": [new BigInt64Array([-(2n ** 63n)]), new BigUint64Array([2n ** 64n - 1n])],
  "an empty typed array": new Float32Array(0),
};

/** Values that arrive as another one, by a rule. */
const OTHER = {
  "a small bigint is a number": [5n, 5],
  "a float above 2^53 stays a float": [2 ** 60, 2 ** 60],
  "a Buffer is bytes": [Buffer.from("abc"), new Uint8Array([97, 98, 99])],
  "a view is what it shows": [BYTES.subarray(1, 3), new Uint8Array([1, 2])],
  "a Map is an object": [new Map([["a", 1], ["b", [new Map()]]]), { a: 1, b: [{}] }],
  "an undefined member is left out": [{ a: 1, b: undefined }, { a: 1 }],
  "an object without a prototype is an object": [Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
};

class Point {
  x = 1;
}

/** Values that do not travel, and where they are. */
const REFUSED = {
  "undefined in an array": [[1, undefined], /undefined cannot be encoded at \[0\]\[1\]/],
  "a hole": [[1, , 3], /undefined cannot be encoded at \[0\]\[1\]/],
  "a date": [{ born: new Date(0) }, /class Date cannot be encoded at \[0\]\.born/],
  "a set": [new Set([1]), /class Set/],
  "a symbol": [Symbol("s"), /a symbol/],
  "a symbol in an object": [{ deep: [Symbol("s")] }, /a symbol cannot be encoded at \[0\]\.deep\[0\]/],
  "a function": [() => 1, /a function/],
  "a class instance": [new Point(), /class Point/],
  "a regular expression": [/x/, /class RegExp/],
  "an error": [new Error("x"), /class Error/],
  "a promise": [Promise.resolve(1), /class Promise/],
  "an ArrayBuffer": [new ArrayBuffer(1), /class ArrayBuffer/],
  "a boxed number": [Object(1), /class Number/],
  "a Map with a key that is no text": [new Map([[1, 2]]), /a Map with a key that is a number/],
  "a lone surrogate": ["a\ud800", /text with a lone surrogate/],
  "a key with a lone surrogate": [{ "\udfff": 1 }, /text with a lone surrogate/],
  "2^64": [2n ** 64n, /18446744073709551616 does not fit 64 bits/],
  "-2^63 - 1": [-(2n ** 63n) - 1n, /does not fit 64 bits/],
  "10^30": [10n ** 30n, /does not fit 64 bits/],
  "an array 64 deep among the arguments": [nested(64), /nested more than 64 deep/],
};

const WORKERS = { Node: ["echo.mjs", {}], Python: ["echo.py", { interpreter: PYTHON }] };

for (const [language, [file, options]] of Object.entries(WORKERS)) {
  describe(`values through a ${language} worker`, { timeout: 60_000 }, () => {
    let pool;
    before(async () => {
      assert.ok(language === "Node" || existsSync(PYTHON), "the Python package is not built: make build-python");
      pool = await Pool.spawn(fileURLToPath(new URL(`../testing/programs/${file}`, import.meta.url)), { workers: 1, ...options });
    });
    after(() => pool.stop());

    for (const [name, value] of Object.entries(SAME)) {
      it(`${name}: the same`, async () => assert.deepStrictEqual(await pool.call("back", [value]), value));
    }
    for (const [name, [value, arrives]] of Object.entries(OTHER)) {
      it(name, async () => assert.deepStrictEqual(await pool.call("back", [value]), arrives));
    }
    for (const [name, [value, message]] of Object.entries(REFUSED)) {
      it(`${name}: refused`, async () => {
        const error = await pool.call("back", [value]).then(assert.fail, (error) => error);
        assert.deepEqual([error.code, error.executed], ["INVALID_ARGUMENT", "no"]);
        assert.match(error.message, message);
      });
    }

    it("undefined is what was left out, or nil", async () => {
      await assert.rejects(pool.call("back", [undefined]), { code: "INVALID_ARGUMENT", executed: "no" });
      assert.equal(await pool.call("back", [null]), null);
    });

    it("typed buffers of several dimensions and of types that JavaScript has not", async () => {
      for (const buffer of [
        new TypedBuffer("float16", [2], new Uint8Array([0, 60, 0, 64])),
        new TypedBuffer("bool", [3], new Uint8Array([1, 0, 1])),
        new TypedBuffer("float32", [2, 3], new Uint8Array(24)),
        new TypedBuffer("int16", [0, 4], new Uint8Array(0)),
      ]) {
        assert.deepStrictEqual(await pool.call("back", [buffer]), buffer);
      }
    });
  });
}
