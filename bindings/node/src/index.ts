/**
 * Call functions in other processes and languages as if local.
 *
 * ```ts
 * import { connect, service } from "procall";
 *
 * await service("calc", { add: (a: number, b: number) => a + b }).run();   // in one process
 * const calc = await connect("calc");                                       // in another
 * console.log(await calc.add(1, 2));
 * ```
 */

export type { OutputLine, PoolEvent } from "./audience.js";
export type { CallOptions, NotifyOptions, Params, Progress } from "./call.js";
export { type Client, type ClientBase, connect, type ConnectOptions, type DeclaredError, type MethodInfo, type Registration } from "./client.js";
export { type CodeInfo, CODES, type ErrorCode, type Executed } from "./codes.js";
export { Context, context, type Peer } from "./context.js";
export { type ErrorClass, method, type MethodOptions } from "./described.js";
export { decode } from "./decode.js";
export { encode } from "./encode.js";
export { type ErrorInfo, type FieldError, ProcallError, UndecodableError, UnencodableError } from "./errors.js";
export type { Health, Latency, Metrics, PoolStats, WorkerInfo } from "./figures.js";
export { type MapOptions, Mapped } from "./mapping.js";
export { offload, type Offloaded, type OffloadOptions } from "./offload.js";
export { type Answer, type BroadcastOptions, type Outcome, Pool, PoolBase, type PoolOptions } from "./pool.js";
export type { Dynamic, MethodsOf, Remote, StreamCalls, Streams, TypedCall } from "./remote.js";
export { type Running, type RunOptions, Service, service, type ServiceOptions } from "./service.js";
export type { Schema } from "./signature.js";
export type { AnySchema, StandardSchema } from "./validation.js";
export type { Infer } from "./infer.js";
export { Stream } from "./stream.js";
export { type Dtype, DTYPES, type NumberArray, TypedBuffer } from "./typed.js";
