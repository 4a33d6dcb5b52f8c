"""What came out, compared with what a scenario expects."""

import json
from itertools import pairwise
from typing import Any


class Mismatch(AssertionError):
    """Something came out that the scenario does not allow."""


def short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:297]}..."


def match(want: Any, found: Any, at: str = "") -> None:
    """Maps match when all that is expected is there; everything else is the same."""
    where = at or "the answer"
    if isinstance(want, dict) and len(want) == 1 and next(iter(want)).startswith("?"):
        ((mark, content),) = want.items()
        if not MATCHERS[mark](content, found):
            raise Mismatch(f"{where} is {short(found)}, not {mark[1:]} {short(content)}")
    elif isinstance(want, dict):
        if not isinstance(found, dict):
            raise Mismatch(f"{where} is {short(found)}, not {short(want)}")
        for key, each in want.items():
            if key not in found:
                raise Mismatch(f"{where} has no {key}: {short(found)}")
            match(each, found[key], f"{at}/{key}")
    elif isinstance(want, list):
        if not isinstance(found, list) or len(found) != len(want):
            raise Mismatch(f"{where} is {short(found)}, not {short(want)}")
        for index, (each, other) in enumerate(zip(want, found, strict=True)):
            match(each, other, f"{at}/{index}")
    elif type(want) is not type(found) or want != found:
        raise Mismatch(f"{where} is {short(found)}, not {short(want)}")


def fits(want: Any, found: Any) -> bool:
    try:
        match(want, found)
    except Mismatch:
        return False
    return True


def number(found: Any) -> bool:
    return isinstance(found, (int, float)) and not isinstance(found, bool)


MATCHERS = {
    "?any": lambda _, found: found is not None,
    "?in": lambda choices, found: any(fits(each, found) for each in choices),
    "?has": lambda part, found: part in found if isinstance(found, (str, list)) else False,
    "?ends": lambda end, found: isinstance(found, str) and found.endswith(end),
    "?between": lambda ends, found: number(found) and ends[0] <= found <= ends[1],
    "?not": lambda other, found: not fits(other, found),
    # The last element, or an element anywhere.
    "?last": lambda each, found: bool(found) and fits(each, found[-1]),
    "?with": lambda each, found: any(fits(each, other) for other in found),
    # A list that begins with 0 and counts on without a gap.
    "?counts": lambda length, found: found == list(range(length)),
    "?rises": lambda _, found: bool(found) and all(a < b for a, b in pairwise(found)),
}
