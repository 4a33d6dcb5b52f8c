// The values of `spec/values`: each comes back as it went, or is refused.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { decode, encode } from "procall";

const SHORT = 4096;
const corpus = JSON.parse(readFileSync(new URL("../../../spec/values/corpus.json", import.meta.url), "utf8"));
const good = corpus.filter((entry) => entry.refused === undefined);

const unhex = (long) => Buffer.from(typeof long === "string" ? long : long.map((part) => (typeof part === "string" ? part : part[0].repeat(part[1]))).join(""), "hex");

/** What came back, as bytes, with what the corpus wants of a way through this language. */
function compare(entry, back) {
  const wanted = unhex(entry.through?.node ?? entry.back ?? entry.hex);
  if (Number.isNaN(back)) return Number.isNaN(decode(wanted)) ? [] : [`${entry.name}: NaN`];
  const found = encode(back);
  const start = (bytes) => Buffer.from(bytes).toString("hex", 0, 40);
  return found.equals(wanted) ? [] : [`${entry.name}: ${start(found)} instead of ${start(wanted)}`];
}

export async function roundTrips(pool) {
  const wrong = [];
  for (const entry of good) {
    try {
      wrong.push(...compare(entry, await pool.call("echo", [decode(unhex(entry.hex))])));
    } catch (error) {
      wrong.push(`${entry.name}: ${error}`);
    }
  }
  assert.deepEqual(wrong, []);
}

export async function bothWays(pool) {
  const entries = good.filter((entry) => unhex(entry.hex).length <= SHORT);
  const items = entries.map((entry) => decode(unhex(entry.hex)));
  const wrong = [];
  let at = 0;
  for await (const back of pool.stream("mirror", [], { items })) {
    wrong.push(...compare(entries[at], back));
    at += 1;
  }
  assert.deepEqual(wrong, []);
  assert.equal(at, entries.length);
  for await (const item of pool.stream("mirror", [], { items: [] })) assert.fail(`an item ${item}`);
}

export async function refusals(pool) {
  const wrong = [];
  for (const entry of corpus.filter((entry) => entry.value !== undefined)) {
    const value = native(entry.value);
    if (value === undefined) continue;
    const outcome = await pool.call("echo", [value]).then(() => "it came back", (error) => `${error.code} ${error.executed}`);
    if (outcome !== "INVALID_ARGUMENT no") wrong.push(`${entry.name}: ${outcome}`);
  }
  assert.deepEqual(wrong, []);
  await assert.rejects(pool.call("too_large"), { code: "INVALID_RESULT", executed: "yes" });
  // Nobody has been harmed.
  assert.equal(await pool.call("add", [1, 2]), 3);
}

/** A value that must be refused; undefined where this language cannot make it: an object has no key twice. */
function native(told) {
  const [[kind, content]] = Object.entries(told);
  switch (kind) {
    case "int":
      return BigInt(content);
    case "utf16":
      return String.fromCharCode(...content.match(/.{4}/g).map((unit) => Number.parseInt(unit, 16)));
    case "array":
      return content.map(native);
    case "nested": {
      let value = [];
      for (let depth = 1; depth < content; depth += 1) value = [value];
      return value;
    }
    case "map": {
      const entries = new Map(content.map(([key, value]) => [keyOf(key), native(value)]));
      return entries.size < content.length ? undefined : Object.fromEntries(entries);
    }
    case "map_of_integers":
      return new Map(content.map(([key, value]) => [Number(key), native(value)]));
    case "elements":
      return new Array(content).fill(0);
    default:
      throw new Error(`no value is called ${kind}`);
  }
}

const keyOf = (told) => (typeof told === "string" ? told : told.repeat ? told.repeat[0].repeat(told.repeat[1]) : native(told));
