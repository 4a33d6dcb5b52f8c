"""The peer of Python to Python: multiprocessing.Pipe; argv: unused, window in milliseconds."""

import multiprocessing
import sys

from load import latency, show


def serve(pipe):
    while True:
        try:
            a, b = pipe.recv()
        except EOFError:
            return
        pipe.send(a + b)


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.Process(target=serve, args=(theirs,))
    child.start()
    theirs.close()

    def call():
        ours.send((1, 2))
        assert ours.recv() == 3

    call()
    p50, p99 = latency(call, int(sys.argv[2]) / 1000)
    ours.close()
    child.join()
    show(p50, p99, 0.0)
