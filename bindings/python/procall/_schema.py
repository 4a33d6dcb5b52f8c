"""Type hints: as JSON Schema for the registration, and as checks for what arrives.

Only what the program has imported already is looked at, so a service without ``typing``, ``enum``
or Pydantic pays for none of them.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NONE, BOOL, INT, FLOAT, STR, BYTES, LIST, DICT = (1 << bit for bit in range(8))
ANYTHING = 0


class Hint:
    """What a type hint comes to."""

    __slots__ = ("convert", "schema", "shown", "types")

    def __init__(
        self,
        schema: dict[str, Any],
        types: int = ANYTHING,
        shown: str = "",
        convert: Callable[[Any], Any] | None = None,
    ) -> None:
        self.schema = schema
        """JSON Schema, draft 2020-12."""
        self.types = types
        """The kinds of values that fit, as bits."""
        self.shown = shown
        """What people call it."""
        self.convert = convert
        """Makes the promised value of the one that arrived; raises ``ValueError``."""


_SIMPLE: dict[Any, tuple[dict[str, Any], int, str]] = {
    int: ({"type": "integer"}, INT, "int"),
    float: ({"type": "number"}, FLOAT, "float"),
    str: ({"type": "string"}, STR, "str"),
    bool: ({"type": "boolean"}, BOOL, "bool"),
    # In JSON, bytes are an object with a key of their own, so no schema type says it.
    bytes: ({"x-type": "bytes"}, BYTES, "bytes"),
    None: ({"type": "null"}, NONE, "None"),
    type(None): ({"type": "null"}, NONE, "None"),
    list: ({"type": "array"}, LIST, "list"),
    dict: ({"type": "object"}, DICT, "dict"),
}


def read(hint: Any) -> Hint:
    """What a hint comes to; one that is not known takes anything."""
    simple = _SIMPLE.get(hint) if isinstance(hint, type) or hint is None else None
    if simple is not None:
        schema, types, shown = simple
        return Hint(dict(schema), types, shown)
    if hint is tuple:
        return Hint({"type": "array"}, LIST, "tuple", tuple)
    if isinstance(hint, type) and not hasattr(hint, "__origin__"):
        return _class(hint)
    origin = getattr(hint, "__origin__", None)
    if hasattr(hint, "__metadata__"):
        return read(origin)
    arguments: tuple[Any, ...] = getattr(hint, "__args__", ())
    if _is_typing(origin, "NotRequired") or _is_typing(origin, "Required"):
        return read(arguments[0])
    if type(hint) is type(int | str) or _is_typing(origin, "Union"):
        return _union([read(argument) for argument in arguments])
    if _is_typing(origin, "Literal"):
        return _literal(arguments)
    name = getattr(origin, "__name__", "")
    if name in ("list", "Sequence", "Iterable", "Collection"):
        return _list(read(arguments[0]))
    if name == "tuple":
        return _tuple(arguments)
    if name in ("dict", "Mapping", "MutableMapping"):
        return _dict(read(arguments[1]))
    return Hint({})


def is_stream(hint: Any) -> bool:
    """Whether a parameter with this hint takes the stream that the caller sends."""
    origin = getattr(hint, "__origin__", hint)
    return getattr(origin, "__module__", "") in ("collections.abc", "typing") and getattr(
        origin, "__name__", ""
    ) in ("Iterator", "AsyncIterator", "AsyncIterable")


def item_of(hint: Any) -> Any:
    """The items of a generator's return hint, if it says."""
    arguments = getattr(hint, "__args__", ())
    return arguments[0] if arguments else _UNKNOWN


_UNKNOWN = object()


def _is_typing(origin: Any, name: str) -> bool:
    typing = sys.modules.get("typing")
    return typing is not None and origin is not None and origin is getattr(typing, name)


def _class(hint: type) -> Hint:
    enum = sys.modules.get("enum")
    if enum is not None and issubclass(hint, enum.Enum):
        return _enum(hint)
    if hasattr(hint, "__dataclass_fields__"):
        return _dataclass(hint)
    if hasattr(hint, "model_json_schema") and hasattr(hint, "model_validate"):
        return Hint(hint.model_json_schema(), DICT, hint.__name__, hint.model_validate)
    if hasattr(hint, "__required_keys__") and issubclass(hint, dict):
        return _typed_dict(hint)
    return Hint({})


def _union(options: list[Hint]) -> Hint:
    schemas = [option.schema for option in options]
    schema: dict[str, Any] = {} if any(not each for each in schemas) else {"anyOf": schemas}
    types = ANYTHING
    if all(option.types for option in options):
        for option in options:
            types |= option.types
    shown = " or ".join(option.shown for option in options if option.shown)
    if not any(option.convert for option in options):
        return Hint(schema, types, shown)

    def convert(value: Any) -> Any:
        reasons = []
        for option in options:
            if not fits(value, option.types):
                continue
            try:
                return option.convert(value) if option.convert else value
            except ValueError as error:
                reasons.append(str(error))
        raise ValueError(reasons[0] if reasons else f"must be {shown}")

    return Hint(schema, types, shown, convert)


def fits(value: Any, types: int) -> bool:
    """Whether a value is of one of these kinds."""
    if types == ANYTHING:
        return True
    for kind, bits in _KINDS:
        if type(value) is kind:
            return bool(bits & types)
    return False


