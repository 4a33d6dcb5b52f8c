"""What a call of a Python function costs in its own process: the floor of dispatch."""

import time

from load import IN_FLIGHT, show_only, task, throughput


def add(a: int, b: int) -> int:
    return a + b


def batch():
    for n in range(IN_FLIGHT):
        add(n, 1)
    return IN_FLIGHT


_, window, _ = task()
before = time.process_time(), time.perf_counter()
rate = throughput(batch, window)
spent = (time.process_time() - before[0]) / (time.perf_counter() - before[1])
show_only(worker_us=spent * 1e6 / rate, per_second=rate)
