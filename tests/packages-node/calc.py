import procall

calc = procall.Service("calc")


@calc.method
def add(a: int, b: int) -> int:
    return a + b


@calc.method
def count(n: int):
    yield from range(n)


calc.run()
