"""A service whose plain handlers run on threads, for the tests."""

import sys
import threading

import procall

service = procall.Service("threaded", threads=2)
barrier = threading.Barrier(2)


@service.method
def meet() -> str:
    barrier.wait(30)
    return threading.current_thread().name


@service.method
def leave() -> None:
    sys.exit(4)


if __name__ == "__main__":
    service.run()
