"""The Python caller: give it a worker of any language.

python caller.py WORKER
"""

import sys

import procall

with procall.Pool(sys.argv[1] if len(sys.argv) > 1 else "worker.py", workers=1) as pool:
    hello = pool.hello
    print("1 + 2 =", hello.add(1, 2))
    print("4 * 7 =", hello.multiply(4, 7))
    print("10! =", hello.factorial(10))
    print("21 + 3 =", hello.add(21, 3))
