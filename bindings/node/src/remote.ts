/** What a client sees of a service, told by the types of its methods alone. */

import type { CallOptions, Params } from "./call.js";
import type { Stream } from "./stream.js";
import type { Service } from "./service.js";

/** Any method, when nothing is known of the service. */
export interface Dynamic {
  readonly [method: string]: any;
}

/** The methods of a class that extends {@link Service} are those of the class itself. */
export interface OwnMethods {
  readonly own: unique symbol;
}

/** Where a service keeps the type of its methods; it has no such member when it runs. */
export declare const METHODS: unique symbol;

/** The methods of `typeof calc`, of a class that extends `Service`, or of an interface. */
export type MethodsOf<S> = typeof METHODS extends keyof S
  ? [Exclude<S[typeof METHODS], undefined>] extends [OwnMethods]
    ? Omit<S, keyof Service>
    : Exclude<S[typeof METHODS], undefined>
  : S;

type Item<R> = Awaited<R> extends AsyncIterable<infer T> ? T : Awaited<R> extends Generator<infer T> ? T : never;
type IsAny<T> = 0 extends 1 & T ? true : false;
/** What the member `F` is to a client. */
type Kind<F> = IsAny<F> extends true
  ? "any"
  : F extends (...args: never[]) => infer R
    ? IsAny<R> extends true
      ? "unary"
      : [Item<R>] extends [never]
        ? "unary"
        : "stream"
    : F extends object
      ? "service"
      : "none";

type Unary<M> = {
  readonly [K in keyof M as Kind<M[K]> extends "unary" | "service" | "any" ? K : never]: Kind<M[K]> extends "any"
    ? M[K]
    : M[K] extends (...args: infer A) => infer R
      ? (...args: A) => Promise<Awaited<R>>
      : Unary<MethodsOf<M[K]>>;
};

type Streamed<M> = {
  readonly [K in keyof M as Kind<M[K]> extends "stream" | "service" | "any" ? K : never]: Kind<M[K]> extends "any"
    ? M[K]
    : M[K] extends (...args: infer A) => infer R
      ? (...args: A) => Stream<Item<R>>
      : Streamed<MethodsOf<M[K]>>;
};

/** The methods of a service that answer with one value, as a client sees them. */
export type Remote<S> = Unary<MethodsOf<S>>;

/** Calls whose answer is a stream: by name, or as members. */
export interface StreamCalls {
  <T = unknown>(method: string, params?: Params, options?: CallOptions): Stream<T>;
}

/** {@link StreamCalls} that know the methods of the service: `client.stream.count(5)`. */
export type Streams<S> = StreamCalls & Omit<Streamed<MethodsOf<S>>, keyof StreamCalls>;

type ParamsOf<F> = F extends (...args: infer A) => unknown ? Readonly<A> | Readonly<Record<string, unknown>> : never;
type AnswerOf<F> = F extends (...args: never[]) => infer P ? P : never;

/** Calls by name that know the methods of the service. */
export interface TypedCall<S> {
  <K extends keyof Remote<S> & string>(method: K, params: ParamsOf<Remote<S>[K]>, options?: CallOptions): AnswerOf<Remote<S>[K]>;
  <R = unknown>(method: string, params?: Params, options?: CallOptions): Promise<R>;
}
