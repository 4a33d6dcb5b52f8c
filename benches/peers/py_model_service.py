"""A Python service whose method takes a Pydantic model; argv: socket path."""

import sys
import time

import procall
from pydantic import BaseModel

calc = procall.Service("calc")


class Pair(BaseModel):
    a: int
    b: int


@calc.method
def add(pair: Pair) -> int:
    return pair.a + pair.b


@calc.method
def cpu() -> float:
    return time.process_time()


calc.run(listen=f"unix:{sys.argv[1]}")
