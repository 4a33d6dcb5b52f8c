"""The Python caller: python caller.py WORKER"""

import concurrent.futures
import sys

import procall

WORDS = ["one", "three", "eleven"]

with procall.Pool(sys.argv[1], workers=2) as pool:
    # One method, any number of arguments; the bar is drawn where there is a terminal.
    print("map:", *pool.map("size", ((word,) for word in WORDS), progress=True))

    # A handful of different calls in one write, each with its own outcome.
    for outcome in pool.batch([("size", ("four",)), ("size", (4,))]):
        print("batch:", outcome.error.code if outcome.error else outcome.result())

    # One call at a time, and its result later.
    futures = [pool.submit("size", word) for word in WORDS]
    print("submit:", sum(future.result() for future in concurrent.futures.as_completed(futures)))

    # What wants an executor gets one.
    with pool.executor("words") as executor:
        print("executor:", *executor.map("size", WORDS))

    # How far a call has come. At most ten reports a second travel.
    reports = []
    learn = pool.options(progress=lambda *report: reports.append(report))
    print("progress:", learn.call("learn", 3), "after", reports[0])
