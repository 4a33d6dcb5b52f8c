"""A Python worker for the bench."""

import procall

calc = procall.Service("calc")


@calc.method
def add(a: int, b: int) -> int:
    return a + b


calc.run()
