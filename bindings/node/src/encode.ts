/** Values to MessagePack. Section 4 of the specification says which values there are. */

import { UnencodableError } from "./errors.js";
import { dtypeOf, DTYPES, type NumberArray, payloadOf, TypedBuffer } from "./typed.js";

const MAX_DEPTH = 64;
const MAX_ELEMENTS = 1_000_000;
const MAX_KEY = 64 << 10;
/** A buffer longer than this is given back once it is empty. */
const KEEP = 1 << 20;
/** Texts up to this long are written character by character, which is faster than a call into Node. */
const SHORT = 40;

/** A buffer that grows at its end. `bytes` and `view` change when it does. */
export class Writer {
  bytes: Buffer;
  view: DataView;
  at = 0;
  private elements = 0;

  constructor(private readonly size = 64 << 10) {
    this.bytes = Buffer.from(new ArrayBuffer(size));
    this.view = new DataView(this.bytes.buffer);
  }

  /** Forgets what was written. */
  reset(): void {
    this.at = 0;
    if (this.bytes.length > KEEP) {
      this.bytes = Buffer.from(new ArrayBuffer(this.size));
      this.view = new DataView(this.bytes.buffer);
    }
  }

  /** Makes room for `length` more bytes. */
  reserve(length: number): void {
    if (this.at + length <= this.bytes.length) return;
    const larger = Buffer.from(new ArrayBuffer(Math.max(2 * this.bytes.length, this.at + length)));
    larger.set(this.bytes.subarray(0, this.at));
    this.bytes = larger;
    this.view = new DataView(larger.buffer);
  }

  /** Appends a value. When it cannot be encoded, nothing was appended and the error names the path to it. */
  value(value: unknown): void {
    const start = this.at;
    this.elements = 0;
    try {
      this.any(value, 0);
    } catch (error) {
      this.at = start;
      throw error instanceof Unencodable ? error.finished() : error;
    }
  }

  /** Appends arguments as an array; trailing ones that are `undefined` are left out, as in a call of a function. */
  arguments(values: readonly unknown[]): void {
    let count = values.length;
    while (count > 0 && values[count - 1] === undefined) count--;
    this.value(count === values.length ? values : values.slice(0, count));
  }

  /** Appends bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** Appends the length of a text in 32 bits, little-endian, and its bytes. */
  chars(text: string): void {
    const size = Buffer.byteLength(text);
    this.reserve(4 + size);
    this.view.setUint32(this.at, size, true);
    this.bytes.write(text, this.at + 4);
    this.at += 4 + size;
  }

  private any(value: unknown, depth: number): void {
    switch (typeof value) {
      case "number":
        return this.number(value);
      case "string":
        this.text(value);
        return;
      case "boolean":
        return this.byte(value ? 0xc3 : 0xc2);
      case "bigint":
        return this.bigint(value);
      case "object":
        return value === null ? this.byte(0xc0) : this.object(value, depth);
      default:
        throw new Unencodable(describe(value));
    }
  }

  private byte(byte: number): void {
    this.reserve(1);
    this.bytes[this.at++] = byte;
  }

  private number(value: number): void {
    this.reserve(9);
    const { bytes, view } = this;
    if (value >= 0 && value < 128 && (value | 0) === value && (value !== 0 || 1 / value > 0)) {
      bytes[this.at++] = value;
    } else if (!Number.isSafeInteger(value) || (value === 0 && 1 / value < 0)) {
      bytes[this.at] = 0xcb;
      view.setFloat64(this.at + 1, value);
      this.at += 9;
    } else if (value >= 0) {
      this.unsigned(value);
    } else {
      this.negative(value);
    }
  }

