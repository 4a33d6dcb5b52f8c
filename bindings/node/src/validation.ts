/** Schemas of every make: their JSON Schema, and what they have against a value. */

import { decode } from "./decode.js";
import { encode } from "./encode.js";
import { type FieldError, ProcallError } from "./errors.js";
import type { Infer } from "./infer.js";
import { calling, native } from "./native.js";
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

/** A schema: JSON Schema, plain or made by TypeBox, or one that validates by itself, such as zod's. */
export type AnySchema = StandardSchema<any, any> | Schema | { readonly static: unknown } | { readonly "~kind": string };

/** What a schema takes; see {@link Infer} for JSON Schema. */
export type InputOf<S> = S extends StandardSchema<infer I, unknown> ? I : Infer<S>;
/** What a schema makes of it; see {@link Infer} for JSON Schema. */
export type OutputOf<S> = S extends { readonly "~standard": { readonly types?: { readonly output: infer O } | undefined } } ? O : Infer<S>;

/** The value as the schema makes it, or all that is wrong with it. */
export type Validated = { readonly value: unknown } | { readonly fields: readonly FieldError[] };
/** `path` is a JSON pointer to the value. */
export type Validate = (value: unknown, path: string) => Validated | Promise<Validated>;

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[];
}

function standardOf(schema: unknown): StandardSchema["~standard"] | undefined {
  if ((typeof schema !== "object" && typeof schema !== "function") || schema === null) {
    throw new ProcallError("INVALID_ARGUMENT", `a schema is JSON Schema as an object, or a schema of zod or the like, not ${String(schema)}`);
  }
  const found = (schema as Partial<StandardSchema>)["~standard"];
  return typeof found?.validate === "function" ? found : undefined;
}

/** A schema as JSON Schema; `undefined` when it cannot be said in it, or does not know how. */
export function jsonSchemaOf(schema: AnySchema, way: "input" | "output"): Schema | undefined {
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

/** What a schema does with a value. Schemas that do not validate by themselves are left to the native half. */
export function validateOf(method: string, schema: AnySchema): Validate {
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
  const validator = made(method, schema);
  return (value, path) => {
    const mistakes = calling(() => native.mistakes(validator, encode(value)));
    if (mistakes === null) return { value };
    return { fields: (decode(mistakes) as FieldError[]).map((field) => ({ ...field, path: `${path}${field.path}` })) };
  };
}

function made(method: string, schema: unknown): object {
  try {
    return calling(() => native.validator(JSON.stringify(schema)));
  } catch (error) {
    if (!(error instanceof ProcallError)) throw error;
    throw new ProcallError(error.code, `${method}: ${error.message}`, { executed: "no", cause: error });
  }
}

/** The path of a member: a JSON pointer (RFC 6901). */
export function below(path: string, name: string): string {
  return `${path}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

function fieldOf({ message, path = [] }: Issue, start: string): FieldError {
  const steps = path.map((step) => String(typeof step === "object" ? step.key : step));
  return { path: steps.reduce(below, start), message };
}
