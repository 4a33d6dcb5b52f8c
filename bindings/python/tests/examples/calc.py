"""The service that the examples of docstrings call: what they name is here."""

import sys
from collections.abc import AsyncIterator, Iterator

import procall

calc = procall.Service("calc", version="1.0")


class NotAnImage(Exception):
    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is not an image")
        self.path = path


@calc.method(idempotent=True)
def add(a: int, b: int) -> int:
    return a + b


@calc.method
def count(n: int) -> Iterator[int]:
    yield from range(n)


@calc.method
def total(numbers: Iterator[int]) -> int:
    return sum(numbers)


@calc.method
async def doubled(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
    async for number in numbers:
        yield 2 * number


@calc.method
def train(ctx: procall.Context, epochs: int) -> str:
    for epoch in range(epochs):
        ctx.progress(epoch + 1, epochs, "training")
    return "model.bin"


@calc.method
def log(text: str) -> None:
    print(text, file=sys.stderr)


@calc.method
def reload(path: str) -> str:
    return path


calc.register("images.mean", lambda image: _mean(image))
calc.register("images.width", lambda path: _width(path), raises=[NotAnImage])
calc.register("sessions.put", lambda key, value: None)
calc.register("sessions.login", lambda name: name)


def _mean(image: procall.TypedBuffer) -> float:
    numbers = [number for row in image.tolist() for number in row]
    return sum(numbers) / len(numbers)


def _width(path: str) -> int:
    if not path.endswith(".png"):
        raise NotAnImage(path)
    return 80


if __name__ == "__main__":
    calc.run()