  private unsigned(value: number): void {
    if (value <= 0xff) {
      this.bytes[this.at] = 0xcc;
      this.bytes[this.at + 1] = value;
      this.at += 2;
    } else if (value <= 0xffff) {
      this.bytes[this.at] = 0xcd;
      this.view.setUint16(this.at + 1, value);
      this.at += 3;
    } else if (value <= 0xffff_ffff) {
      this.bytes[this.at] = 0xce;
      this.view.setUint32(this.at + 1, value);
      this.at += 5;
    } else {
      this.bytes[this.at] = 0xcf;
      this.view.setBigUint64(this.at + 1, BigInt(value));
      this.at += 9;
    }
  }

  private negative(value: number): void {
    if (value >= -32) {
      this.bytes[this.at++] = value & 0xff;
    } else if (value >= -0x80) {
      this.bytes[this.at] = 0xd0;
      this.view.setInt8(this.at + 1, value);
      this.at += 2;
    } else if (value >= -0x8000) {
      this.bytes[this.at] = 0xd1;
      this.view.setInt16(this.at + 1, value);
      this.at += 3;
    } else if (value >= -0x8000_0000) {
      this.bytes[this.at] = 0xd2;
      this.view.setInt32(this.at + 1, value);
      this.at += 5;
    } else {
      this.bytes[this.at] = 0xd3;
      this.view.setBigInt64(this.at + 1, BigInt(value));
      this.at += 9;
    }
  }

  private bigint(value: bigint): void {
    if (value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER) return this.number(Number(value));
    if (value > 0xffff_ffff_ffff_ffffn || value < -0x8000_0000_0000_0000n) {
      throw new Unencodable(`the integer ${value} does not fit 64 bits`);
    }
    this.reserve(9);
    this.bytes[this.at] = value > 0n ? 0xcf : 0xd3;
    if (value > 0n) this.view.setBigUint64(this.at + 1, value);
    else this.view.setBigInt64(this.at + 1, value);
    this.at += 9;
  }

  /** Returns how many bytes the text has. */
  private text(value: string): number {
    const { length } = value;
    if (length <= SHORT) {
      this.reserve(2 + length);
      const { bytes } = this;
      const start = this.at + (length < 32 ? 1 : 2);
      let at = 0;
      for (; at < length; at++) {
        const code = value.charCodeAt(at);
        if (code > 0x7f) break;
        bytes[start + at] = code;
      }
      if (at === length) {
        if (length < 32) {
          bytes[this.at] = 0xa0 | length;
        } else {
          bytes[this.at] = 0xd9;
          bytes[this.at + 1] = length;
        }
        this.at = start + length;
        return length;
      }
    }
    if (!value.isWellFormed()) throw new Unencodable("text with a lone surrogate");
    const size = Buffer.byteLength(value);
    this.reserve(5 + size);
    if (size < 32) this.bytes[this.at++] = 0xa0 | size;
    else this.head(size, 0xd9, 0xda, 0xdb);
    this.bytes.write(value, this.at);
    this.at += size;
    return size;
  }

  /** A length in the shortest of three forms; 0 for a form that there is not. */
  private head(length: number, one: number, two: number, four: number): void {
    this.reserve(5);
    if (length <= 0xff && one !== 0) {
      this.bytes[this.at] = one;
      this.bytes[this.at + 1] = length;
      this.at += 2;
    } else if (length <= 0xffff) {
      this.bytes[this.at] = two;
      this.view.setUint16(this.at + 1, length);
      this.at += 3;
    } else if (length <= 0xffff_ffff) {
      this.bytes[this.at] = four;
      this.view.setUint32(this.at + 1, length);
      this.at += 5;
    } else {
      throw new Unencodable(`something of ${length} bytes`);
    }
  }

