"""The Python caller: python caller.py WORKER"""

import sys

import procall

with procall.Pool(sys.argv[1], workers=1) as pool:
    # Out of the worker.
    print("count:", *pool.stream("count", 3))

    # Into it.
    with pool.duplex("total") as sum_up:
        for n in range(1, 101):
            sum_up.send(n)
        print("total:", sum_up.result())

    # Both ways, in turns.
    with pool.duplex("double") as double:
        for n in (1, 2, 3):
            double.send(n)
            print("double:", n, "->", next(double))

    # Whoever leaves early cancels the call. The worker sees it a moment later.
    for n in pool.stream("endless"):
        if n == 2:
            break
    while not pool.call("left"):
        pass
    print("the worker knows that its reader has left")
