"""A peer of Python to Python: Pool.apply of multiprocessing, with one worker."""

import multiprocessing

from load import IN_FLIGHT, place_partner, run, size, task, touch


def add(a, b):
    return a + b


def main():
    _, window, workload = task()
    content = b"\1" * size(workload)
    with multiprocessing.get_context("spawn").Pool(1, place_partner) as pool:
        assert pool.apply(add, (1, 2)) == 3

        def batch():
            results = [pool.apply_async(add, (n, 1)) for n in range(IN_FLIGHT)]
            for n, result in enumerate(results):
                assert result.get() == n + 1
            return IN_FLIGHT

        touched = lambda: pool.apply(touch, (content,))  # noqa: E731
        run(lambda: pool.apply(add, (1, 2)), touched, window, workload, batch)


if __name__ == "__main__":
    main()
