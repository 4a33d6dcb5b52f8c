/** Typed buffers: arrays of numbers on the wire, an ext value of type 0x50. Section 17 of the specification. */

import { UndecodableError } from "./errors.js";

/**
 * Element types, in the order of their wire numbers.
 *
 * ```ts
 * const known: boolean = DTYPES.includes("float16");
 * ```
 */
export const DTYPES = [
  "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
  "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
] as const;

/** What an element of a typed buffer is; the names are numpy's. */
export type Dtype = (typeof DTYPES)[number];

/** The typed arrays that travel as typed buffers of one dimension. A `Uint8Array` is bytes instead. */
export type NumberArray =
  | Int8Array | Int16Array | Int32Array | BigInt64Array
  | Uint16Array | Uint32Array | BigUint64Array | Float32Array | Float64Array;

const SIZES = [1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16] as const;
const COMPLEX64 = 13;
const MAX_DIMS = 32;
const MAX_I64 = 2n ** 63n - 1n;
const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

type ArrayClass = { new (buffer: ArrayBuffer): NumberArray };
const CLASSES: readonly (ArrayClass | undefined)[] = [
  undefined, Int8Array, Int16Array, Int32Array, BigInt64Array, undefined, Uint16Array, Uint32Array, BigUint64Array,
  undefined, undefined, Float32Array, Float64Array, undefined, undefined,
];

/**
 * An array of numbers that is more than a JavaScript typed array: several dimensions, or elements such as `float16`.
 *
 * ```ts
 * await model.predict(new TypedBuffer("float32", [2, 3], new Uint8Array(24)));
 * ```
 */
export class TypedBuffer {
  /** What an element is. */
  readonly dtype: Dtype;
  /** Elements in each dimension; none for a single element. */
  readonly shape: readonly number[];
  /** The elements in C order, little-endian. */
  readonly bytes: Uint8Array;

  constructor(dtype: Dtype, shape: readonly number[], bytes: Uint8Array) {
    const number = DTYPES.indexOf(dtype);
    if (number < 0) throw new TypeError(`"${String(dtype)}" is not an element type`);
    if (shape.length > MAX_DIMS) throw new RangeError(`${shape.length} dimensions; at most ${MAX_DIMS} are allowed`);
    const needed = shape.reduce((product, dim) => {
      if (!Number.isSafeInteger(dim) || dim < 0) throw new RangeError(`${dim} is not a number of elements`);
      return product * dim;
    }, SIZES[number]!);
    if (bytes.byteLength !== needed) {
      throw new RangeError(`the shape needs ${needed} bytes, but ${bytes.byteLength} are given`);
    }
    this.dtype = dtype;
    this.shape = shape;
    this.bytes = bytes;
  }

  /** The elements as a typed array, whatever the shape; `undefined` when JavaScript has none for them. */
  get array(): NumberArray | Uint8Array | undefined {
    return this.dtype === "uint8" ? this.bytes : arrayOf(DTYPES.indexOf(this.dtype), this.bytes);
  }
}

/** The wire number of a typed array's elements; -1 for what is no typed array of numbers. */
export function dtypeOf(array: object): number {
  for (let number = 0; number < CLASSES.length; number++) {
    const ArrayClass = CLASSES[number];
    if (ArrayClass !== undefined && array instanceof ArrayClass) return number;
  }
  return -1;
}

/** The bytes of a typed array, little-endian, and how its ext payload begins. */
export function payloadOf(value: NumberArray | TypedBuffer, number: number): [head: Uint8Array, bytes: Uint8Array] {
  const shape = value instanceof TypedBuffer ? value.shape : [value.length];
  const head = new Uint8Array(4 + 8 * shape.length);
  const view = new DataView(head.buffer);
  head[1] = number;
  head[2] = shape.length;
  shape.forEach((dim, at) => view.setBigUint64(4 + 8 * at, BigInt(dim), true));
  if (value instanceof TypedBuffer) return [head, value.bytes];
  const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return [head, LITTLE ? bytes : swapped(bytes, SIZES[number]!)];
}

