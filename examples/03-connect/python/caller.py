"""The Python caller: finds the service by its name, in whatever language it is written."""

import procall

with procall.connect("math-service") as math:
    print("5 + 3 =", math.add(5, 3))
    print("4 * 7 =", math.multiply(4, 7))
    print("10! =", math.factorial(10))
