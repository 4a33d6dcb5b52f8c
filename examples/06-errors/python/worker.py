"""The Python worker: it says which errors its callers may expect."""

import os

import procall
from not_an_image import NotAnImage

images = procall.Service("images")


@images.method(raises=[NotAnImage])
def width(path: str) -> int:
    if not path.endswith(".png"):
        raise NotAnImage(path)
    return 80


@images.method
def divide(a: int, b: int) -> float:
    return a / b  # an error that nobody declared


@images.method
def crash() -> None:
    os._exit(1)


if __name__ == "__main__":
    images.run()
