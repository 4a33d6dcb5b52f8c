"""The Python worker: python worker.py"""

import procall
from pydantic import BaseModel


class AddArgs(BaseModel):
    a: int
    b: int


calculator = procall.Service("calculator")


@calculator.method
def ping() -> str:
    return "pong"


@calculator.method(request_model=AddArgs)
def add(a: int, b: int) -> int:
    return a + b


if __name__ == "__main__":
    calculator.run()
