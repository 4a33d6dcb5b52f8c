/** From functions, objects and class instances to methods. */

import { declaredErrors } from "./declared.js";
import { type ErrorClass, type MethodOptions, undescribed } from "./described.js";
import { ProcallError } from "./errors.js";
import { type Schema, schemaOf, type Signature, signatureOf, signatureOfSchema } from "./signature.js";
import { jsonSchemaOf, type Validate, validateOf } from "./validation.js";

/** One method of a service. */
export interface Method {
  readonly name: string;
  readonly call: (args: unknown[]) => unknown;
  readonly options: MethodOptions;
  readonly itemsIn: boolean;
  readonly itemsOut: boolean;
  readonly signature: Signature;
  readonly input: Input | undefined;
  readonly output: Validate | undefined;
  readonly errors: readonly ErrorClass[];
  readonly paramsSchema: Schema | undefined;
  readonly resultSchema: Schema | undefined;
}

/** What is done with the arguments before the function gets them. */
export interface Input {
  /** Members of the object that the arguments are put together to; none when they are one argument, or a tuple. */
  readonly members: readonly string[] | undefined;
  /** The function takes them one by one, although they are looked at together. */
  readonly apart: boolean;
  /** The arguments are a tuple. */
  readonly tuple: boolean;
  readonly validate: Validate;
}

type AnyFunction = (...args: unknown[]) => unknown;

/** Names that the methods of a class instance cannot have, because they mean something else in it. */
const RESERVED = new Set(["run", "start", "stop"]);
/** Names that every object has. */
const COMMON = new Set(["constructor", "toString", "toLocaleString", "toJSON", "valueOf", "then"]);

/** The methods of an object: its own functions; of a class instance, also the public methods of its class. */
export function methodsOf(target: object, options: Readonly<Record<string, MethodOptions | undefined>>): Method[] {
  const functions = new Map<string, AnyFunction>();
  const prototype: unknown = Object.getPrototypeOf(target);
  const isInstance = prototype !== Object.prototype && prototype !== null;
  const gather = (from: object): void => {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(from))) {
      const hidden = name.startsWith("_") || COMMON.has(name) || (isInstance && RESERVED.has(name));
      if (typeof value === "function" && !hidden && !functions.has(name)) functions.set(name, value as AnyFunction);
    }
  };
  gather(target);
  // Methods that the class inherits are not offered: an EventEmitter would otherwise let strangers emit.
  if (isInstance) gather(prototype as object);
  for (const name of Object.keys(options)) {
    if (!functions.has(name)) throw new ProcallError("INVALID_ARGUMENT", `there are options for "${name}", but no method of that name`);
  }
  if (functions.size === 0) throw new ProcallError("INVALID_ARGUMENT", "a service without methods cannot serve");
  return Array.from(functions, ([name, fn]) => method(name, fn, target, options[name] ?? {}));
}

function method(name: string, given: AnyFunction, target: object, more: MethodOptions): Method {
  const { fn, options: own } = undescribed(given);
  const options: MethodOptions = { ...own, ...more };
  if (options.input !== undefined && options.params !== undefined) {
    throw new ProcallError("INVALID_ARGUMENT", `${name} has both input and params: input for a function of one object, params for one of several arguments`);
  }
  const kind = (fn as { [Symbol.toStringTag]?: string })[Symbol.toStringTag];
  const itemsIn = options.itemsIn === true;
  const itemsOut = options.itemsOut ?? (kind === "AsyncGeneratorFunction" || kind === "GeneratorFunction");
  const call = (args: unknown[]): unknown => Reflect.apply(fn, target, args);
  const plain = signatureOf(fn);
  const behind = itemsIn ? withoutFirst(plain) : plain;
  const described = options.input === undefined ? undefined : inputOf(name, options.input, behind);
  const signature = options.params !== undefined ? signatureOfSchema(options.params) : (described?.signature ?? behind);
  const together = options.params && { members: signature.names, apart: true, tuple: false, validate: validateOf(name, options.params) };
  return {
    name,
    call,
    options,
    itemsIn,
    itemsOut,
    signature,
    input: together ?? described?.input,
    output: options.output === undefined ? undefined : validateOf(name, options.output),
    errors: declaredErrors(name, options.errors),
    paramsSchema: options.params ?? (described === undefined ? schemaOf(signature) : described.schema),
    resultSchema: options.result ?? (options.output === undefined ? undefined : jsonSchemaOf(options.output, "output")),
  };
}

/** How a method takes what its schema of input describes. */
function inputOf(
  method: string,
  schema: NonNullable<MethodOptions["input"]>,
  own: Signature,
): { input: Input; signature: Signature; schema: Schema | undefined } {
  const validate = validateOf(method, schema);
  const json = jsonSchemaOf(schema, "input");
  const places = json?.["type"] === "array" ? (json["prefixItems"] ?? json["items"]) : undefined;
  if (Array.isArray(places)) {
    const least = Number(json?.["minItems"] ?? 0);
    const names = places.map((_, at) => own.names[at] || `_${at + 1}`);
    const required = names.map((_, at) => at < least);
    const properties = Object.fromEntries(names.map((name, at) => [name, places[at] as unknown]));
    return {
      input: { members: undefined, apart: true, tuple: true, validate },
      signature: { names, required, takesWhole: false, variadic: false },
      schema: { type: "object", properties, required: names.filter((_, at) => required[at]), "x-order": names },
    };
  }
  const open = json?.["additionalProperties"] !== undefined && json["additionalProperties"] !== false;
  if (json?.["type"] === "object" && json["properties"] !== undefined && !open) {
    const signature = { ...signatureOfSchema(json), takesWhole: false, gathers: true };
    return { input: { members: signature.names, apart: false, tuple: false, validate }, signature, schema: json };
  }
  // One argument, which an object of any members may be.
  const whole = json === undefined || json["type"] === "object" || json["type"] === undefined;
  const name = own.names[0] || "input";
  return {
    input: { members: undefined, apart: false, tuple: false, validate },
    signature: { names: [name], required: [true], takesWhole: whole, variadic: false },
    schema: json?.["type"] === "object" ? json : { type: "object", properties: { [name]: json ?? {} }, required: [name] },
  };
}

/** The signature behind the stream that a method takes as its first parameter. */
function withoutFirst({ names, required, variadic }: Signature): Signature {
  return { names: names.slice(1), required: required.slice(1), takesWhole: names.length === 2 && !variadic, variadic };
}

/** What is registered of a method. */
export function infoOf(service: string, method: Method): Record<string, unknown> {
  const { options } = method;
  return {
    name: method.name.includes(".") ? method.name : `${service}.${method.name}`,
    description: options.description,
    params: namesOf(method),
    params_schema: method.paramsSchema,
    result_schema: method.resultSchema,
    idempotent: options.idempotent === true,
    errors: method.errors.length === 0 ? undefined : method.errors.map(({ name }) => ({ name })),
    shape: method.itemsIn ? (method.itemsOut ? "duplex" : "items_in") : method.itemsOut ? "items_out" : "unary",
  };
}

/** The names of the parameters, so that others may send them either way; none where the schema does not know them one by one. */
function namesOf({ signature: { names, variadic }, paramsSchema }: Method): readonly string[] | undefined {
  if (variadic || names.includes("")) return undefined;
  if (paramsSchema === undefined) return names;
  const properties = paramsSchema["properties"];
  if (typeof properties !== "object" || properties === null) return undefined;
  return names.every((name) => Object.hasOwn(properties, name)) ? names : undefined;
}
