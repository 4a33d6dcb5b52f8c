/** MessagePack to values. Everything that comes from a peer goes through here, so nothing is believed. */

import { isUtf8 } from "node:buffer";

import { UndecodableError } from "./errors.js";
import { readTyped } from "./typed.js";

const MAX_DEPTH = 64;
const MAX_ELEMENTS = 1_000_000;
const MAX_KEY = 64 << 10;
const EXT_TYPED = 0x50;
/**
 * Stands for an argument that was not given, and before arguments of which some may not be. Only our native half writes it; from a peer it is
 * refused there, and is no value here.
 */
const MISSING = 0xc1;
/** Texts up to this long are read character by character, which is faster than a call into Node. */
const SHORT = 24;

/** Reads one value after another from bytes that it does not keep: what it returns are copies. */
export class Reader {
  private bytes: Buffer = Buffer.alloc(0);
  private view = new DataView(this.bytes.buffer);
  private at = 0;
  private end = 0;
  private elements = 0;

  /** The value that the bytes from `start` to `end` are, and nothing else. */
  value(bytes: Buffer, start: number, end: number): unknown {
    this.open(bytes, start, end);
    const value = this.any(0);
    if (this.at !== end) throw new UndecodableError("bytes follow the value");
    return value;
  }

  /** Arguments by position; `undefined` for those between others that were not given. */
  arguments(bytes: Buffer, start: number, end: number): unknown[] {
    this.open(bytes, start, end);
    let head = this.byte();
    const gaps = head === MISSING;
    if (gaps) head = this.byte();
    const count = head >> 4 === 9 ? head & 0x0f : head === 0xdc ? this.u16() : head === 0xdd ? this.u32() : -1;
    if (count < 0) {
      if (head === 0xc0) return [];
      throw new UndecodableError("the arguments are not an array");
    }
    this.enter(count, count);
    const values: unknown[] = [];
    for (let at = 0; at < count; at++) {
      if (gaps && bytes[this.at] === MISSING) {
        this.at++;
        values.push(undefined);
      } else {
        values.push(this.any(1));
      }
    }
    if (this.at !== end) throw new UndecodableError("bytes follow the value");
    return values;
  }

  private open(bytes: Buffer, start: number, end: number): void {
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.at = start;
    this.end = end;
    this.elements = 0;
  }

  /** Where `length` bytes begin that are now behind us. */
  private take(length: number): number {
    const start = this.at;
    if (length > this.end - start) throw new UndecodableError("the bytes end inside a value");
    this.at = start + length;
    return start;
  }

  private byte(): number {
    return this.bytes[this.take(1)]!;
  }

  private u16(): number {
    return this.view.getUint16(this.take(2));
  }

  private u32(): number {
    return this.view.getUint32(this.take(4));
  }

