/** The native half: its functions, the numbers of its records, and its errors. Not for users of the package. */

import { join } from "node:path";

import type { ErrorCode, Executed } from "./codes.js";
import type { Peer } from "./context.js";
import { decode } from "./decode.js";
import { type FieldError, ProcallError } from "./errors.js";
import type { Health, Metrics, PoolStats, WorkerInfo } from "./figures.js";

/** Files for TLS; what is not given is what the environment says. */
interface Tls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly clientCa?: string | undefined;
}

/** What the native half exports; `native/` tells what each function does. Absent values are `null`, so that a misspelt one fails. */
export interface Native {
  open(onReady: () => void): void;
  submit(commands: Uint8Array): boolean;
  turn(array: Buffer): number;
  takeBody(number: number): Buffer;
  connect(
    id: number,
    target: string,
    timeout: number,
    inherited: number,
    engine: string | null,
    name: string | null,
    script: string | null,
    tls: Tls,
    transport: string | null,
    compression: boolean | undefined,
  ): void;
  look(id: number): void;
  close(channel: number): Metrics | null;
  pull(id: number, count: number): void;
  send(id: number, item: Uint8Array): number;
  endItems(id: number): void;
  cancel(id: number): void;
  abandon(id: number): void;
  serveParent(description: Uint8Array): number | null;
  serveAt(
    id: number,
    description: Uint8Array,
    listen: string | undefined,
    engine: string | undefined,
    name: string | undefined,
    identity: string | undefined,
    tls: Tls,
    compression: boolean | undefined,
  ): Placed;
  drain(service: number): void;
  isServing(service: number): boolean;
  stop(service: number): void;
  pullServed(served: number, count: number): void;
  sendServed(served: number, item: Uint8Array): number;
  endServed(served: number): void;
  failServed(served: number, map: Uint8Array): void;
  watchServed(served: number): number;
  spawn(id: number, program: Uint8Array, options: Uint8Array): number;
  poolStep(id: number, channel: number, what: number, worker: number | null): void;
  workers(channel: number): WorkerInfo[];
  metrics(channel: number): Metrics;
  health(channel: number): Health;
  stats(channel: number): PoolStats;
  registration(channel: number): Buffer | null;
  waitForEvents(waits: boolean): void;
  closePool(channel: number, notices: number): PoolStats | null;
  caller(number: number, isNotification: boolean): Peer | null;
  /** The metadata of a call that is not answered yet, in MessagePack. */
  meta(served: number): Buffer | null;
  progress(served: number, done: number, total: number | null, text: string): void;
  /** Plain JSON Schema, as JSON. */
  validator(schema: string): object;
  /** The mistakes in a value, an array of `FieldError`; all in MessagePack. */
  mistakes(validator: object, value: Uint8Array): Buffer | null;
}

/** Where a service is to be found: it listens, or the operation of the given number brings it. */
export interface Placed {
  readonly service?: number;
  readonly address?: string;
  readonly engine?: string;
}

/** Events: eight 32-bit numbers each, as `native/records.rs` has them. */
export const EVENTS = 512;
export const EVENT_LEN = 32;
export const REPLY = 1;
export const FAILED = 2;
export const ITEM = 3;
export const END = 4;
export const PROGRESS = 5;
export const SENT = 6;
export const DONE = 7;
export const CALL = 8;
export const SERVED_ITEM = 9;
export const SERVED_END = 10;
export const SERVED_FAILED = 11;
export const SERVED_SENT = 12;
export const CANCELLED = 13;
export const SERVICE_ENDED = 14;
export const NOTICE = 15;
export const PAUSE = 16;

export const ITEMS_IN = 1;
export const ITEMS_OUT = 2;
export const NOTIFICATION = 4;
export const BY_NAME = 8;
export const OWN_BODY = 1 << 16;
export const NONE = 0xffff_ffff;

/** Commands. */
export const START = 1;
export const ANSWER = 2;
export const FAIL = 3;
export const NOTIFY = 4;
export const IDEMPOTENT = 4;
export const WANTS_PROGRESS = 8;
export const KEY = 16;
export const TO = 32;
export const RESTART_WORKER = 64;
export const FOR_ENGINE = 128;

/** What sending an item comes to. */
export const SENT_NOW = 0;
export const SENT_LATER = 1;
export const SENT_NEVER = 2;

/** Whether a caller still wants the answer. */
export const WANTED = 0;
export const WANTED_NO_LONGER = 2;

/** What a pool can be asked for. */
export const STOP = 0;
export const DRAIN = 1;
export const RESTART = 2;

/** Encodings of bodies. */
export const MSGPACK = 1;
export const RAW = 3;

export const native = require(join(__dirname, "..", "procall.node")) as Native;

/** An error map of the native half. */
interface ErrorMap {
  readonly code: ErrorCode;
  readonly executed: Executed;
  readonly message: string;
  readonly remoteType?: string;
  readonly remoteTrace?: string;
  readonly worker?: string;
  readonly retryAfterMs?: number;
  readonly noRetry?: boolean;
  readonly attempts?: number;
  readonly fields: readonly FieldError[];
  readonly candidates: readonly string[];
  readonly chain?: readonly string[];
  readonly details?: Uint8Array;
  readonly cause?: string;
}

/** The error that a map describes. */
export function errorOf(value: unknown): ProcallError {
  const { code, message, details, cause, ...info } = value as ErrorMap;
  let own: { details?: unknown } = {};
  try {
    if (details !== undefined) own = { details: decode(details) };
  } catch {
    // Details that are no value are left out: the error itself matters more.
  }
  return new ProcallError(code, message, { ...info, ...own, ...(cause === undefined ? {} : { cause: new Error(cause) }) });
}

/** Calls the native half; its errors become ours. */
export function calling<T>(f: () => T): T {
  try {
    return f();
  } catch (error) {
    const map = error instanceof Error && /^procall:([0-9a-f]+)$/.exec(error.message)?.[1];
    throw map ? errorOf(decode(Buffer.from(map, "hex"))) : error;
  }
}
