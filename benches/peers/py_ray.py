"""A peer of Python to Python: a Ray actor."""

import logging
import os

import ray
from load import IN_FLIGHT, run, size, task, touch

path, window, workload = task()
ray.init(
    num_cpus=1,
    include_dashboard=False,
    logging_level=logging.ERROR,
    log_to_driver=False,
    _temp_dir=os.path.join(os.path.dirname(path), "ray"),
)


@ray.remote
class Calc:
    def add(self, a, b):
        return a + b

    def touch(self, content):
        return touch(content)


calc = Calc.remote()
assert ray.get(calc.add.remote(1, 2)) == 3
content = b"\1" * size(workload)


def batch():
    results = ray.get([calc.add.remote(n, 1) for n in range(IN_FLIGHT)])
    assert results == [n + 1 for n in range(IN_FLIGHT)]
    return IN_FLIGHT


run(
    lambda: ray.get(calc.add.remote(1, 2)),
    lambda: ray.get(calc.touch.remote(content)),
    window,
    workload,
    batch,
)
ray.shutdown()
