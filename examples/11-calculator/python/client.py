"""The Python client, while the worker runs in another terminal."""

import procall

with procall.connect("calculator") as calculator:
    print("Result:", calculator.add(a=10, b=20))
    print("ping:", calculator.options(deadline=5).ping())
