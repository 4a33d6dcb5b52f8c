"""A sync Python client for the bench that sends arrays; argv: socket path, window, workload."""

from array import array

import procall
from load import run, size, task

path, window, workload = task()
calc = procall.connect(f"unix:{path}")
look = calc.look
numbers = array("f", [1.0]) * (size(workload) // 4)
run(None, lambda: look(numbers), window, workload, None)
calc.close()
