/** Error classes of one's own: what travels of them, and how they come to life at a caller that knows the class. */

import type { ErrorClass } from "./described.js";
import { encode } from "./encode.js";
import { ProcallError } from "./errors.js";

/** Classes by their names, which is how they travel. */
export type KnownErrors = ReadonlyMap<string, ErrorClass>;

/** The classes that a caller knows. */
export function knownErrors(classes: readonly ErrorClass[] | undefined): KnownErrors | undefined {
  if (classes === undefined) return undefined;
  if (!Array.isArray(classes) || !classes.every(isErrorClass)) {
    throw new ProcallError("INVALID_ARGUMENT", "errors are classes that extend Error, such as { errors: [NotAnImage] }");
  }
  return new Map(classes.map((known: ErrorClass) => [known.name, known]));
}

/** The classes that a method declares. */
export function declaredErrors(method: string, classes: readonly ErrorClass[] = []): readonly ErrorClass[] {
  if (Array.isArray(classes) && classes.every(isErrorClass)) return classes;
  throw new ProcallError("INVALID_ARGUMENT", `${method}: errors are classes that extend Error, such as { errors: [NotAnImage] }`);
}

function isErrorClass(value: unknown): value is ErrorClass {
  return typeof value === "function" && (value === Error || value.prototype instanceof Error) && value.name !== "";
}

/** The declared class of an error: its own, or the nearest one that it extends. */
export function declaredOf(error: Error, classes: readonly ErrorClass[]): ErrorClass | undefined {
  let prototype: unknown = error;
  while (typeof prototype === "object" && prototype !== null) {
    prototype = Object.getPrototypeOf(prototype);
    const found = classes.find((declared) => declared.prototype === prototype);
    if (found !== undefined) return found;
  }
  // One that comes from a thread, or from another copy of the module, has only the name.
  const { name } = error as { name?: unknown };
  return classes.find((declared) => declared.name === name);
}

/** Bytes that the details of an error may have: the whole error has to fit a chunk, 64 KiB. */
export const MAX_DETAILS = 24 << 10;

/** What an error has beside its name and message, as far as it can travel; `undefined` when that is nothing. */
export function fieldsOf(error: Error): Record<string, unknown> | undefined {
  const fields: Record<string, unknown> = {};
  let size = 0;
  for (const name of Object.keys(error)) {
    if (name === "name" || name === "message" || name === "stack" || name === "cause") continue;
    try {
      const value = (error as unknown as Record<string, unknown>)[name];
      if (value === undefined) continue;
      const { length } = encode({ [name]: value });
      if (size + length > MAX_DETAILS) continue;
      fields[name] = value;
      size += length;
    } catch {
      // A field that is no value, or that cannot be read, stays behind: the others matter.
    }
  }
  return size > 0 ? fields : undefined;
}

/** The error as an instance of its class, when the caller knows that; its cause is the {@link ProcallError}. */
export function revived(known: KnownErrors | undefined, error: ProcallError): Error {
  const type = error.code === "HANDLER_ERROR" && error.remoteType !== undefined ? known?.get(error.remoteType) : undefined;
  if (type === undefined) return error;
  // Its constructor does not run: nothing is known of what that takes.
  const made = Reflect.construct(Error, [error.message, { cause: error }], type) as Error;
  if (made.name === "Error" && type !== Error) define(made, "name", type.name, false);
  const { details } = error;
  if (typeof details === "object" && details !== null && !Array.isArray(details) && !ArrayBuffer.isView(details)) {
    for (const [name, value] of Object.entries(details)) {
      if (name !== "stack" && name !== "cause" && name !== "message") define(made, name, value, true);
    }
  }
  return made;
}

function define(target: object, name: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(target, name, { value, enumerable, writable: true, configurable: true });
}
