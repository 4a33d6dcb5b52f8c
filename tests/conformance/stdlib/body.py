"""Bodies in JSON: section 18 of `spec/protocol.md`."""

import base64
import json
from typing import Any


def marked(value: Any) -> Any:
    """A value as the JSON that travels."""
    match value:
        case bytes():
            return {"$bytes": base64.b64encode(value).decode()}
        case bool() | None | str() | float():
            return value
        case int():
            if not -(2**63) <= value < 2**64:
                raise ValueError(f"the integer {value} does not fit 64 bits")
            return value
        case list():
            return [marked(each) for each in value]
        case dict():
            return {f"${key}" if key[:1] == "$" else key: marked(value[key]) for key in value}
    raise ValueError(f"a {type(value).__name__} cannot travel")


def text(value: Any) -> str:
    """The JSON text of what was marked; NaN and infinities are errors."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """A value that has travelled as the language's own."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"$bytes"}:
        return base64.b64decode(value["$bytes"], validate=True)
    read = {}
    for key, each in value.items():
        if key[:1] == "$" and key[:2] != "$$":
            raise ValueError(f"the mark {key} is unknown")
        read[key[1:] if key[:1] == "$" else key] = plain(each)
    return read