/** A typed array for one dimension of numbers that JavaScript has an array for, else a {@link TypedBuffer}. The bytes are copied. */
export function readTyped(payload: Uint8Array): NumberArray | TypedBuffer {
  const refuse = (why: string): never => {
    throw new UndecodableError(`the typed buffer ${why}`);
  };
  if (payload.length < 4) return refuse("ends in the middle of its header");
  const [place, number, dims, flags] = payload as unknown as [number, number, number, number];
  if (number >= DTYPES.length) refuse(`has an unknown element type: ${number}`);
  if (flags > 3) refuse(`has an unknown flag: ${flags}`);
  if (dims > MAX_DIMS) refuse(`has ${dims} dimensions; at most ${MAX_DIMS} are allowed`);
  const strided = (flags & 1) !== 0;
  const start = 4 + 8 * dims * (strided ? 2 : 1);
  if (payload.length < start) refuse("ends in the middle of its header");
  if (place > 1) refuse(`has an unknown place: ${place}`);
  if (place === 1) refuse("is in shared memory, which this connection does not have");

  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const size = SIZES[number]!;
  const shape = Array.from({ length: dims }, (_, at) => view.getBigUint64(4 + 8 * at, true));
  const strides = strided
    ? Array.from({ length: dims }, (_, at) => view.getBigInt64(4 + 8 * (dims + at), true))
    : undefined;
  const layout = layoutOf(size, shape, strides, refuse);
  const given = payload.subarray(start);
  if (layout.extent !== BigInt(given.length)) {
    refuse(`needs ${layout.extent} bytes, but ${given.length} are given`);
  }
  // What passed these checks is not larger than the bytes that are there, so it fits a number.
  const lengths = shape.map(Number);
  let bytes = strides === undefined || layout.extent === 0n
    ? given.slice()
    : gathered(given, size, lengths, strides.map(Number), Number(layout.origin));
  if ((flags & 2) !== 0) bytes = swapped(bytes, number >= COMPLEX64 ? size / 2 : size);
  const array = dims === 1 ? arrayOf(number, bytes) : undefined;
  return array ?? new TypedBuffer(DTYPES[number]!, lengths, bytes);
}

function arrayOf(number: number, bytes: Uint8Array): NumberArray | undefined {
  const ArrayClass = CLASSES[number];
  if (ArrayClass === undefined) return undefined;
  const own = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
  return new ArrayClass((LITTLE ? own : swapped(own, SIZES[number]!)).buffer as ArrayBuffer);
}

interface BufferLayout {
  /** Bytes from the lowest to the highest of any element. */
  readonly extent: bigint;
  /** Where the element with index 0 everywhere lies. */
  readonly origin: bigint;
}

function layoutOf(
  size: number,
  shape: readonly bigint[],
  strides: readonly bigint[] | undefined,
  refuse: (why: string) => never,
): BufferLayout {
  const within = (value: bigint): bigint => (value > MAX_I64 ? refuse("has a shape or strides that overflow") : value);
  let packed = BigInt(size);
  for (const dim of shape) if (dim !== 0n) packed = within(packed * dim);
  if (shape.includes(0n)) return { extent: 0n, origin: 0n };
  if (strides === undefined) return { extent: packed, origin: 0n };
  let extent = BigInt(size);
  let origin = 0n;
  shape.forEach((dim, at) => {
    const stride = strides[at]!;
    const reach = within((stride < 0n ? -stride : stride) * (dim - 1n));
    extent = within(extent + reach);
    if (stride < 0n) origin += reach;
  });
  if (packed > extent) refuse("has elements that overlap");
  return { extent, origin };
}

/** The elements in C order. */
function gathered(bytes: Uint8Array, size: number, shape: readonly number[], strides: readonly number[], origin: number): Uint8Array {
  const packed = new Uint8Array(shape.reduce((product, dim) => product * dim, size));
  const index = shape.map(() => 0);
  let from = origin;
  for (let to = 0; to < packed.length; to += size) {
    packed.set(bytes.subarray(from, from + size), to);
    // Count up like an odometer, the last dimension first.
    for (let dim = shape.length - 1; dim >= 0; dim--) {
      if (++index[dim]! < shape[dim]!) {
        from += strides[dim]!;
        break;
      }
      from -= strides[dim]! * (shape[dim]! - 1);
      index[dim] = 0;
    }
  }
  return packed;
}

function swapped(bytes: Uint8Array, size: number): Uint8Array {
  const copy = bytes.slice();
  for (let at = 0; at < copy.length; at += size) copy.subarray(at, at + size).reverse();
  return copy;
}
