// A program that uses OpenTelemetry, with a service and its client; it prints the spans of each call.
import { AsyncLocalStorage } from "node:async_hooks";

import { context as otel, propagation, ROOT_CONTEXT, SpanKind, trace } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { connect, context, service } from "procall";

const storage = new AsyncLocalStorage();
otel.setGlobalContextManager({
  active: () => storage.getStore() ?? ROOT_CONTEXT,
  with: (active, f, self, ...args) => storage.run(active, () => f.call(self, ...args)),
  bind: (active, f) => (...args) => storage.run(active, () => f(...args)),
  enable() {
    return this;
  },
  disable() {
    return this;
  },
});
propagation.setGlobalPropagator(new W3CTraceContextPropagator());
const spans = new InMemorySpanExporter();
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }));
const tracer = trace.getTracer("program");
const active = () => trace.getActiveSpan()?.spanContext().spanId;
let noticed;
const notice = new Promise((resolve) => (noticed = resolve));

const running = await service("calc", {
  add: (a, b) => a + b,
  async slowly() {
    await new Promise((resolve) => setImmediate(resolve));
    return [active(), context === undefined];
  },
  fail() {
    throw new TypeError("no luck");
  },
  async *count(n) {
    for (let at = 0; at < n; at++) yield [active(), context().meta.tenant];
  },
  news: () => noticed(true),
}).start({ listen: process.argv[2], onListening() {} });
const client = await connect(running.address);

async function told(make) {
  spans.reset();
  const main = tracer.startSpan("main");
  const value = await otel.with(trace.setSpan(otel.active(), main), make);
  main.end();
  return {
    value,
    main: main.spanContext().spanId,
    spans: spans.getFinishedSpans().map((span) => ({
      name: span.name,
      kind: SpanKind[span.kind],
      trace: span.spanContext().traceId,
      id: span.spanContext().spanId,
      parent: span.parentSpanContext?.spanId,
      status: span.status.code,
      attributes: span.attributes,
      events: span.events.map(({ name }) => name),
    })),
  };
}

const items = async (stream) => {
  const found = [];
  for await (const item of stream) found.push(item);
  return found;
};
const result = {
  add: await told(() => client.add(1, 2)),
  slowly: await told(() => client.slowly()),
  fail: await told(() => client.fail().catch((error) => error.code)),
  count: await told(() => items(client.stream("count", [2], { meta: { tenant: "t" } }))),
  refused: await told(() => client.call("add", [1n << 70n, 2]).catch((error) => error.code)),
  notice: await told(() => {
    client.notify("news");
    return notice;
  }),
};
client.close();
await running.stop();
process.send(result);
process.disconnect();
