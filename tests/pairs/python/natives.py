"""What becomes of the types that only Python has."""

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import pathlib
import uuid

import procall
from corpus import error_of


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


@dataclasses.dataclass
class Point:
    x: int
    y: list[int]


Pair = collections.namedtuple("Pair", "a b")

ARRIVES = [
    ((1, 2), [1, 2]),
    (Pair(1, (2,)), [1, [2]]),
    (Colour.RED, "red"),
    (Size.BIG, 3),
    (Point(1, [2]), {"x": 1, "y": [2]}),
    (bytearray(b"ab"), b"ab"),
    (memoryview(b"abc")[::2], b"ac"),
    (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (collections.defaultdict(int, a=1), {"a": 1}),
]

REFUSED = [
    ({1, 2}, "send sorted(...) or list(...)"),
    (frozenset([1]), "send sorted(...) or list(...)"),
    (datetime.datetime(2020, 1, 1), "isoformat()"),
    (datetime.date(2020, 1, 1), "isoformat()"),
    (datetime.timedelta(1), "total_seconds()"),
    (uuid.UUID(int=1), "send str(...)"),
    (decimal.Decimal(1), "send str(...)"),
    (fractions.Fraction(1), "send str(...)"),
    (pathlib.Path("x"), "send str(...)"),
    (1j, "its parts"),
    (range(3), "list(...)"),
    ((n for n in ()), "list(...)"),
    (object(), "cannot be sent"),
    (len, "cannot be sent"),
    (Point, "cannot be sent"),
    ({1: 2}, "keys must be str"),
]


def round_trips(pool):
    for value, wanted in ARRIVES:
        back = pool.call("echo", value)
        assert (back, type(back)) == (wanted, type(wanted)), f"{value!r} became {back!r}"
    for value, says in REFUSED:
        error = error_of(pool, "echo", value)
        assert (error.code, error.executed) == ("INVALID_ARGUMENT", "no"), error
        assert says in str(error), error
    # Bytes with a sign are an array and no bytes, with numpy and without.
    signed = pool.call("echo", array.array("b", [1, -1]))
    assert signed.tolist() == [1, -1], signed
    unsigned = pool.call("echo", array.array("B", [1, 255]))
    assert isinstance(unsigned, procall.TypedBuffer), unsigned
    assert unsigned.tolist() == [1, 255], unsigned
