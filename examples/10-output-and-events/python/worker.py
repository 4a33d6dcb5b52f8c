"""The Python worker."""

import os

import procall

greeter = procall.Service("greeter")


@greeter.method
def greet(name: str) -> str:
    print("greeting", name)
    return f"Hello, {name}"


@greeter.method
def crash() -> None:
    os._exit(7)


if __name__ == "__main__":
    greeter.run()
