// The golden vectors of the specification, and the values that only JavaScript has.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { decode, encode, TypedBuffer, UndecodableError, UnencodableError } from "procall";

const read = (name) => JSON.parse(readFileSync(new URL(`../../../spec/vectors/${name}`, import.meta.url), "utf8"));
const long = (text) => (typeof text === "string" ? text : text.map((part) => (typeof part === "string" ? part : part[0].repeat(part[1]))).join(""));
const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));
const hex = (value) => Buffer.from(value).toString("hex");

const ARRAYS = { int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array, float32: Float32Array, float64: Float64Array };

/** The native value of a buffer of the vectors, in C order and little-endian. */
function tensor({ dtype, shape, packed }) {
  const data = bytes(packed);
  return shape.length === 1 && dtype in ARRAYS ? new ARRAYS[dtype](data.buffer) : new TypedBuffer(dtype, shape.map(Number), data);
}

/** The native value of a typed value of the vectors. */
function native(value) {
  const [[kind, content]] = Object.entries(value);
  switch (kind) {
    case "nil":
      return null;
    case "bool":
      return content;
    case "int": {
      const integer = BigInt(content);
      return Number.isSafeInteger(Number(integer)) ? Number(integer) : integer;
    }
    case "float":
      return new DataView(bytes(content).buffer).getFloat64(0);
    case "text":
      return content;
    case "text_repeat":
      return content[0].repeat(content[1]);
    case "bytes":
      return bytes(content);
    case "bytes_repeat":
      return bytes(content[0].repeat(content[1]));
    case "array":
      return content.map(native);
    case "array_repeat":
      return Array.from({ length: content[1] }, () => native(content[0]));
    case "nested": {
      let nested = native(content[0]);
      for (let depth = 0; depth < content[1]; depth++) nested = [nested];
      return nested;
    }
    case "map": {
      const map = {};
      for (const [key, member] of content) Object.defineProperty(map, key, { value: native(member), enumerable: true, writable: true, configurable: true });
      return map;
    }
    case "tensor":
      return tensor(content);
    default:
      throw new Error(`no typed value is called ${kind}`);
  }
}

/** Whether a typed value holds a float that JavaScript cannot tell from an integer, or a buffer that is written in another layout. */
function hasSeveralForms(value) {
  const [[kind, content]] = Object.entries(value);
  if (kind === "float") return Number.isSafeInteger(native(value)) && !Object.is(native(value), -0);
  if (kind === "tensor") return content.strides !== null || content.big_endian;
  if (kind === "array") return content.some(hasSeveralForms);
  if (kind === "array_repeat" || kind === "nested") return hasSeveralForms(content[0]);
  return kind === "map" && content.some(([, member]) => hasSeveralForms(member));
}

/** Whether a typed value names shared memory, which Node's connections do not have. */
const inRegion = (value) => JSON.stringify(value).includes('"region"');

describe("vectors", { timeout: 60_000 }, () => {
  for (const vector of read("bodies.json")) {
    it(`body: ${vector.name}`, () => {
      const body = long(vector.hex);
      if (inRegion(vector.value)) {
        assert.throws(() => decode(bytes(body)), UndecodableError);
        return;
      }
      const value = native(vector.value);
      assert.deepEqual(decode(bytes(body)), value);
      const again = encode(value);
      assert.deepEqual(decode(again), value);
      if (vector.canonical !== false && !hasSeveralForms(vector.value) && !Number.isNaN(value)) assert.equal(hex(again), body);
    });
  }

  for (const vector of read("bodies_bad.json").filter((vector) => vector.hex !== undefined)) {
    it(`bad body: ${vector.name}`, () => {
      assert.throws(() => decode(bytes(long(vector.hex))), UndecodableError);
    });
  }

  for (const vector of read("buffers.json")) {
    it(`buffer: ${vector.name}`, () => {
      const payload = bytes(long(vector.payload));
      const ext = new Uint8Array(6 + payload.length);
      ext[0] = 0xc9;
      new DataView(ext.buffer).setUint32(1, payload.length);
      ext[5] = 0x50;
      ext.set(payload, 6);
      if (vector.error !== undefined || inRegion(vector.buffer)) {
        assert.throws(() => decode(ext), UndecodableError);
        return;
      }
      const value = tensor({ ...vector.buffer, packed: vector.packed });
      assert.deepEqual(decode(ext), value);
      if (vector.buffer.strides === null && !vector.buffer.big_endian) assert.equal(hex(encode(value)), long(vector.msgpack));
    });
  }
});