_KINDS = (
    (int, INT | FLOAT),
    (str, STR),
    (float, FLOAT),
    (type(None), NONE),
    (bool, BOOL),
    (list, LIST),
    (dict, DICT),
    (bytes, BYTES),
)


def _literal(values: tuple[Any, ...]) -> Hint:
    shown = " or ".join(repr(value) for value in values)

    def convert(value: Any) -> Any:
        if not any(value == each and type(value) is type(each) for each in values):
            raise ValueError(f"must be {shown}, not {value!r}")
        return value

    return Hint({"enum": list(values)}, ANYTHING, shown, convert)


def _enum(hint: Any) -> Hint:
    values = [member.value for member in hint]
    shown = " or ".join(repr(value) for value in values)

    def convert(value: Any) -> Any:
        try:
            return hint(value)
        except ValueError:
            raise ValueError(f"must be {shown}, not {value!r}") from None

    return Hint({"enum": values}, ANYTHING, shown, convert)


def _list(item: Hint) -> Hint:
    schema: dict[str, Any] = {"type": "array"}
    if item.schema:
        schema["items"] = item.schema
    return Hint(schema, LIST, "list", _items(item, list))


def _items(item: Hint, make: Callable[[Any], Any]) -> Callable[[Any], Any] | None:
    if item.types == ANYTHING and item.convert is None:
        return None if make is list else make

    def convert(values: list[Any]) -> Any:
        return make(_element(f"[{at}]", value, item) for at, value in enumerate(values))

    return convert


def _element(where: str, value: Any, hint: Hint) -> Any:
    if not fits(value, hint.types):
        raise ValueError(f"has {where}, which must be {hint.shown}, not {type(value).__name__}")
    if hint.convert is None:
        return value
    try:
        return hint.convert(value)
    except ValueError as error:
        raise ValueError(f"has {where}, which {error}") from None


def _tuple(arguments: tuple[Any, ...]) -> Hint:
    if len(arguments) == 2 and arguments[1] is ...:
        item = read(arguments[0])
        return Hint(_list(item).schema, LIST, "tuple", _items(item, tuple))
    items = [read(argument) for argument in arguments if argument != ()]

    def convert(values: list[Any]) -> Any:
        if len(values) != len(items):
            raise ValueError(f"must have {len(items)} items, not {len(values)}")
        pairs = zip(values, items, strict=True)
        return tuple(_element(f"[{at}]", value, item) for at, (value, item) in enumerate(pairs))

    schema: dict[str, Any] = {
        "type": "array",
        "prefixItems": [item.schema for item in items],
        "items": False,
    }
    return Hint(schema, LIST, "tuple", convert)


def _dict(value: Hint) -> Hint:
    schema: dict[str, Any] = {"type": "object"}
    if value.schema:
        schema["additionalProperties"] = value.schema
    if value.types == ANYTHING and value.convert is None:
        return Hint(schema, DICT, "dict")

    def convert(values: dict[str, Any]) -> Any:
        return {key: _element(f".{key}", each, value) for key, each in values.items()}

    return Hint(schema, DICT, "dict", convert)


def _object(hint: type, fields: dict[str, Hint], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "title": hint.__name__,
        "properties": {name: field.schema for name, field in fields.items()},
        "required": required,
        "additionalProperties": False,
    }


def _fields(
    hint: type, fields: dict[str, Hint], required: list[str], values: Any
) -> dict[str, Any]:
    for name in required:
        if name not in values:
            raise ValueError(f"misses the field {name}")
    for name in values:
        if name not in fields:
            raise ValueError(f"has the field {name}, which {hint.__name__} does not know")
    return {name: _element(f".{name}", value, fields[name]) for name, value in values.items()}


def _dataclass(hint: Any) -> Hint:
    import dataclasses

    hints = resolved(hint)
    own = [field for field in dataclasses.fields(hint) if field.init]
    fields = {field.name: read(hints.get(field.name, _UNKNOWN)) for field in own}
    missing = dataclasses.MISSING
    required = [
        field.name for field in own if field.default is missing and field.default_factory is missing
    ]

    def convert(values: dict[str, Any]) -> Any:
        return hint(**_fields(hint, fields, required, values))

    return Hint(_object(hint, fields, required), DICT, hint.__name__, convert)


def _typed_dict(hint: Any) -> Hint:
    # The class itself takes a field for required when its hints are text, so the hints say it.
    hints = resolved(hint, with_extras=True)
    fields = {name: read(each) for name, each in hints.items()}
    required = [
        name
        for name, each in hints.items()
        if not _is_typing(getattr(each, "__origin__", None), "NotRequired")
        and (hint.__total__ or _is_typing(getattr(each, "__origin__", None), "Required"))
    ]

    def convert(values: dict[str, Any]) -> Any:
        return _fields(hint, fields, required, values)

    return Hint(_object(hint, fields, required), DICT, hint.__name__, convert)


def resolved(hint: Any, *, with_extras: bool = False) -> dict[str, Any]:
    """The hints of a class, with those that are text made real."""
    import typing

    try:
        return typing.get_type_hints(hint, include_extras=with_extras)
    except Exception:
        # A hint that names something unknown takes anything.
        return {}
