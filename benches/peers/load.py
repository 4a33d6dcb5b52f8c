"""How load is made and measured in Python; the same as load.rs."""

import json
import time


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
    nanos.sort()
    return nanos[(len(nanos) - 1) // 2] / 1000, nanos[int((len(nanos) - 1) * 0.99)] / 1000


def show(p50, p99, per_second):
    print(json.dumps({"p50_us": p50, "p99_us": p99, "per_second": per_second}))
