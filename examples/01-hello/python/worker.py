"""The Python worker: a class; its public methods are the service."""

import procall


class Hello(procall.Service):
    def add(self, a: int, b: int) -> int:
        return a + b

    def multiply(self, a: int, b: int) -> int:
        return a * b

    def factorial(self, n: int) -> int:
        return 1 if n <= 1 else n * self.factorial(n - 1)


if __name__ == "__main__":
    Hello("hello").run()
