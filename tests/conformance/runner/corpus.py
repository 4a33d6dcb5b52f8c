"""The value corpus of `spec/values` through any subject."""

import base64
import json
import math
from pathlib import Path
from typing import Any

from runner import raw
from runner.matching import Mismatch, short

FILE = Path(__file__).parents[3] / "spec" / "values" / "corpus.json"
SHORT = 4096
SAFE = 2**53 - 1


def line(value: Any) -> Any:
    """A value as lines have it."""
    match value:
        case bytes():
            return {"$bytes": base64.b64encode(value).decode()}
        case bool() | None | str():
            return value
        case int():
            return value if abs(value) <= SAFE else {"$int": str(value)}
        case float():
            special = not math.isfinite(value) or value == int(value)
            return {"$float": repr(value)} if special else value
        case list():
            return [line(each) for each in value]
        case dict():
            # A key of the value's own that begins with a mark is written with one more.
            return {f"${key}" if key[:1] == "$" else key: line(value[key]) for key in value}
    raise TypeError(f"no line has {value!r}")


def same(one: Any, other: Any) -> bool:
    """Whether two values of lines are one, however a language writes its floats."""
    if isinstance(one, dict) and isinstance(other, dict):
        if set(one) == set(other) == {"$float"}:
            a, b = float(one["$float"]), float(other["$float"])
            if math.isnan(a):
                return math.isnan(b)
            return a == b and math.copysign(1, a) == math.copysign(1, b)
        # The order of keys is compared by `tests/pairs`.
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def bytes_of(entry: dict[str, Any], key: str) -> bytes | None:
    text = entry.get(key)
    return bytes.fromhex(text) if isinstance(text, str) else None


def run(steps: Any, step: dict[str, Any]) -> None:
    """Every short value that lines can say comes back, or is refused where JSON cannot say it."""
    languages = steps.facts["either"]
    spoken = "stdlib" in languages
    asked = []
    for entry in json.loads(FILE.read_text()):
        given = bytes_of(entry, "hex")
        if given is None or "refused" in entry or len(given) > SHORT:
            continue
        through = entry.get("through", {})
        text = next((through[each] for each in languages if each in through), None)
        back = bytes.fromhex(text) if text else bytes_of(entry, "back") or given
        try:
            value, wanted = line(raw.unpack(given)[0]), line(raw.unpack(back)[0])
        except raw.NotHere:
            # A typed buffer: `tests/pairs` has those.
            continue
        refused = spoken and any(mark in json.dumps(value) for mark in ('"nan"', '"inf"', '"-inf"'))
        asked.append((entry["name"], wanted, refused, steps.call("echo", [value])))
    wrong = []
    for name, wanted, refused, (caller, number) in asked:
        answer = caller.answer(number)
        if refused:
            code = answer.get("error", {}).get("code")
            if code not in ("INVALID_ARGUMENT", "INVALID_RESULT"):
                wrong.append(f"{name}: {short(answer)} instead of a refusal")
        elif not same(wanted, answer.get("result")):
            wrong.append(f"{name}: {short(answer)} instead of {short(wanted)}")
    if len(asked) < step["at_least"]:
        wrong.append(f"only {len(asked)} values are short enough")
    if wrong:
        raise Mismatch("; ".join(wrong))