describe("values of JavaScript", { timeout: 60_000 }, () => {
  const refused = (value, path, message) =>
    assert.throws(() => encode(value), (error) => error instanceof UnencodableError && error.path === path && message.test(error.message));

  it("keeps the sign of zero", () => {
    assert.equal(hex(encode(-0)), "cb8000000000000000");
    assert.ok(Object.is(decode(encode(-0)), -0));
  });

  it("sends numbers beyond 2^53 as floats, and bigints as integers", () => {
    assert.equal(decode(encode(2 ** 60)), 2 ** 60);
    assert.equal(encode(2 ** 60)[0], 0xcb);
    for (const integer of [2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, -(2n ** 63n)]) assert.equal(decode(encode(integer)), integer);
    assert.equal(decode(encode(2n ** 53n - 1n)), 2 ** 53 - 1);
    for (const integer of [2n ** 64n, -(2n ** 63n) - 1n, 10n ** 30n]) refused([integer], "[0]", /does not fit 64 bits/);
  });

  it("refuses what is no value, and says where it is", () => {
    refused({ user: { born: new Date() } }, "user.born", /class Date/);
    refused([1, undefined], "[1]", /undefined/);
    refused([1, , 3], "[1]", /undefined/);
    refused({ "a b": [Symbol("x")] }, '["a b"][0]', /symbol/);
    refused({ f() {} }, "f", /function/);
    refused(new Set([1]), "", /class Set/);
    refused(new Map([[1, 2]]), "", /key that is a number/);
    refused("\ud800", "", /lone surrogate/);
    refused({ long: `${"x".repeat(100)}\udc00` }, "long", /lone surrogate/);
  });

  it("leaves members that are undefined out", () => {
    assert.deepEqual(decode(encode({ a: 1, b: undefined })), { a: 1 });
  });

  it("takes a Map with text keys as a map", () => {
    assert.deepEqual(decode(encode(new Map([["a", 1], ["b", [2]]]))), { a: 1, b: [2] });
  });

  it("keeps the prototype of an object with the key __proto__", () => {
    const value = decode(encode(JSON.parse('{"__proto__": {"polluted": true}, "a": 1}')));
    assert.equal(Object.getPrototypeOf(value), Object.prototype);
    assert.equal(value.polluted, undefined);
    assert.deepEqual(Object.keys(value), ["__proto__", "a"]);
    const bare = Object.assign(Object.create(null), { a: 1 });
    assert.deepEqual(decode(encode(bare)), { a: 1 });
  });

  it("gives bytes that are copies", () => {
    const body = encode({ data: new Uint8Array([1, 2, 3]) });
    const { data } = decode(body);
    body.fill(0);
    assert.ok(data.constructor === Uint8Array);
    assert.deepEqual([...data], [1, 2, 3]);
    assert.deepEqual(decode(encode(Buffer.from([7]))), new Uint8Array([7]));
  });

  it("sends typed arrays as typed buffers, views included", () => {
    const floats = new Float32Array([1, 2, 3, 4]).subarray(1, 3);
    assert.deepEqual(decode(encode(floats)), new Float32Array([2, 3]));
    assert.deepEqual(decode(encode([new BigInt64Array([-1n])])), [new BigInt64Array([-1n])]);
    const image = new TypedBuffer("uint8", [2, 3], new Uint8Array([1, 2, 3, 4, 5, 6]));
    assert.deepEqual(decode(encode(image)), image);
    assert.throws(() => new TypedBuffer("float32", [2], new Uint8Array(7)), RangeError);
  });

  it("refuses depth and size beyond the bounds", () => {
    const nested = (depth) => {
      let value = 1;
      for (let level = 0; level < depth; level++) value = [value];
      return value;
    };
    assert.deepEqual(decode(encode(nested(64))), nested(64));
    assert.throws(() => encode(nested(65)), /nested more than 64 deep/);
    assert.throws(() => encode(new Array(1_000_001).fill(0)), /more than 1000000 elements/);
    assert.throws(() => encode({ ["k".repeat(65537)]: 1 }), /longer than 65536 bytes/);
    const cycle = {};
    cycle.self = cycle;
    assert.throws(() => encode(cycle), /nested more than 64 deep/);
  });

  it("writes nothing of a value that it refuses", async () => {
    const { Writer } = await import("../dist/encode.js");
    const writer = new Writer();
    writer.value(1);
    assert.throws(() => writer.value([1, 2, () => {}]), UnencodableError);
    writer.value(2);
    assert.deepEqual([...writer.bytes.subarray(0, writer.at)], [1, 2]);
  });

  it("grows beyond its first buffer", () => {
    const value = { text: "ü".repeat(100_000), list: Array.from({ length: 20_000 }, (_, at) => at * 1000), bytes: new Uint8Array(300_000) };
    assert.deepEqual(decode(encode(value)), value);
  });
});
