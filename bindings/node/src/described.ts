/** Functions together with what is said of them: schemas, errors, and whether they may be repeated. */

import { ProcallError } from "./errors.js";
import type { Schema } from "./signature.js";
import type { AnySchema, InputOf, OutputOf } from "./validation.js";

/** A class of errors that a method may throw. */
export type ErrorClass = abstract new (...args: any[]) => Error;

/** What is said of a method beside its function. */
export interface MethodOptions {
  /** What it does, in a sentence. */
  readonly description?: string | undefined;
  /**
   * What the function takes as its only argument. The members of an object are the parameters for everyone else, by name or by position in their
   * order; a tuple is the function's arguments. JSON Schema, or what gives it: zod, TypeBox, any other Standard Schema.
   */
  readonly input?: AnySchema | undefined;
  /** What it answers, or each item of its stream; what is not so is an INVALID_RESULT. */
  readonly output?: AnySchema | undefined;
  /** JSON Schema of the params, for a function with one parameter a property: an object with one property a parameter. */
  readonly params?: Schema | undefined;
  /** JSON Schema of the result, or of one item: only told to others, not checked. */
  readonly result?: Schema | undefined;
  /** It may run more than once without harm. */
  readonly idempotent?: boolean | undefined;
  /** Own error classes: they travel with their name, message and own fields, and callers that know the class get an instance of it. */
  readonly errors?: readonly ErrorClass[] | undefined;
  /** It returns an iterable whose values are to be sent as a stream. Needless for generators. */
  readonly itemsOut?: boolean | undefined;
  /** The caller sends a stream: the method's first parameter is an async iterable of its items. */
  readonly itemsIn?: boolean | undefined;
}

type AnyFunction = (...args: any[]) => unknown;

type Fixed<T> = T extends readonly unknown[] ? (number extends T["length"] ? [T] : T) : [T];
/** Arguments of the function, after its schema has seen them. */
type Taken<I> = Fixed<OutputOf<I>> extends infer A extends readonly unknown[] ? [...A] : never;
/** Arguments that callers give. */
type Given<I> = Fixed<InputOf<I>> extends infer A extends readonly unknown[] ? [...A] : never;
type Answered<O> = unknown extends O
  ? unknown
  : InputOf<O> | PromiseLike<InputOf<O>> | AsyncIterable<InputOf<O>> | Generator<InputOf<O>, unknown, unknown>;

const described = new WeakMap<AnyFunction, { readonly fn: AnyFunction; readonly options: MethodOptions }>();

/**
 * A method with what is said of it.
 *
 * ```ts
 * await service("calc", {
 *   divide: method(
 *     { input: z.object({ a: z.number(), b: z.number() }), output: z.number(), idempotent: true },
 *     ({ a, b }) => a / b,
 *   ),
 * }).run();
 * ```
 */
export function method<I extends AnySchema, O, R extends Answered<O>>(
  options: Omit<MethodOptions, "input" | "output" | "params"> & { readonly input: I; readonly output?: O & AnySchema },
  fn: (...args: Taken<I>) => R,
): (...args: Given<I>) => R;
export function method<O, F extends (...args: any[]) => Answered<O>>(
  options: Omit<MethodOptions, "input" | "output"> & { readonly input?: never; readonly output?: O & AnySchema },
  fn: F,
): F;
export function method(options: object, fn: AnyFunction): AnyFunction {
  if (typeof options !== "object" || options === null || typeof fn !== "function") {
    throw new ProcallError("INVALID_ARGUMENT", "method takes options and a function, such as method({ idempotent: true }, (a, b) => a + b)");
  }
  const known = described.get(fn);
  const wrapped = function (this: unknown, ...args: unknown[]): unknown {
    return Reflect.apply(fn, this, args);
  };
  described.set(wrapped, { fn: known?.fn ?? fn, options: { ...known?.options, ...options } });
  return wrapped;
}

/** The function that {@link method} was given, and the options. */
export function undescribed(fn: AnyFunction): { readonly fn: AnyFunction; readonly options: MethodOptions } {
  return described.get(fn) ?? { fn, options: {} };
}
