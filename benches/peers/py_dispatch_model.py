"""The same with a Pydantic model that is validated for each call."""

import time

from load import IN_FLIGHT, show_only, task, throughput
from pydantic import BaseModel


class Pair(BaseModel):
    a: int
    b: int


def add(pair: Pair) -> int:
    return pair.a + pair.b


def batch():
    for n in range(IN_FLIGHT):
        add(Pair.model_validate({"a": n, "b": 1}))
    return IN_FLIGHT


_, window, _ = task()
before = time.process_time(), time.perf_counter()
rate = throughput(batch, window)
spent = (time.process_time() - before[0]) / (time.perf_counter() - before[1])
show_only(worker_us=spent * 1e6 / rate, per_second=rate)
