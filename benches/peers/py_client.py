"""A sync Python client for the bench; argv: socket path, window in milliseconds."""

import sys

import procall
from load import latency, show

calc = procall.connect(f"unix:{sys.argv[1]}")
window = int(sys.argv[2]) / 1000
add = calc.add
p50, p99 = latency(lambda: add(1, 2), window)
show(p50, p99, 0.0)
calc.close()
