/**
 * Arguments against the schemas of their parameters: types, values and members. Not for users of the package.
 *
 * What a schema says beyond that (formats, patterns, references) is not looked at here; nothing is refused that the schema allows.
 */

import type { FieldError } from "./errors.js";
import type { Schema } from "./signature.js";
import { TypedBuffer } from "./typed.js";

/** Adds what is wrong with a value to `errors`; `path` is a JSON pointer to it. */
export type Check = (value: unknown, path: string, errors: FieldError[]) => void;

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  null: (value) => value === null,
  boolean: (value) => typeof value === "boolean",
  integer: (value) => typeof value === "bigint" || Number.isInteger(value),
  number: (value) => typeof value === "bigint" || typeof value === "number",
  string: (value) => typeof value === "string",
  array: Array.isArray,
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value) && !isBuffer(value),
};

/** The check that a schema comes to; `undefined` when it has nothing to say. */
export function checkOf(schema: unknown): Check | undefined {
  if (typeof schema !== "object" || schema === null) return undefined;
  const { type, enum: values, const: only, properties, required, additionalProperties, items, minimum, maximum } = schema as Schema;
  const checks: Check[] = [];
  const types = (Array.isArray(type) ? type : type === undefined ? [] : [type]).map(String);
  if (types.length > 0 && types.every((name) => name in TYPES)) {
    checks.push((value, path, errors) => {
      if (!types.some((name) => TYPES[name]!(value))) errors.push({ path, message: `should be ${types.join(" or ")}, but is ${kindOf(value)}` });
    });
  }
  if (Array.isArray(values) && values.every(isScalar)) {
    checks.push((value, path, errors) => {
      if (!values.includes(value)) errors.push({ path, message: `should be one of ${JSON.stringify(values)}` });
    });
  }
  if (isScalar(only)) {
    checks.push((value, path, errors) => {
      if (value !== only) errors.push({ path, message: `should be ${JSON.stringify(only)}` });
    });
  }
  if (typeof minimum === "number" || typeof maximum === "number") {
    checks.push((value, path, errors) => {
      if (typeof value !== "number" && typeof value !== "bigint") return;
      if (typeof minimum === "number" && value < minimum) errors.push({ path, message: `should be at least ${minimum}` });
      if (typeof maximum === "number" && value > maximum) errors.push({ path, message: `should be at most ${maximum}` });
    });
  }
  const element = checkOf(items);
  if (element !== undefined) {
    checks.push((value, path, errors) => {
      if (Array.isArray(value)) value.forEach((item, at) => element(item, `${path}/${at}`, errors));
    });
  }
  if (isRecord(properties) || Array.isArray(required)) {
    checks.push(membersOf(isRecord(properties) ? properties : {}, Array.isArray(required) ? required.map(String) : [], additionalProperties === false));
  }
  if (checks.length === 0) return undefined;
  return (value, path, errors) => {
    for (const check of checks) check(value, path, errors);
  };
}

function membersOf(properties: Readonly<Record<string, unknown>>, required: readonly string[], closed: boolean): Check {
  const members = Object.entries(properties).map(([name, schema]) => [name, checkOf(schema)] as const);
  return (value, path, errors) => {
    if (!TYPES["object"]!(value)) return;
    const object = value as Readonly<Record<string, unknown>>;
    for (const name of required) if (!Object.hasOwn(object, name)) errors.push({ path: below(path, name), message: "missing" });
    for (const [name, check] of members) if (check !== undefined && Object.hasOwn(object, name)) check(object[name], below(path, name), errors);
    if (!closed) return;
    for (const name of Object.keys(object)) if (!Object.hasOwn(properties, name)) errors.push({ path: below(path, name), message: "unknown member" });
  };
}

/** The path of a member: a JSON pointer (RFC 6901). */
export function below(path: string, name: string): string {
  return `${path}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isScalar(value: unknown): boolean {
  return value === null || ["string", "number", "boolean"].includes(typeof value);
}

function isBuffer(value: unknown): boolean {
  return ArrayBuffer.isView(value) || value instanceof TypedBuffer;
}

function kindOf(value: unknown): string {
  if (isBuffer(value)) return value instanceof Uint8Array ? "bytes" : "a typed buffer";
  return Object.keys(TYPES).find((name) => TYPES[name]!(value)) ?? typeof value;
}
