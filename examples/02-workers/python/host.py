"""The Python host: give it a worker of any language.

python host.py WORKER
"""

import sys

import procall

with procall.Pool(sys.argv[1] if len(sys.argv) > 1 else "worker.py", workers=4) as pool:
    print("Result ->", pool.call("message", {"Add": [6, 7]}))
    print("Result ->", pool.call("message", {"Sub": [21, 19]}))

    # Nobody answers this one.
    pool.notify("message", {"Note": "hello"})

    # The worker is left to finish, and gets nothing else before it has.
    try:
        pool.options(deadline=0.1).call("message", {"Toil": 500})
    except procall.DeadlineExceeded as error:
        print("too slow:", error.code)
    print("Result ->", pool.call("message", {"Add": [20, 22]}))
