/** Schemas of every make: their JSON Schema, and what they have against a value. */

import { type FieldError, ProcallError } from "./errors.js";
import { below, checkOf } from "./schema.js";
import type { Schema } from "./signature.js";

/** What zod, Valibot, ArkType and others have in common (https://standardschema.dev). */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => unknown;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
    readonly jsonSchema?: unknown;
  };
}

/** A schema: plain JSON Schema (TypeBox schemas are), or one that validates by itself, such as zod's. */
export type AnySchema = StandardSchema<any, any> | Schema | { readonly static: unknown };

/** What a schema takes; `any` for plain JSON Schema. */
export type InputOf<S> = S extends StandardSchema<infer I, unknown> ? I : S extends { readonly static: infer T } ? T : any;
/** What a schema makes of it; `any` for plain JSON Schema. */
export type OutputOf<S> = S extends { readonly "~standard": { readonly types?: { readonly output: infer O } | undefined } }
  ? O
  : S extends { readonly static: infer T }
    ? T
    : any;

/** The value as the schema makes it, or all that is wrong with it. */
export type Validated = { readonly value: unknown } | { readonly fields: readonly FieldError[] };
/** `path` is a JSON pointer to the value. */
export type Validate = (value: unknown, path: string) => Validated | Promise<Validated>;

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[];
}

function standardOf(schema: unknown): StandardSchema["~standard"] | undefined {
  const found = (schema as Partial<StandardSchema>)["~standard"];
  return typeof found?.validate === "function" ? found : undefined;
}

/** A schema as JSON Schema; `undefined` when it cannot be said in it, or does not know how. */
export function jsonSchemaOf(schema: AnySchema, way: "input" | "output"): Schema | undefined {
  if ((typeof schema !== "object" && typeof schema !== "function") || schema === null) {
    throw new ProcallError("INVALID_ARGUMENT", `a schema is JSON Schema as an object, or a schema of zod or the like, not ${String(schema)}`);
  }
  const standard = standardOf(schema);
  if (standard === undefined) return schema as Schema;
  const own = standard.jsonSchema as { readonly [K in typeof way]?: (options: { target: string }) => unknown } | undefined;
  const { toJSONSchema, toJsonSchema } = schema as { toJSONSchema?: (options: object) => unknown; toJsonSchema?: () => unknown };
  try {
    if (typeof own?.[way] === "function") return plain(own[way]({ target: "draft-2020-12" }));
    if (typeof toJSONSchema === "function") return plain(toJSONSchema.call(schema, { io: way }));
    if (typeof toJsonSchema === "function") return plain(toJsonSchema.call(schema));
  } catch {
    // Transforms, dates and the like have no JSON Schema. Others are told less of the method then; the schema itself still validates.
  }
  return undefined;
}

function plain(schema: unknown): Schema {
  return JSON.parse(JSON.stringify(schema)) as Schema;
}

/** What a schema does with a value; `undefined` when it has nothing to say. */
export function validateOf(schema: AnySchema): Validate | undefined {
  const standard = standardOf(schema);
  if (standard !== undefined) {
    const judge = (outcome: unknown, path: string): Validated => {
      const { issues, value } = outcome as { issues?: readonly Issue[]; value?: unknown };
      return issues === undefined ? { value } : { fields: issues.map((issue) => fieldOf(issue, path)) };
    };
    return (value, path) => {
      const outcome = standard.validate(value);
      return outcome instanceof Promise ? outcome.then((found) => judge(found, path)) : judge(outcome, path);
    };
  }
  const check = checkOf(schema);
  if (check === undefined) return undefined;
  return (value, path) => {
    const fields: FieldError[] = [];
    check(value, path, fields);
    return fields.length === 0 ? { value } : { fields };
  };
}

function fieldOf({ message, path = [] }: Issue, start: string): FieldError {
  const steps = path.map((step) => String(typeof step === "object" ? step.key : step));
  return { path: steps.reduce(below, start), message };
}
