"""Arrays of numbers with and without numpy, and those that only `TypedBuffer` can hold."""

from __future__ import annotations

import array
import math
import pickle
import subprocess
import sys
from typing import Any

import ml_dtypes
import numpy as np
import procall
import pytest
from procall._native import codec
from procall._typed import _TYPES

SHAPES = [(), (2,), (0,), (2, 1), (3, 0, 2)]


def buffer(dtype: str, shape: tuple[int, ...]) -> procall.TypedBuffer:
    # Small numbers of every type, which is true for floats of any width when only low bytes are 0.
    size = _TYPES[dtype][0]
    data = bytes(at % 2 if dtype == "bool" else at % 120 for at in range(math.prod(shape) * size))
    return procall.TypedBuffer(dtype, shape, data)


@pytest.mark.parametrize("dtype", _TYPES)
def test_every_type_travels_on_as_it_came_with_numpy(dtype: str) -> None:
    for shape in SHAPES:
        sent = codec.encode(buffer(dtype, shape))
        arrived = codec.decode(sent)
        assert isinstance(arrived, np.ndarray)
        assert (arrived.dtype.name, arrived.shape) == (dtype, shape)
        assert codec.encode(arrived) == sent


WITHOUT_NUMPY = """
import sys
import procall
from procall._native import codec
from procall._typed import _TYPES
from math import prod

for dtype, (size, _) in _TYPES.items():
    for shape in [(), (2,), (0,), (2, 1), (3, 0, 2)]:
        data = bytes(at % 2 for at in range(prod(shape) * size))
        sent = codec.encode(procall.TypedBuffer(dtype, shape, data))
        arrived = codec.decode(sent)
        assert codec.encode(arrived) == sent, (dtype, shape, arrived)
        assert type(arrived) in (memoryview, procall.TypedBuffer), arrived
        assert arrived.shape == shape
        whole = codec.decode(codec.encode([arrived, {"a": arrived}]))
        assert whole[0].tolist() == whole[1]["a"].tolist() == arrived.tolist()
assert "numpy" not in sys.modules
"""


def test_every_type_travels_on_as_it_came_without_numpy() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_NUMPY], check=True)


WITHOUT_ML_DTYPES = """
import numpy
import procall
from procall._native import codec

sent = codec.encode(procall.TypedBuffer("bfloat16", (2,), bytes([128, 63, 0, 191])))
arrived = codec.decode(sent)
assert isinstance(arrived, procall.TypedBuffer) and arrived.tolist() == [1.0, -0.5]
assert codec.encode(arrived) == sent
sys = __import__("sys")
sys.modules["ml_dtypes"] = None
try:
    numpy.asarray(arrived)
except TypeError as error:
    assert "pip install ml_dtypes" in str(error)
else:
    raise AssertionError("numpy has no bfloat16")
"""


def test_bfloat16_without_ml_dtypes_is_a_typed_buffer() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_ML_DTYPES], check=True)


def test_without_numpy_an_array_is_a_memoryview() -> None:
    program = (
        "import array, sys; from procall._native import codec\n"
        "view = codec.decode(codec.encode(array.array('d', [1, 2])))\n"
        "assert isinstance(view, memoryview) and view.format == 'd' and view.tolist() == [1, 2]\n"
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "value",
    [
        np.array([1.5, -2, math.inf], ml_dtypes.bfloat16),
        np.array(1.5, ml_dtypes.bfloat16),
        np.arange(6).astype(ml_dtypes.bfloat16).reshape(2, 3).T,
        np.arange(6).astype(ml_dtypes.bfloat16)[::-2],
        np.zeros((0, 2), ml_dtypes.bfloat16),
    ],
    ids=["row", "scalar", "F order", "strided", "zero-size"],
)
def test_arrays_of_bfloat16(value: Any) -> None:
    back = codec.decode(codec.encode(value))
    assert (back.dtype, back.shape) == (value.dtype, value.shape)
    assert (back == value).all()


def test_signed_bytes_are_an_array_and_unsigned_ones_in_a_view_are_bytes() -> None:
    signed = array.array("b", [1, -1])
    for value in (signed, memoryview(signed)):
        assert codec.decode(codec.encode(value)).tolist() == [1, -1]
    assert codec.decode(codec.encode(memoryview(b"ab"))) == b"ab"
    assert codec.decode(codec.encode(memoryview(b"ab").cast("c"))) == b"ab"
    assert isinstance(codec.decode(codec.encode(array.array("B", b"ab"))), np.ndarray)


def test_its_numbers() -> None:
    half = procall.TypedBuffer("float16", (2, 1), np.array([1.5, -2], "<f2").tobytes())
    assert half.tolist() == [[1.5], [-2.0]]
    assert np.asarray(half).dtype == np.float16
    assert np.asarray(half, dtype=np.float64).tolist() == [[1.5], [-2.0]]
    assert procall.TypedBuffer("complex64", (1,), np.array([1 + 2j], "<c8").tobytes()).tolist() == [
        1 + 2j
    ]
    brain = procall.TypedBuffer("bfloat16", (), bytes([128, 63]))
    assert brain.tolist() == 1.0
    assert np.asarray(brain).dtype == ml_dtypes.bfloat16
    assert procall.TypedBuffer("bool", (2,), bytes([0, 7])).tolist() == [False, True]


def test_it_is_a_value_like_others() -> None:
    one = buffer("int16", (2,))
    assert one == buffer("int16", (2,))
    assert hash(one) == hash(buffer("int16", (2,)))
    assert one != buffer("uint16", (2,))
    assert one != 1
    assert pickle.loads(pickle.dumps(one)) == one
    assert repr(one) == "<TypedBuffer int16 (2,)>"
    assert (one.dtype, one.shape, one.data) == ("int16", (2,), bytes(range(4)))


@pytest.mark.parametrize(
    ("dtype", "shape", "data", "says"),
    [
        ("float", (1,), b"", "'float' is no element type; there are bool, int8"),
        ("int8", (2,), b"x", "needs 2 bytes, but 1 are given"),
        ("int8", (-1,), b"", "negative"),
        ("int8", (1,) * 33, b"x", "at most 32"),
    ],
)
def test_what_is_none(dtype: str, shape: tuple[int, ...], data: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        procall.TypedBuffer(dtype, shape, data)


def test_it_is_a_hint(client: procall.Client) -> None:
    service = procall.Service("hinted")

    @service.method
    def shape(image: procall.TypedBuffer) -> list[int]:
        return list(image.shape)

    assert client.echo(buffer("float16", (2, 3))).shape == (2, 3)
