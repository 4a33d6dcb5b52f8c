"""The values of `spec/values`: each comes back as it went, or is refused."""

import json
import math
from pathlib import Path

import procall
from procall._native import codec

FILE = Path(__file__).parents[3] / "spec" / "values" / "corpus.json"
SHORT = 4096


def unhex(long):
    if isinstance(long, str):
        return bytes.fromhex(long)
    return b"".join(
        bytes.fromhex(part) if isinstance(part, str) else bytes.fromhex(part[0]) * part[1]
        for part in long
    )


CORPUS = json.loads(FILE.read_text())
GOOD = [entry for entry in CORPUS if "refused" not in entry]
REFUSED = [entry for entry in CORPUS if "refused" in entry]


def compare(entry, back, language):
    """What came back, as bytes, with what the corpus wants of a way through that language."""
    wanted = unhex(entry.get("through", {}).get(language) or entry.get("back", entry["hex"]))
    if isinstance(back, float) and math.isnan(back):
        wanted_value = codec.decode(wanted)
        return [] if math.isnan(wanted_value) else [f"{entry['name']}: NaN"]
    found = codec.encode(back)
    if found == wanted:
        return []
    return [f"{entry['name']}: {found[:40].hex()} instead of {wanted[:40].hex()}"]


def round_trips(pool):
    language = pool.call("launched")["language"]
    wrong = []
    for entry in GOOD:
        try:
            back = pool.call("echo", codec.decode(unhex(entry["hex"])))
        except procall.Error as error:
            wrong.append(f"{entry['name']}: {error}")
        else:
            wrong += compare(entry, back, language)
    assert not wrong, wrong


def both_ways(pool):
    language = pool.call("launched")["language"]
    entries = [entry for entry in GOOD if len(unhex(entry["hex"])) <= SHORT]
    wrong = []
    with pool.duplex("mirror") as call:
        for entry in entries:
            assert call.send(codec.decode(unhex(entry["hex"]))), "it wanted no more"
            wrong += compare(entry, next(call), language)
        call.finish()
        assert list(call) == [], "one more"
    assert not wrong, wrong
    with pool.duplex("mirror") as call:
        call.finish()
        assert list(call) == [], "an item of nothing"


def error_of(pool, method, *args):
    """The error of a call, which must fail."""
    try:
        back = pool.call(method, *args)
    except procall.Error as error:
        return error
    raise AssertionError(f"{str(args)[:80]} became {str(back)[:80]}")


def refusals(pool):
    wrong = []
    for entry in REFUSED:
        try:
            value = native(entry["value"]) if "value" in entry else None
        except Inexpressible:
            continue
        if value is not None:
            error = error_of(pool, "echo", value)
            if (error.code, error.executed) != ("INVALID_ARGUMENT", "no"):
                wrong.append(f"{entry['name']}: {error}")
    error = error_of(pool, "too_large")
    if (error.code, error.executed) != ("INVALID_RESULT", "yes"):
        wrong.append(f"2^64 as a result: {error}")
    assert not wrong, wrong
    # Nobody has been harmed.
    assert pool.call("add", 1, 2) == 3


class Inexpressible(Exception):
    pass


def native(told):
    """A value that must be refused, where this language can make it: a dict has no key twice."""
    ((kind, content),) = told.items()
    match kind:
        case "int":
            return int(content)
        case "utf16":
            # Halves of a pair that do not belong together.
            return "".join(chr(int(content[at : at + 4], 16)) for at in range(0, len(content), 4))
        case "array":
            return [native(each) for each in content]
        case "nested":
            value = []
            for _ in range(content - 1):
                value = [value]
            return value
        case "map":
            made = {key_of(key): native(value) for key, value in content}
            if len(made) < len(content):
                raise Inexpressible
            return made
        case "map_of_integers":
            return {int(key): native(value) for key, value in content}
        case "elements":
            return [0] * content
    raise AssertionError(f"no value is called {kind}")


def key_of(told):
    if isinstance(told, str):
        return told
    return told["repeat"][0] * told["repeat"][1] if "repeat" in told else native(told)
