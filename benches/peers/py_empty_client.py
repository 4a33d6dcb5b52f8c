"""A sync Python client that sends an array made in place; argv: socket path, window, workload."""

from array import array

import procall
from load import run, size, task

path, window, workload = task()
calc = procall.connect(f"unix:{path}")
look = calc.look
numbers = calc.empty(size(workload) // 4, "float32")
numbers[:] = array("f", [1.0]) * len(numbers)
run(None, lambda: look(numbers), window, workload, None)
calc.close()
