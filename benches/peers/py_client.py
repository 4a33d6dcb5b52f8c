"""A sync Python client for the bench; argv: socket path, window in milliseconds, workload."""

import time

import procall
from load import IN_FLIGHT, run, show_only, size, task

path, window, workload = task()
calc = procall.connect(f"unix:{path}")
add, touch = calc.add, calc.touch
content = b"\1" * size(workload)


def batch():
    futures = [calc.submit("add", n, 1) for n in range(IN_FLIGHT)]
    for n, future in enumerate(futures):
        assert future.result() == n + 1
    return IN_FLIGHT


if workload == "stream":
    items, start = 0, time.perf_counter()
    while items == 0 or time.perf_counter() - start < window:
        for _ in calc.count(20_000):
            items += 1
    show_only(items_per_second=items / (time.perf_counter() - start))
else:
    run(lambda: add(1, 2), lambda: touch(content), window, workload, batch)
calc.close()
