// Functions that run in threads.
import { threadId } from "node:worker_threads";

export class NotAnImage extends Error {
  constructor(path) {
    super(`${path} is not an image`);
    this.path = path;
  }
}

export const square = (n) => n * n;
export const thread = async () => threadId;
export const number = 5;

/** Holds its thread until the flag is set. */
export function wait(flag) {
  Atomics.wait(flag, 0, 0);
  return threadId;
}

export function fail(path) {
  throw Object.assign(new NotAnImage(path), { fn() {} });
}

export function throwText() {
  throw "a text";
}

export const closure = () => () => 1;
export const leave = (code) => process.exit(code);
export const crash = () => new Promise(() => setImmediate(() => JSON.parse("{")));
