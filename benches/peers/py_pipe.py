"""The peer of Python to Python: multiprocessing.Pipe."""

import multiprocessing
import time

from load import place_partner, run, section, show_only, size, task, touch


def serve(pipe):
    place_partner()
    while True:
        try:
            asked = pipe.recv()
        except EOFError:
            return
        pipe.send(touch(asked) if isinstance(asked, bytes) else sum(asked))


def start():
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.Process(target=serve, args=(theirs,))
    child.start()
    theirs.close()
    return ours, child


def main():
    multiprocessing.set_start_method("spawn")
    _, window, workload = task()
    if section() == "spawn":
        times = []
        for _ in range(3):
            before = time.perf_counter()
            ours, child = start()
            ours.send((1, 2))
            assert ours.recv() == 3
            times.append((time.perf_counter() - before) * 1000)
            ours.close()
            child.join()
        show_only(start_ms=sorted(times)[1])
        return
    ours, child = start()
    content = b"\1" * size(workload)

    def call(asked=(1, 2)):
        ours.send(asked)
        return ours.recv()

    assert call() == 3
    run(call, lambda: call(content), window, workload)
    ours.close()
    child.join()


if __name__ == "__main__":
    main()
