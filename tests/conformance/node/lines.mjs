// The lines of a subject: JSON, one object a line, with marks for values that JSON has no word for.
import { createInterface } from "node:readline";

const CYCLE = Buffer.from(Array.from({ length: 251 }, (_, i) => i));

/** The bytes that everybody knows: 0 to 250, again and again. */
export const fill = (size) => Buffer.alloc(size, CYCLE);
export const isFill = (data) => fill(data.length).equals(data);

/** A value of a line as the language's own. */
export function read(value) {
  if (Array.isArray(value)) return value.map(read);
  if (typeof value !== "object" || value === null) return value;
  const keys = Object.keys(value);
  const [mark] = keys;
  if (keys.length === 1) {
    const content = value[mark];
    switch (mark) {
      case "$bytes":
        return Buffer.from(content, "base64");
      case "$fill":
        return fill(content);
      case "$int":
        return BigInt(content);
      case "$float":
        return Number(content.replace("inf", "Infinity"));
    }
  }
  return made(keys.map((key) => [key.startsWith("$$") ? key.slice(1) : key, read(value[key])]));
}

/** A value of the language as one for a line. */
export function write(value) {
  if (value instanceof Uint8Array) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
    return bytes.length > 256 && isFill(bytes) ? { $fill: bytes.length } : { $bytes: bytes.toString("base64") };
  }
  if (Array.isArray(value)) return value.map(write);
  switch (typeof value) {
    case "bigint":
      return { $int: String(value) };
    case "number":
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) return value;
      if (Object.is(value, -0)) return { $float: "-0" };
      return Number.isFinite(value) && !Number.isInteger(value) ? value : { $float: String(value) };
    case "object":
      if (value !== null) return made(Object.entries(value).map(([key, each]) => [key.startsWith("$") ? `$${key}` : key, write(each)]));
  }
  return value;
}

/** An object with these entries, whatever their names. */
function made(entries) {
  const object = Object.create(null);
  for (const [key, value] of entries) object[key] = value;
  return object;
}

export async function* lines() {
  for await (const line of createInterface({ input: process.stdin })) yield read(JSON.parse(line));
}

export const say = (message) => process.stdout.write(`${JSON.stringify(write(message))}\n`);