  private object(value: object, depth: number): void {
    if (Array.isArray(value)) return this.array(value, depth);
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return this.map(value as Record<string, unknown>, depth);
    if (value instanceof Uint8Array) {
      this.head(value.length, 0xc4, 0xc5, 0xc6);
      return this.raw(value);
    }
    if (value instanceof Map) return this.entries(value as Map<unknown, unknown>, depth);
    const dtype = value instanceof TypedBuffer ? DTYPES.indexOf(value.dtype) : dtypeOf(value);
    if (dtype < 0) throw new Unencodable(describe(value));
    const [head, bytes] = payloadOf(value as NumberArray | TypedBuffer, dtype);
    const length = head.length + bytes.length;
    const fixed = [4, 8, 16].indexOf(length);
    if (fixed < 0) this.head(length, 0xc7, 0xc8, 0xc9);
    else this.byte(0xd6 + fixed);
    this.byte(0x50);
    this.raw(head);
    this.raw(bytes);
  }

  private enter(elements: number, depth: number): number {
    if (depth === MAX_DEPTH) throw new Unencodable(`nested more than ${MAX_DEPTH} deep`);
    this.elements += elements;
    if (this.elements > MAX_ELEMENTS) throw new Unencodable(`more than ${MAX_ELEMENTS} elements`);
    return depth + 1;
  }

  private array(value: readonly unknown[], depth: number): void {
    const inside = this.enter(value.length, depth);
    if (value.length < 16) this.byte(0x90 | value.length);
    else this.head(value.length, 0, 0xdc, 0xdd);
    for (let at = 0; at < value.length; at++) {
      try {
        this.any(value[at], inside);
      } catch (error) {
        throw within(error, `[${at}]`);
      }
    }
  }

  private map(value: Record<string, unknown>, depth: number): void {
    const keys = Object.keys(value);
    // Most objects have no undefined values, so the head is written first and corrected when it was wrong.
    let count = keys.length;
    for (const key of keys) if (value[key] === undefined) count--;
    const inside = this.enter(2 * count, depth);
    this.mapHead(count);
    for (const key of keys) {
      const member = value[key];
      if (member === undefined) continue;
      this.entry(key, member, inside);
    }
  }

  private entries(value: Map<unknown, unknown>, depth: number): void {
    const inside = this.enter(2 * value.size, depth);
    this.mapHead(value.size);
    for (const [key, member] of value) {
      if (typeof key !== "string") throw new Unencodable(`a Map with a key that is ${describe(key)}`);
      this.entry(key, member, inside);
    }
  }

  private mapHead(count: number): void {
    if (count < 16) this.byte(0x80 | count);
    else this.head(count, 0, 0xde, 0xdf);
  }

  private entry(key: string, member: unknown, depth: number): void {
    try {
      if (this.text(key) > MAX_KEY) throw new Unencodable(`a key longer than ${MAX_KEY} bytes`);
      this.any(member, depth);
    } catch (error) {
      throw within(error, /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`);
    }
  }
}

/**
 * A value as MessagePack, as it travels; throws {@link UnencodableError} with the path to what cannot.
 *
 * ```ts
 * const bytes: Buffer = encode([1, "two", new Float32Array(3)]);
 * try {
 *   encode({ user: { born: new Date() } });
 * } catch (error) {
 *   if (error instanceof UnencodableError) console.log(error.path);   // user.born
 * }
 * ```
 */
export function encode(value: unknown): Buffer {
  const writer = new Writer(256);
  writer.value(value);
  return writer.bytes.subarray(0, writer.at);
}

/** What is wrong with a value; the path grows on the way out. */
class Unencodable extends Error {
  path = "";

  finished(): UnencodableError {
    const { message, path } = this;
    return new UnencodableError(`${message} cannot be encoded`, path.startsWith(".") ? path.slice(1) : path);
  }
}

function within(error: unknown, step: string): unknown {
  if (error instanceof Unencodable && error.path.length < 1024) error.path = step + error.path;
  return error;
}

function describe(value: unknown): string {
  if (typeof value === "object" && value !== null) {
    const name: unknown = (value as { constructor?: { name?: unknown } }).constructor?.name;
    return typeof name === "string" && name !== "" ? `an object of class ${name}` : "an object with a prototype";
  }
  return value === undefined ? "undefined" : typeof value === "function" ? "a function" : `a ${typeof value}`;
}
