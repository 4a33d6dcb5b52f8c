/** From functions, objects and class instances to methods. */

import { ProcallError } from "./errors.js";
import { type Check, checkOf } from "./schema.js";
import { type Schema, schemaOf, type Signature, signatureOf, signatureOfSchema } from "./signature.js";

/** What is said of a method beside its function. */
export interface MethodOptions {
  /** What it does, in a sentence. */
  readonly description?: string;
  /** JSON Schema of the params: an object with one property a parameter. */
  readonly params?: Schema;
  /** JSON Schema of the result, or of one item. */
  readonly result?: Schema;
  /** It may run more than once without harm. */
  readonly idempotent?: boolean;
  /** It returns an iterable whose values are to be sent as a stream. Needless for generators. */
  readonly itemsOut?: boolean;
  /** The caller sends a stream: the method's first parameter is an async iterable of its items. */
  readonly itemsIn?: boolean;
}

/** One method of a service. */
export interface Method {
  readonly name: string;
  readonly call: (args: unknown[]) => unknown;
  readonly options: MethodOptions;
  readonly itemsIn: boolean;
  readonly itemsOut: boolean;
  readonly signature: Signature;
  /** What the schema says of each argument. */
  readonly checks: readonly (Check | undefined)[];
}

type AnyFunction = (...args: unknown[]) => unknown;

/** Names that the methods of a class instance cannot have, because they mean something else in it. */
const RESERVED = new Set(["constructor", "run", "stop"]);

/** The methods of an object: its own functions; of a class instance, also the public methods of its class. */
export function methodsOf(target: object, options: Readonly<Record<string, MethodOptions | undefined>>): Method[] {
  const functions = new Map<string, AnyFunction>();
  const prototype: unknown = Object.getPrototypeOf(target);
  const isInstance = prototype !== Object.prototype && prototype !== null;
  const gather = (from: object): void => {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(from))) {
      const hidden = isInstance && (name.startsWith("_") || RESERVED.has(name));
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

function method(name: string, fn: AnyFunction, target: object, options: MethodOptions): Method {
  const kind = (fn as { [Symbol.toStringTag]?: string })[Symbol.toStringTag];
  const itemsIn = options.itemsIn === true;
  const itemsOut = options.itemsOut ?? (kind === "AsyncGeneratorFunction" || kind === "GeneratorFunction");
  const own = signatureOf(fn);
  const signature =
    options.params !== undefined
      ? signatureOfSchema(options.params)
      : itemsIn
        ? withoutFirst(own)
        : own;
  const properties = (options.params?.["properties"] ?? {}) as Readonly<Record<string, unknown>>;
  const checks = signature.names.map((parameter) => checkOf(properties[parameter]));
  return { name, call: (args) => Reflect.apply(fn, target, args), options, itemsIn, itemsOut, signature, checks };
}

/** The signature behind the stream that a method takes as its first parameter. */
function withoutFirst({ names, required, variadic }: Signature): Signature {
  return { names: names.slice(1), required: required.slice(1), takesWhole: names.length === 2 && !variadic, variadic };
}

/** What is registered of a method. */
export function infoOf(service: string, method: Method): Record<string, unknown> {
  const { options, signature } = method;
  return {
    name: method.name.includes(".") ? method.name : `${service}.${method.name}`,
    description: options.description,
    params_schema: options.params ?? schemaOf(signature),
    result_schema: options.result,
    idempotent: options.idempotent === true,
    shape: method.itemsIn ? (method.itemsOut ? "duplex" : "items_in") : method.itemsOut ? "items_out" : "unary",
  };
}
