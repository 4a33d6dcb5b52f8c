"""The Python caller: python caller.py WORKER"""

import sys

import procall

with procall.Pool(sys.argv[1], workers=1, name="greeter", show_output=False) as pool:
    print(pool.call("greet", "Ada"))
    print("healthy:", "yes" if pool.health().is_healthy else pool.health())

    # A crash, and what the pool does about it.
    events = pool.events()
    try:
        pool.call("crash")
    except procall.WorkerLost as error:
        print(error.message)
    for event in events:
        print("event:", event.kind)
        if event.kind == "ready":
            break

    # A restart that was asked for loses no call.
    pool.restart()
    print(pool.call("greet", "Grace"))

    stats = pool.stats()
    print(stats.metrics.successful_requests, "good,", stats.metrics.failed_requests, "failed")

    # What workers print comes by another way than their answers, so perhaps a moment later.
    while not pool.output(0):
        pass
    print(pool.output(0)[0])
