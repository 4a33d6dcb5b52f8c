"""How load is made and measured in Python; the same as the crate benches/load."""

import json
import os
import sys
import time

IN_FLIGHT = 64
PAGE = 4096


def task():
    """The arguments of a script: what follows its role, if it has one."""
    rest = [arg for arg in sys.argv[1:] if not arg.startswith(("serve-", "call-"))]
    path, window, workload = (*rest, "0", "small")[:3] if len(rest) < 3 else rest[:3]
    return path, int(window) / 1000, workload


def serves():
    return sys.argv[1].startswith("serve-")


def section():
    """What the caller is asked for beside the workload: its role's second part."""
    return sys.argv[1].partition("-")[2]


def size(workload):
    """The bytes of a payload; 0 where there is none."""
    kind, _, count = workload.partition("-")
    return int(count) if kind == "bytes" else 0


def touch(payload):
    """What a handler does with a payload: it reads one byte of each page."""
    return sum(payload[::PAGE])


def place_partner():
    """Puts this process where the partner of a caller belongs."""
    cpu = os.environ.get("PROCALL_BENCH_PARTNER_CPU")
    if cpu:
        os.sched_setaffinity(0, {int(cpu)})


def percentiles(nanos):
    nanos.sort()
    return nanos[(len(nanos) - 1) // 2] / 1000, nanos[int((len(nanos) - 1) * 0.99)] / 1000


def latency(call, window):
    end = time.perf_counter() + window / 10
    while time.perf_counter() < end:
        call()
    nanos = []
    clock = time.perf_counter_ns
    before = start = clock()
    limit = int(window * 1e9)
    while before - start < limit:
        call()
        after = clock()
        nanos.append(after - before)
        before = after
    return percentiles(nanos)


def throughput(batch, window):
    """Counts what ``batch`` completes, as a rate per second."""
    batch()
    done = 0
    start = time.perf_counter()
    while time.perf_counter() - start < window:
        done += batch()
    return done / (time.perf_counter() - start)


async def async_latency(call, window):
    end = time.perf_counter() + window / 10
    while time.perf_counter() < end:
        await call()
    nanos = []
    clock = time.perf_counter_ns
    before = start = clock()
    limit = int(window * 1e9)
    while before - start < limit:
        await call()
        after = clock()
        nanos.append(after - before)
        before = after
    return percentiles(nanos)


async def async_throughput(call, window):
    import asyncio

    done = 0
    start = time.perf_counter()

    async def caller():
        nonlocal done
        while time.perf_counter() - start < window:
            await call()
            done += 1

    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    return done / (time.perf_counter() - start)


def show(times, **others):
    p50, p99 = times
    print(json.dumps({"p50_us": p50, "p99_us": p99, **others}))


def show_payload(size, times):
    show(times, gb_per_second=size / times[0] / 1000)


def show_only(**figures):
    print(json.dumps(figures))


def run(call, touch_once, window, workload, batch=None):
    """Does a caller's task: ``call`` adds, ``touch_once`` carries the payload.

    ``batch`` makes 64 calls at a time.
    """
    if size(workload):
        show_payload(size(workload), latency(touch_once, window))
    else:
        times = latency(call, window)
        show(times, per_second=throughput(batch, window) if batch else 0.0)
