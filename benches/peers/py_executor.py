"""A peer of Python to Python: ProcessPoolExecutor, with one worker."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from load import IN_FLIGHT, place_partner, run, size, task, touch


def add(a, b):
    return a + b


def main():
    _, window, workload = task()
    content = b"\1" * size(workload)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=place_partner) as executor:
        assert executor.submit(add, 1, 2).result() == 3

        def batch():
            futures = [executor.submit(add, n, 1) for n in range(IN_FLIGHT)]
            for n, future in enumerate(futures):
                assert future.result() == n + 1
            return IN_FLIGHT

        touched = lambda: executor.submit(touch, content).result()  # noqa: E731
        run(lambda: executor.submit(add, 1, 2).result(), touched, window, workload, batch)


if __name__ == "__main__":
    main()
