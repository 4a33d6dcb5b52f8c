// What becomes of the types that only JavaScript has.
import assert from "node:assert/strict";
import { TypedBuffer } from "procall";

class Point {
  x = 1;
}

const ARRIVES = [
  [5n, 5],
  [2n ** 60n, 2n ** 60n],
  [2 ** 60, 2 ** 60],
  [-0, -0],
  [1.0, 1],
  [Buffer.from("ab"), new Uint8Array([97, 98])],
  [new Uint8Array([1, 2, 3]).subarray(1), new Uint8Array([2, 3])],
  [new Map([["a", 1], ["b", new Map()]]), { a: 1, b: {} }],
  [{ a: 1, b: undefined }, { a: 1 }],
  [Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  [new Float32Array([1.5, -0]), new Float32Array([1.5, -0])],
  [new Int8Array([1, -1]), new Int8Array([1, -1])],
  [new BigUint64Array([2n ** 64n - 1n]), new BigUint64Array([2n ** 64n - 1n])],
  [new TypedBuffer("uint8", [2], new Uint8Array([1, 255])), new TypedBuffer("uint8", [2], new Uint8Array([1, 255]))],
  [new TypedBuffer("bfloat16", [1], new Uint8Array([128, 63])), new TypedBuffer("bfloat16", [1], new Uint8Array([128, 63]))],
];

const REFUSED = [
  [[1, undefined], /undefined cannot be encoded at \[0\]\[1\]/],
  // eslint-disable-next-line no-sparse-arrays
  [[1, , 3], /undefined cannot be encoded at \[0\]\[1\]/],
  [new Date(0), /class Date/],
  [new Set([1]), /class Set/],
  [Symbol("s"), /a symbol/],
  [() => 1, /a function/],
  [new Point(), /class Point/],
  [/x/, /class RegExp/],
  [new Error("x"), /class Error/],
  [Promise.resolve(1), /class Promise/],
  [new WeakMap(), /class WeakMap/],
  [new ArrayBuffer(1), /class ArrayBuffer/],
  [new DataView(new ArrayBuffer(1)), /class DataView/],
  [Object(1), /class Number/],
  [new Map([[1, 2]]), /a Map with a key that is a number/],
];

export async function roundTrips(pool) {
  for (const [value, wanted] of ARRIVES) assert.deepStrictEqual(await pool.call("echo", [value]), wanted);
  for (const [value, says] of REFUSED) {
    await assert.rejects(pool.call("echo", [value]), (error) => {
      assert.deepEqual([error.code, error.executed], ["INVALID_ARGUMENT", "no"]);
      assert.match(error.message, says);
      return true;
    });
  }
  // What is left out is nil to those who say so, and missing to those who do not.
  assert.equal(await pool.call("greet", ["Ada", undefined]), "hello Ada");
  await assert.rejects(pool.call("greet", [undefined]), { code: "INVALID_ARGUMENT", executed: "no" });
}
