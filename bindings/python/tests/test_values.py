"""What crosses unchanged, and what is refused by name."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import threading
import uuid
from typing import Any

import msgpack
import numpy as np
import procall
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from procall._native import codec

SIMPLE = [
    0, 1, -1, 2**31 - 1, 2**31, 2**31 + 1, 2**32, 2**53 - 1, -(2**53 - 1), 2**53, 2**53 + 1,
    -(2**63), 2**63 - 1, 2**63, 2**64 - 1, 0.0, -0.0, 0.1, 5e-324, 1.797e308, math.inf, -math.inf,
    "", "\0", "😀", "é", "e\u0301", "שלום", "x" * (1 << 20),
    b"", bytes(range(256)), b"x" * (1 << 20),
    [], {}, None, True, False, [1, [2, [3]]], {"": 1, "__proto__": 2, "constructor": 3, "a.b": 4},
    list(range(100_000)),
]  # fmt: skip


@pytest.mark.parametrize("value", SIMPLE, ids=lambda value: repr(value)[:30])
def test_crosses_unchanged(client: procall.Client, value: Any) -> None:
    back = client.echo(value)
    assert type(back) is type(value)
    assert back == value
    assert str(back) == str(value), "the sign of a zero"


def test_nan_crosses(client: procall.Client) -> None:
    assert math.isnan(client.echo(math.nan))


def test_large_bodies_cross_in_chunks(client: procall.Client) -> None:
    for size in (65_535, 65_536, 65_537, 314_159, 20 << 20):
        body = bytes(size)
        assert client.echo(body) == body


def test_depth_is_bounded() -> None:
    def nested(depth: int) -> Any:
        value: Any = []
        for _ in range(depth - 1):
            value = [value]
        return value

    assert codec.decode(codec.encode(nested(64))) == nested(64)
    with pytest.raises(procall.InvalidArgument, match="nested more than 64 deep"):
        codec.encode(nested(65))
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(procall.InvalidArgument, match="contains itself"):
        codec.encode(endless)


def test_bombs_do_no_harm_on_a_small_stack() -> None:
    failures: list[BaseException] = []

    def run() -> None:
        for bomb in (b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff", b"\x81\xa1a" * 10_000):
            try:
                codec.decode(bomb)
            except procall.InvalidArgument:
                continue
            except BaseException as error:
                failures.append(error)
        deep: Any = 1
        for _ in range(64):
            deep = {"a": deep}
        codec.decode(codec.encode(deep))

    before = threading.stack_size(256 << 10)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert failures == []


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


@dataclasses.dataclass
class Point:
    x: int
    y: list[int] = dataclasses.field(default_factory=list)
    both: dataclasses.InitVar[int] = 0


Pair = collections.namedtuple("Pair", "a b")


class Text(str):
    pass


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ((1, 2), [1, 2]),
        (Pair(1, (2,)), [1, [2]]),
        (Colour.RED, "red"),
        (Size.BIG, 3),
        (Point(1, [2]), {"x": 1, "y": [2]}),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abc")[::2], b"ac"),
        (Text("x"), "x"),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.defaultdict(int, a=1), {"a": 1}),
        (np.int64(5), 5),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(1.5), 1.5),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_arrives_as(value: Any, arrives: Any) -> None:
    back = codec.decode(codec.encode(value))
    assert back == arrives
    assert type(back) is type(arrives)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (2**64, r"outside -2\*\*63 to 2\*\*64-1"),
        (-(2**63) - 1, "outside"),
        (10**30, "outside"),
        ("\ud800", "lone surrogate"),
        ({1: 2}, "key of type int; keys must be str"),
        ({"\udfff": 2}, "lone surrogate"),
        ({1, 2}, "set, which cannot be sent; send sorted"),
        (datetime.datetime.now(), "isoformat"),
        (datetime.timedelta(1), "total_seconds"),
        (uuid.uuid4(), r"send str\("),
        (decimal.Decimal(1), r"send str\("),
        (pathlib.Path("x"), r"send str\("),
        (fractions.Fraction(1), r"send str\("),
        (1j, "its parts"),
        (range(3), "list"),
        ((i for i in ()), "list"),
        (object(), "use None, bool"),
        (len, "cannot be sent"),
        (np.array(["a"]), "cannot be sent"),
        (np.longdouble(1), "cannot be sent"),
        (np.datetime64("2020-01-01"), "cannot be sent"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_is_refused(value: Any, says: str) -> None:
    with pytest.raises(procall.InvalidArgument, match=says):
        codec.encode(value)


def test_a_refusal_names_the_path(client: procall.Client) -> None:
    with pytest.raises(
        procall.InvalidArgument, match=r"argument value\.users\[1\]\.tags "
    ) as caught:
        client.echo({"users": [{}, {"tags": {1}}]})
    assert caught.value.executed == "no"
    assert caught.value.fields[0].path == "/0/users/1/tags"
    with pytest.raises(procall.InvalidArgument, match=r'\["a b"\]') as caught:
        client.echo(value={"a b": {"c/d": {1}}})
    assert caught.value.fields[0].path == "/value/a b/c~1d"


def test_what_raises_while_it_is_read_is_refused() -> None:
    class Broken(enum.Enum):
        A = 1

        @property
        def value(self) -> Any:
            raise LookupError("broken")

    with pytest.raises(procall.InvalidArgument, match="LookupError: broken"):
        codec.encode(Broken.A)


ARRAYS = [
    np.arange(6).astype(dtype).reshape(2, 3)
    for dtype in ["?", "b", "B", "h", "H", "i", "I", "q", "Q", "e", "f", "d", "F", "D"]
]


@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: str(value.dtype))
def test_arrays(client: procall.Client, value: Any) -> None:
    back = client.echo(value)
    assert isinstance(back, np.ndarray) or value.dtype.kind not in "fc"
    assert np.asarray(back).dtype == value.dtype
    assert (np.asarray(back) == value).all()


@pytest.mark.parametrize(
    "value",
    [
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(20).reshape(4, 5)[::2, ::-2],
        np.zeros((0, 3)),
        np.zeros(0),
        np.array(3.5),
        np.arange(3, dtype=">i4"),
        np.arange(3, dtype=">c8"),
        np.ones((1,) * 32),
        array.array("d", [1, 2]),
        memoryview(array.array("i", [1, 2, 3, 4])).cast("B").cast("i", [2, 2]),
    ],
    ids=[
        "F order", "strided", "zero-size", "empty", "scalar",
        "big-endian", "big-endian complex", "32 dims", "array", "view",
    ],
)  # fmt: skip
def test_layouts_of_arrays(value: Any) -> None:
    back = codec.decode(codec.encode(value))
    expected = np.asarray(value)
    assert back.shape == expected.shape
    assert back.dtype == expected.dtype.newbyteorder("=")
    assert (back == expected).all()


def test_received_arrays_cannot_be_written() -> None:
    assert not codec.decode(codec.encode(np.zeros(3))).flags.writeable


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
)


@settings(max_examples=300)
@given(values)
def test_agrees_with_another_implementation(value: Any) -> None:
    ours = codec.encode(value)
    assert ours == msgpack.packb(value)
    assert codec.decode(ours) == value


@settings(max_examples=500)
@given(st.binary(max_size=64))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        value = codec.decode(data)
    except procall.InvalidArgument:
        return
    codec.encode(value)
