"""Large arrays: in shared memory they are looked at where they were written, elsewhere copied."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import procall
import pytest
from conftest import SERVICES
from pools import expect, pid_of

LENT = SERVICES / "lent.py"
SIZE = 300_000


def big(number: float = 1.0) -> Any:
    return np.full(SIZE, number, "float32")


def segments() -> int:
    """Pieces of memory for arrays that this process has open to be lent."""
    gc.collect()  # what a test before this one has left
    names = []
    for name in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue  # that of the listing itself
    return sum("procall-arena" in name for name in names)


@pytest.fixture
def pool() -> Iterator[procall.Pool]:
    with procall.Pool(LENT, workers=1, transport="shm") as pool:
        yield pool


@pytest.mark.parametrize("transport", ["shm", "unix"])
def test_the_values_are_the_same_over_every_transport(transport: Any) -> None:
    rows = np.arange(SIZE, dtype="float64").reshape(500, 600)
    arrays = [
        rows,
        np.asfortranarray(rows),
        rows[::2, ::-3],
        rows.astype(">f8"),
        rows.astype("complex128"),
        (rows % 100).astype("float16"),
        rows > 7,
        rows[:0],
        np.array(3.5, "float32"),
        np.zeros(16_384, "uint8"),
        np.ones(16_383, "uint8"),
    ]
    with procall.Pool(LENT, workers=1, transport=transport) as pool:
        for array in arrays:
            back = pool.lent.mirror(array)
            assert back.dtype == array.dtype.newbyteorder("=")
            assert back.shape == array.shape
            assert (back == array).all()
        both = pool.lent.mirror([{"a": rows, "b": [rows + 1, 2]}])
        assert (both[0]["a"] == rows).all()
        assert (both[0]["b"][0] == rows + 1).all()


def test_an_array_is_copied_once_and_seen_where_it_lies(pool: procall.Pool) -> None:
    assert pool.lent.facts(big()) == ["float32", [SIZE], False]
    metrics = pool.metrics()
    assert (metrics.arrays_copied, metrics.arrays_as_bytes, metrics.arrays_in_place) == (1, 0, 0)
    back = pool.lent.mirror(big(2.0))
    assert not back.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 1


def test_an_array_of_the_pool_is_not_copied(pool: procall.Pool) -> None:
    array = pool.empty((3, SIZE // 3), "float32")
    array[:] = 2.0
    never = pool.options(copy="never")
    assert never.lent.total(array) == 2.0 * SIZE
    array[1] = 0.0
    assert never.lent.total(array[1:]) == 2.0 * SIZE / 3
    metrics = pool.metrics()
    assert (metrics.arrays_copied, metrics.arrays_in_place) == (0, 2)


def test_where_a_copy_is_forbidden_the_error_says_what_to_do(pool: procall.Pool) -> None:
    never = pool.options(copy="never")
    elsewhere = np.zeros(SIZE, "float32")
    strided = pool.empty((SIZE, 2), "float32")[:, 0]
    for array in (elsewhere, strided):
        with pytest.raises(procall.InvalidArgument, match=r"argument array is .*`empty`") as caught:
            never.lent.total(array)
        assert caught.value.executed == "no"
    assert never.lent.total(np.zeros(10)) == 0.0
    with (
        procall.Pool(LENT, workers=1, transport="unix") as plain,
        pytest.raises(procall.InvalidArgument, match='transport="shm"'),
    ):
        plain.options(copy="never").lent.total(plain.empty(SIZE))
    with pytest.raises(procall.InvalidArgument, match='"once" or "never"'):
        pool.options(copy="twice")  # type: ignore[arg-type]


def test_memory_is_used_again_once_nobody_looks_at_it(pool: procall.Pool) -> None:
    for number in range(50):
        assert pool.lent.total(big(number)) == number * SIZE
    # The answer may be here before the worker has let go of the array.
    assert segments() <= 2


def test_what_somebody_looks_at_never_changes(pool: procall.Pool) -> None:
    held = []
    for number in range(10):
        pool.lent.keep(big(number))
        held.append(pool.lent.mirror(big(100 + number)))
    for number in range(30):
        pool.lent.total(big(1000 + number))
    assert pool.lent.totals() == [number * SIZE for number in range(10)]
    for number, array in enumerate(held):
        assert (array == 100 + number).all()


def test_what_was_received_outlives_its_pool() -> None:
    with procall.Pool(LENT, workers=1, transport="shm") as pool:
        array = pool.lent.mirror(big(7.0))
    del pool
    gc.collect()
    assert (array == 7.0).all()


def test_a_killed_worker_gives_back_what_it_held(pool: procall.Pool) -> None:
    for number in range(10):
        pool.lent.keep(big(number))
    assert segments() >= 10
    events = pool.events()
    os.kill(pid_of(pool, 0), signal.SIGKILL)
    expect(events, "ready")
    assert pool.lent.total(big(3.0)) == 3.0 * SIZE
    assert pool.lent.totals() == []
    assert segments() <= 2


def test_more_than_the_memory_has_room_for_goes_as_bytes(pool: procall.Pool) -> None:
    for number in range(80):
        pool.lent.keep(np.full(5_000, number, "float32"))
    assert pool.lent.totals() == [number * 5_000.0 for number in range(80)]
    assert segments() <= 64


def test_streams_lend_in_both_directions(pool: procall.Pool) -> None:
    with pool.stream("series", 200, 50_000) as items:
        for number, item in enumerate(items):
            assert item.shape == (50_000,)
            assert not item.flags.writeable
            assert (item == number).all()
    assert number == 199
    with pool.duplex("sums") as sums:
        for number in range(100):
            assert sums.send(big(number))
            assert next(sums) == number * SIZE
    assert pool.metrics().arrays_copied == 100


async def test_handlers_and_callers_on_event_loops_lend_too() -> None:
    async with procall.aio.Pool(LENT, workers=1, transport="shm") as pool:
        assert (await pool.lent.awaited(big(1.0)) == 2.0).all()
        array = pool.empty(SIZE, "float32")
        array[:] = 4.0
        assert (await pool.options(copy="never").lent.awaited(array) == 5.0).all()


class Tensor:
    """What libraries export that have no buffers: DLPack."""

    def __init__(self, array: Any, device: int = 1) -> None:
        self.array, self.device = array, device

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (self.device, 0)


class Interface:
    """The same by numpy's own protocol."""

    def __init__(self, array: Any) -> None:
        self.array = array

    @property
    def __array_interface__(self) -> Any:
        return self.array.__array_interface__


def test_arrays_of_other_libraries(pool: procall.Pool) -> None:
    for foreign in (Tensor(big(2.0)), Interface(big(2.0)), memoryview(big(2.0))):
        assert pool.lent.total(foreign) == 2.0 * SIZE
    array = pool.empty(SIZE, "float32")
    array[:] = 3.0
    assert pool.options(copy="never").lent.total(Tensor(array)) == 3.0 * SIZE
    with pytest.raises(procall.InvalidArgument, match="memory of a device"):
        pool.lent.total(Tensor(big(), device=2))
