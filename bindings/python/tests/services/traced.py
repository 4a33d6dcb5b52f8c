"""Calls with spans: a program that uses OpenTelemetry, whose spans it prints."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import procall
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("program")

calc = procall.Service("calc")


def current() -> str:
    return f"{trace.get_current_span().get_span_context().span_id:016x}"


@calc.method
def add(a: int, b: int = 1) -> int:
    with tracer.start_as_current_span("adding"):
        return a + b


@calc.method
def whole(*args: int, **kwargs: int) -> int:
    return sum(args) + sum(kwargs.values())


@calc.method
async def slowly(a: int) -> int:
    await asyncio.sleep(0)
    with tracer.start_as_current_span("waiting"):
        return a


@calc.method
def fail() -> None:
    raise ValueError("no luck")


@calc.method
def count(ctx: procall.Context, n: int) -> Iterator[str]:
    for _ in range(n):
        yield f"{current()} {ctx.meta['tenant']}"


@calc.method
async def count_slowly(n: int) -> AsyncIterator[str]:
    for _ in range(n):
        yield current()


def told() -> list[dict[str, object]]:
    found = [json.loads(span.to_json()) for span in spans.get_finished_spans()]
    spans.clear()
    return [
        {
            "name": span["name"],
            "kind": span["kind"].removeprefix("SpanKind."),
            "trace": span["context"]["trace_id"],
            "id": span["context"]["span_id"].removeprefix("0x"),
            "parent": (span["parent_id"] or "").removeprefix("0x"),
            "status": span["status"]["status_code"],
            "attributes": dict(span["attributes"]),
        }
        for span in found
    ]


def blocking() -> dict[str, object]:
    result: dict[str, object] = {}
    with calc.client() as client:
        for name, call in {
            "attribute": lambda: client.add(1, 2),
            "call": lambda: client.options(deadline=9).call("calc.add", 1, b=2),
            "whole": lambda: client.whole(1, 2, 3),
            "submit": lambda: client.submit("slowly", 6).result(),
            "map": lambda: list(client.map("add", [(1, 2)])),
            "stream": lambda: list(client.options(meta={"tenant": "t"}).count(2)),
            "batch": lambda: client.batch([("add", (1, 2))])[0].result(),
        }.items():
            with tracer.start_as_current_span("main") as main:
                value = call()
                root = f"{main.get_span_context().span_id:016x}"
            # A handler's span ends before its answer leaves, but for a stream, whose end is last.
            result[name] = {"value": value, "root": root, "spans": told()}
        try:
            client.fail()
        except procall.HandlerError:
            result["fail"] = {"spans": told()}
    return result


async def loop() -> dict[str, object]:
    result: dict[str, object] = {}
    async with calc.aio_client() as client:
        with tracer.start_as_current_span("main") as main:
            value = await asyncio.gather(client.slowly(1), client.add(1, 2))
            root = f"{main.get_span_context().span_id:016x}"
        result["gather"] = {"value": value, "root": root, "spans": told()}
        with tracer.start_as_current_span("main"):
            value = [item async for item in client.count_slowly(2)]
        result["stream"] = {"value": value, "spans": told()}
    return result


print(json.dumps({"blocking": blocking(), "loop": asyncio.run(loop())}))
