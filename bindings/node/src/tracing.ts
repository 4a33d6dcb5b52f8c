/**
 * Spans of calls, for programs that use OpenTelemetry. Not for users of the package.
 *
 * The API is the program's own: it is looked for once the program has registered something with it, under the symbol by which all copies of
 * the API know each other. Until then a call costs the look at that symbol.
 */

import type { ProcallError } from "./errors.js";

/** What is used of the API. */
interface Api {
  readonly trace: {
    getTracer(name: string): { startSpan(name: string, options: object, context: unknown): Span };
    setSpan(context: unknown, span: Span): unknown;
  };
  readonly context: { active(): unknown; with<R>(context: unknown, f: () => R): R };
  readonly propagation: { inject(context: unknown, carrier: object): void; extract(context: unknown, carrier: object): unknown };
  readonly ROOT_CONTEXT: unknown;
  readonly SpanKind: { readonly SERVER: number; readonly CLIENT: number };
  readonly SpanStatusCode: { readonly ERROR: number };
}

interface Span {
  end(): void;
  isRecording(): boolean;
  setAttribute(name: string, value: string): unknown;
  recordException(error: Error): void;
  setStatus(status: { code: number; message: string }): unknown;
}

const REGISTERED = Symbol.for("opentelemetry.js.api.1");

/** `null` when it was looked for in vain. */
let api: Api | null | undefined;

function theApi(): Api | undefined {
  const registered = (globalThis as { [REGISTERED]?: { trace?: unknown } })[REGISTERED];
  if (registered?.trace === undefined) return undefined;
  if (api === undefined) {
    try {
      api = require("@opentelemetry/api") as Api;
    } catch {
      // It is bundled into the program, or lies where this package cannot see it: there are no spans then.
      api = null;
    }
  }
  return api ?? undefined;
}

function begin(api: Api, method: string, kind: number, context: unknown): Span {
  const dot = method.lastIndexOf(".");
  const attributes = { "rpc.system": "procall", "rpc.service": method.slice(0, Math.max(dot, 0)), "rpc.method": method.slice(dot + 1) };
  return api.trace.getTracer("procall").startSpan(method, { kind, attributes }, context);
}

function failed(api: Api, span: Span, code: string, message: string, executed?: string): void {
  if (!span.isRecording()) return;
  span.setAttribute("error.type", code);
  if (executed !== undefined) span.setAttribute("procall.executed", executed);
  span.setStatus({ code: api.SpanStatusCode.ERROR, message });
}

/** The span of a call that this side makes. */
export class CallSpan {
  private constructor(
    private readonly api: Api,
    private readonly span: Span,
    /** What joins the metadata of the call. */
    readonly meta: Readonly<Record<string, unknown>>,
  ) {}

  /** Of a call with this metadata, which counts before what the span says; `undefined` for a program without OpenTelemetry. */
  static of(method: string, meta: Readonly<Record<string, unknown>> | undefined): CallSpan | undefined {
    const api = theApi();
    if (api === undefined) return undefined;
    const active = api.context.active();
    const span = begin(api, method, api.SpanKind.CLIENT, active);
    const carrier: Record<string, unknown> = {};
    api.propagation.inject(api.trace.setSpan(active, span), carrier);
    return new CallSpan(api, span, { ...carrier, ...meta });
  }

  end(error?: ProcallError): void {
    if (error !== undefined) failed(this.api, this.span, error.code, error.message, error.executed);
    this.span.end();
  }
}

/** The metadata of a notification, with the trace that it belongs to. */
export function noticed(meta: Readonly<Record<string, unknown>> | undefined): Readonly<Record<string, unknown>> | undefined {
  const api = theApi();
  if (api === undefined) return meta;
  const carrier: Record<string, unknown> = {};
  api.propagation.inject(api.context.active(), carrier);
  return { ...carrier, ...meta };
}

/** The span of a call that a handler of this side answers. */
export class HandlerSpan {
  private constructor(
    private readonly api: Api,
    private readonly span: Span,
    private readonly context: unknown,
  ) {}

  /** Of a call with this metadata; `undefined` for a program without OpenTelemetry. */
  static of(method: string, meta: () => Readonly<Record<string, unknown>>): HandlerSpan | undefined {
    const api = theApi();
    if (api === undefined) return undefined;
    const texts = Object.entries(meta()).filter(([, value]) => typeof value === "string");
    const caller = api.propagation.extract(api.ROOT_CONTEXT, Object.fromEntries(texts));
    const span = begin(api, method, api.SpanKind.SERVER, caller);
    return new HandlerSpan(api, span, api.trace.setSpan(caller, span));
  }

  /** Runs the handler, or a part of it, so that the span is the active one. */
  run<R>(f: () => R): R {
    return this.api.context.with(this.context, f);
  }

  /** What the handler threw. */
  threw(error: unknown): void {
    if (error instanceof Error && this.span.isRecording()) this.span.recordException(error);
  }

  end(code?: string, message = ""): void {
    if (code !== undefined) failed(this.api, this.span, code, message);
    this.span.end();
  }
}
