"""A time-out that does not wait for the worker: it is started anew.

python restart.py WORKER
"""

import sys

import procall

with procall.Pool(sys.argv[1] if len(sys.argv) > 1 else "worker.py", workers=1) as pool:
    events = pool.events()

    try:
        pool.options(deadline=0.1, on_timeout="restart").call("message", {"Toil": 60_000})
    except procall.DeadlineExceeded as error:
        print("too slow:", error.code)

    # What happens to the workers comes in order: this one went, and came again.
    for event in events:
        if event.kind == "ready":
            print(event.worker, "is there again")
            break
    print("Result ->", pool.call("message", {"Add": [6, 7]}))