  private any(depth: number): unknown {
    const head = this.byte();
    if (head < 0x80) return head;
    if (head >= 0xe0) return head - 0x100;
    if (head < 0x90) return this.map(head & 0x0f, depth);
    if (head < 0xa0) return this.array(head & 0x0f, depth);
    if (head < 0xc0) return this.text(head & 0x1f);
    const { view } = this;
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return this.bin(this.byte());
      case 0xc5:
        return this.bin(this.u16());
      case 0xc6:
        return this.bin(this.u32());
      case 0xc7:
        return this.ext(this.byte());
      case 0xc8:
        return this.ext(this.u16());
      case 0xc9:
        return this.ext(this.u32());
      case 0xca:
        return view.getFloat32(this.take(4));
      case 0xcb:
        return view.getFloat64(this.take(8));
      case 0xcc:
        return this.byte();
      case 0xcd:
        return this.u16();
      case 0xce:
        return this.u32();
      case 0xcf:
        return narrow(view.getBigUint64(this.take(8)));
      case 0xd0:
        return view.getInt8(this.take(1));
      case 0xd1:
        return view.getInt16(this.take(2));
      case 0xd2:
        return view.getInt32(this.take(4));
      case 0xd3:
        return narrow(view.getBigInt64(this.take(8)));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.ext(1 << (head - 0xd4));
      case 0xd9:
        return this.text(this.byte());
      case 0xda:
        return this.text(this.u16());
      case 0xdb:
        return this.text(this.u32());
      case 0xdc:
        return this.array(this.u16(), depth);
      case 0xdd:
        return this.array(this.u32(), depth);
      case 0xde:
        return this.map(this.u16(), depth);
      case 0xdf:
        return this.map(this.u32(), depth);
      default:
        throw new UndecodableError("no value begins with 0xc1");
    }
  }

  private text(length: number): string {
    const start = this.take(length);
    const { bytes } = this;
    if (length <= SHORT) {
      let text = "";
      for (let at = start; at < this.at; at++) {
        const code = bytes[at]!;
        if (code > 0x7f) return this.longText(start, length);
        text += String.fromCharCode(code);
      }
      return text;
    }
    return this.longText(start, length);
  }

  private longText(start: number, length: number): string {
    const text = this.bytes.toString("utf8", start, start + length);
    // Bytes that are not UTF-8 became U+FFFD, which may of course also stand in the text itself.
    if (text.includes("\ufffd") && !isUtf8(this.bytes.subarray(start, start + length))) {
      throw new UndecodableError("a text is not UTF-8");
    }
    return text;
  }

  private bin(length: number): Uint8Array {
    const start = this.take(length);
    return Uint8Array.prototype.slice.call(this.plain(), start, start + length);
  }

  /** The bytes as a `Uint8Array`, whose copies are of that class too. */
  private plain(): Uint8Array {
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
  }

  private ext(length: number): unknown {
    const type = this.byte();
    const start = this.take(length);
    if (type !== EXT_TYPED) throw new UndecodableError(`ext type ${type} is not a value of this protocol`);
    return readTyped(this.plain().subarray(start, start + length));
  }

  private enter(elements: number, least: number): void {
    this.elements += elements;
    if (this.elements > MAX_ELEMENTS) throw new UndecodableError(`more than ${MAX_ELEMENTS} elements`);
    // Every element takes at least one byte, so a claim beyond the bytes left is a lie.
    if (least > this.end - this.at) throw new UndecodableError("the bytes end inside a value");
  }

  private array(count: number, depth: number): unknown[] {
    if (depth === MAX_DEPTH) throw new UndecodableError(`nested more than ${MAX_DEPTH} deep`);
    this.enter(count, count);
    const array: unknown[] = [];
    for (let at = 0; at < count; at++) array.push(this.any(depth + 1));
    return array;
  }

  private map(count: number, depth: number): Record<string, unknown> {
    if (depth === MAX_DEPTH) throw new UndecodableError(`nested more than ${MAX_DEPTH} deep`);
    this.enter(2 * count, 2 * count);
    const map: Record<string, unknown> = {};
    for (let at = 0; at < count; at++) {
      const key = this.key();
      const value = this.any(depth + 1);
      if (key === "__proto__") {
        if (Object.hasOwn(map, key)) throw twice(key);
        // An own property like any other: the prototype of the object stays what it is.
        Object.defineProperty(map, key, { value, enumerable: true, writable: true, configurable: true });
      } else {
        map[key] = value;
      }
    }
    if (count > 1 && Object.keys(map).length !== count) throw twice("a key");
    return map;
  }

  private key(): string {
    const head = this.byte();
    if (head >> 5 === 5) return this.text(head & 0x1f);
    const length = head === 0xd9 ? this.byte() : head === 0xda ? this.u16() : head === 0xdb ? this.u32() : -1;
    if (length < 0) throw new UndecodableError("a key of a map is not text");
    if (length > MAX_KEY) throw new UndecodableError(`a key is longer than ${MAX_KEY} bytes`);
    return this.text(length);
  }
}

function twice(key: string): UndecodableError {
  return new UndecodableError(`${key} stands twice in a map`);
}

function narrow(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

/**
 * The value that bytes are; throws {@link UndecodableError} where they are none.
 *
 * ```ts
 * const value: unknown = decode(encode({ a: 1 }));            // { a: 1 }
 * try {
 *   decode(new Uint8Array([0xc1]));
 * } catch (error) {
 *   if (error instanceof UndecodableError) console.log(error.message);
 * }
 * ```
 */
export function decode(bytes: Uint8Array): unknown {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return new Reader().value(buffer, 0, buffer.length);
}
