"""Arrays of numbers, for programs without numpy and for element types that Python has no array
for.
"""

from __future__ import annotations

import struct
from math import prod

from procall._public import public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, SupportsIndex

MAX_DIMS = 32

# The size of an element, and how struct reads it: a pair is two numbers, and bfloat16 is read as
# the upper half of a float of 32 bits.
_TYPES = {
    "bool": (1, "?"), "int8": (1, "b"), "int16": (2, "h"), "int32": (4, "i"), "int64": (8, "q"),
    "uint8": (1, "B"), "uint16": (2, "H"), "uint32": (4, "I"), "uint64": (8, "Q"),
    "float16": (2, "e"), "bfloat16": (2, "f"), "float32": (4, "f"), "float64": (8, "d"),
    "complex64": (8, "ff"), "complex128": (16, "dd"),
}  # fmt: skip


@public
class TypedBuffer:
    """An array of numbers: element type, shape, and the bytes of the elements.

    What arrives is a numpy array where numpy is imported. Elsewhere it is a ``memoryview``, or a
    ``TypedBuffer`` when a ``memoryview`` could not tell all: ``float16``, ``bfloat16``, complex
    numbers, ``uint8`` in one dimension, several dimensions of which one is 0. ``bfloat16`` is a
    numpy array only where ``ml_dtypes`` is imported too.

    ::

        image = procall.TypedBuffer("float16", (2, 3), bytes(12))
        print(image.dtype, image.shape, len(image.data))  # float16 (2, 3) 12
        image.tolist()  # [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
        pool.call("images.mean", image)  # 0.0

        import numpy

        numpy.asarray(image)
    """

    __slots__ = ("_data", "_dtype", "_shape")

    def __init__(
        self, dtype: str, shape: Iterable[SupportsIndex], data: bytes | bytearray | memoryview
    ) -> None:
        """``dtype`` has numpy's name, such as ``"float32"``; ``data`` are the elements in C order
        and little-endian. Raises ``ValueError`` when the shape needs another number of bytes.
        """
        if dtype not in _TYPES:
            raise ValueError(f"{dtype!r} is no element type; there are {', '.join(_TYPES)}")
        dims = tuple(dim.__index__() for dim in shape)
        if any(dim < 0 for dim in dims):
            raise ValueError(f"the shape {dims} has a negative number of elements")
        if len(dims) > MAX_DIMS:
            raise ValueError(f"{len(dims)} dimensions; at most {MAX_DIMS} are allowed")
        content = bytes(data)
        needed = prod(dims) * _TYPES[dtype][0]
        if len(content) != needed:
            raise ValueError(f"the shape needs {needed} bytes, but {len(content)} are given")
        self._dtype = dtype
        self._shape = dims
        self._data = content

    @property
    def dtype(self) -> str:
        """What an element is: numpy's name of it."""
        return self._dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements in each dimension; none for a single element."""
        return self._shape

    @property
    def data(self) -> bytes:
        """The elements in C order, little-endian."""
        return self._data

    def tolist(self) -> Any:
        """The elements as Python numbers, in lists inside each other; a single one as itself."""
        return _nested(self._numbers(), self._shape)

    def _numbers(self) -> Iterator[Any]:
        _, code = _TYPES[self._dtype]
        data = self._data
        if self._dtype == "bfloat16":
            wide = bytearray(2 * len(data))
            wide[2::4], wide[3::4] = data[::2], data[1::2]
            data = bytes(wide)
        numbers = struct.iter_unpack("<" + code, data)
        if len(code) == 2:
            return (complex(real, imaginary) for real, imaginary in numbers)
        return (number for (number,) in numbers)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy as np

        own: Any = self._dtype
        if own == "bfloat16":
            try:
                from ml_dtypes import bfloat16 as own
            except ImportError:
                raise TypeError("numpy has no bfloat16: pip install ml_dtypes") from None
        array = np.frombuffer(self._data, np.dtype(own).newbyteorder("<")).reshape(self._shape)
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ValueError(f"another element type than {self._dtype} needs a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TypedBuffer):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[type[TypedBuffer], tuple[str, tuple[int, ...], bytes]]:
        return TypedBuffer, self._key()

    def _key(self) -> tuple[str, tuple[int, ...], bytes]:
        return self._dtype, self._shape, self._data

    def __repr__(self) -> str:
        return f"<TypedBuffer {self._dtype} {self._shape}>"


def _nested(numbers: Iterator[Any], shape: Sequence[int]) -> Any:
    if not shape:
        return next(numbers)
    return [_nested(numbers, shape[1:]) for _ in range(shape[0])]
