"""Type hints: as JSON Schema for the registration, and as checks for what arrives.

Only what the program has imported already is looked at, so a service without ``typing``, ``enum``
or Pydantic pays for none of them.
"""

from __future__ import annotations

import sys

from procall._native import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

NONE, BOOL, INT, FLOAT, STR, BYTES, LIST, DICT = (1 << bit for bit in range(8))
ANYTHING = 0


class Wrong(ValueError):
    """A value that does not fit its hint; all that is wrong with it."""

    def __init__(self, problems: list[tuple[tuple[str | int, ...], str]]) -> None:
        self.problems = problems
        """Each with where it is, from the value inwards, and what is wrong there."""

    def __str__(self) -> str:
        where, message = self.problems[0]
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        if not where:
            return message + more
        if message == MISSING:
            return f"misses the field {place(where).lstrip('.')}{more}"
        return f"has {place(where)}, which {message}{more}"

    def under(self, step: str | int) -> list[tuple[tuple[str | int, ...], str]]:
        return [((step, *where), message) for where, message in self.problems]


MISSING = "missing"


def place(where: Iterable[str | int]) -> str:
    """Where in a value, for people: ``.user.tags[3]``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)


def pointer(where: Iterable[str | int]) -> str:
    """Where in a value, as a JSON pointer: ``/user/tags/3``."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in where)


def told(error: Wrong, *before: str | int) -> list[tuple[str, str]]:
    """What is wrong, as it travels: where, as a JSON pointer, and what."""
    return [
        (pointer((*before, *where))[:MOST_TEXT], message[:MOST_TEXT])
        for where, message in error.problems[:MOST_PROBLEMS]
    ]


def wrong(message: str) -> Wrong:
    return Wrong([((), message)])


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

    def make(self, value: Any) -> Any:
        """The promised value of one that arrived. Raises ``Wrong`` with all that is wrong."""
        if not fits(value, self.types):
            raise wrong(f"must be {self.shown}, not {type(value).__name__}")
        if self.convert is None:
            return value
        try:
            return self.convert(value)
        except Wrong:
            raise
        except Exception as error:
            # What a class of the program's says about its own fields.
            raise wrong(str(error) or type(error).__name__) from None


_SIMPLE: dict[Any, tuple[dict[str, Any], int, str]] = {
    int: ({"type": "integer"}, INT, "int"),
    float: ({"type": "number"}, FLOAT, "float"),
    str: ({"type": "string"}, STR, "str"),
    bool: ({"type": "boolean"}, BOOL, "bool"),
    # The one form of bytes in every language; section 12 of spec/protocol.md.
    bytes: (
        {"type": "string", "contentEncoding": "base64", "x-procall": "bytes"},
        BYTES,
        "bytes",
    ),
    None: ({"type": "null"}, NONE, "None"),
    type(None): ({"type": "null"}, NONE, "None"),
    list: ({"type": "array"}, LIST, "list"),
    dict: ({"type": "object"}, DICT, "dict"),
}

_LISTS = ("list", "Sequence", "MutableSequence", "Iterable", "Collection")
_DICTS = ("dict", "Mapping", "MutableMapping")
_ARRAYS = (("numpy", "ndarray"), ("array", "array"), ("procall", "TypedBuffer"))
_INSTEAD = {
    "set": "list[...]",
    "frozenset": "list[...]",
    "datetime": "str, with isoformat()",
    "date": "str, with isoformat()",
    "time": "str, with isoformat()",
    "timedelta": "float, in seconds",
    "Decimal": "str",
    "UUID": "str",
    "Path": "str",
    "PosixPath": "str",
    "complex": "tuple[float, float]",
}


class Inexpressible(TypeError):
    """A hint that no JSON Schema can express."""


class Unresolved(TypeError):
    """A hint names something that is not there, or not yet."""


def read(hint: Any) -> Hint:
    """What a hint comes to; ``Any``, ``object`` and no hint take anything. Raises
    ``Inexpressible``.
    """
    simple = _SIMPLE.get(hint) if isinstance(hint, type) or hint is None else None
    if simple is not None:
        schema, types, shown = simple
        return Hint(dict(schema), types, shown)
    if hint is UNKNOWN or hint is object or hint is Context or _is_typing(hint, "Any"):
        return Hint({})
    if any(_is_typing(hint, name) for name in ("NoReturn", "Never")):
        return Hint({})
    if isinstance(hint, str) or type(hint).__name__ == "ForwardRef":
        name = getattr(hint, "__forward_arg__", hint)
        raise Inexpressible(f"has {name!r} inside its hint; put the whole hint in quotes")
    if type(hint).__name__ == "TypeVar":
        # It says that two hints are the same, which no schema can; a bound can be checked.
        return read(hint.__bound__) if hint.__bound__ is not None else Hint({})
    if hint is tuple:
        return Hint({"type": "array"}, LIST, "tuple", tuple)
    if hint is bytearray:
        return Hint(dict(_SIMPLE[bytes][0]), BYTES, "bytes", bytearray)
    if isinstance(hint, type) and not hasattr(hint, "__origin__"):
        return _class(hint)
    origin = getattr(hint, "__origin__", None)
    if hasattr(hint, "__metadata__"):
        return read(origin)
    if hasattr(hint, "__supertype__"):
        return read(hint.__supertype__)
    if type(hint).__name__ == "TypeAliasType":
        return read(hint.__value__)
    arguments: tuple[Any, ...] = getattr(hint, "__args__", ())
    if any(_is_typing(origin, name) for name in ("NotRequired", "Required", "ReadOnly")):
        return read(arguments[0])
    if type(hint) is type(int | str) or _is_typing(origin, "Union"):
        return _union([read(argument) for argument in arguments])
    if _is_typing(origin, "Literal"):
        return _literal(arguments)
    return _generic(hint, origin, arguments)


def _generic(hint: Any, origin: Any, arguments: tuple[Any, ...]) -> Hint:
    name = getattr(origin, "__name__", "")
    home = getattr(origin, "__module__", "")
    if home in ("builtins", "collections.abc", "typing"):
        if name in _LISTS:
            return _list(read(arguments[0]) if arguments else Hint({}))
        if name == "tuple":
            return _tuple(arguments)
        if name in _DICTS:
            key = arguments[0] if arguments else str
            if key is not str and not _is_typing(key, "Any") and read(key).types != STR:
                raise Inexpressible(f"has keys of {_shown(key)}; keys must be str")
            return _dict(read(arguments[1]) if arguments else Hint({}))
    if isinstance(origin, type) and home not in ("builtins", "collections.abc", "typing"):
        # A generic class of the program's, as in Page[Item], or an array of numpy's.
        return _class(hint if hasattr(hint, "model_json_schema") else origin)
    raise _inexpressible(hint)


def _shown(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) else str(hint)


def _inexpressible(hint: Any) -> Inexpressible:
    name = getattr(getattr(hint, "__origin__", hint), "__name__", "")
    instead = _INSTEAD.get(name)
    fix = f"; use {instead}" if instead else "; use a dataclass, a TypedDict, or Any"
    return Inexpressible(f"has the hint {_shown(hint)}, which no other language knows{fix}")


def is_stream(hint: Any) -> bool:
    """Whether a parameter with this hint takes the stream that the caller sends."""
    origin = getattr(hint, "__origin__", hint)
    return getattr(origin, "__module__", "") in ("collections.abc", "typing") and getattr(
        origin, "__name__", ""
    ) in ("Iterator", "AsyncIterator", "AsyncIterable")


def item_of(hint: Any) -> Any:
    """The items of a generator's return hint, if it says."""
    arguments = getattr(hint, "__args__", ())
    return arguments[0] if arguments else UNKNOWN


UNKNOWN = object()
"""No hint."""


def _is_typing(origin: Any, name: str) -> bool:
    typing = sys.modules.get("typing")
    return typing is not None and origin is not None and origin is getattr(typing, name, None)


def _class(hint: type) -> Hint:
    enum = sys.modules.get("enum")
    if enum is not None and issubclass(hint, enum.Enum):
        return _enum(hint)
    if hasattr(hint, "model_json_schema") and hasattr(hint, "model_validate"):
        from procall import _models

        return _models.pydantic(hint)
    if hasattr(hint, "__struct_fields__") and hasattr(hint, "__struct_config__"):
        from procall import _models

        return _models.msgspec(hint)
    if hasattr(hint, "__dataclass_fields__"):
        return _dataclass(hint)
    if hasattr(hint, "__required_keys__") and issubclass(hint, dict):
        return _typed_dict(hint)
    if issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return _named_tuple(hint)
    home = hint.__module__.partition(".")[0]
    if (home, hint.__name__) in _ARRAYS:
        # An array of typed items, which arrives as itself.
        return Hint({"type": "object", "required": ["$tensor"], "x-procall": "buffer"})
    if hint is memoryview:
        # Bytes, or an array.
        return Hint({})
    if hint.__name__ in _LISTS and home in ("collections", "typing"):
        return Hint({"type": "array"}, LIST, "list")
    if hint.__name__ in _DICTS and home in ("collections", "typing"):
        return Hint({"type": "object"}, DICT, "dict")
    raise _inexpressible(hint)


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
                return option.make(value)
            except Wrong as error:
                reasons.append(error)
        if len(reasons) == 1:
            raise reasons[0]
        raise wrong(f"must be {shown}")

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
    enum = sys.modules.get("enum")
    # By what travels: an enum's member as its value.
    known = [
        (each.value if enum is not None and isinstance(each, enum.Enum) else each, each)
        for each in values
    ]
    shown = " or ".join(repr(value) for value, _ in known)

    def convert(value: Any) -> Any:
        for each, meant in known:
            if value == each and type(value) is type(each):
                return meant
        raise wrong(f"must be {shown}, not {_clipped(value)}")

    return Hint({"enum": [value for value, _ in known]}, ANYTHING, shown, convert)


def _clipped(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _enum(hint: Any) -> Hint:
    values = [member.value for member in hint]
    for value in values:
        if type(value) not in (int, str, float, bool, type(None)):
            raise Inexpressible(
                f"has the hint {hint.__qualname__}, whose value {value!r} is no number and no text"
            )
    shown = " or ".join(repr(value) for value in values)

    def convert(value: Any) -> Any:
        try:
            return hint(value)
        except ValueError:
            raise wrong(f"must be {shown}, not {_clipped(value)}") from None

    return Hint({"enum": values}, ANYTHING, shown, convert)


def gather(pairs: Iterable[tuple[str | int, Any, Hint]]) -> list[Any]:
    """The promised value of each; raises ``Wrong`` with all that is wrong with any."""
    made = []
    problems: list[tuple[tuple[str | int, ...], str]] = []
    for step, value, hint in pairs:
        try:
            made.append(hint.make(value))
        except Wrong as error:
            problems += error.under(step)
            if len(problems) >= MOST_PROBLEMS:
                break
    if problems:
        raise Wrong(problems)
    return made


MOST_PROBLEMS = 50
"""An answer with more would help nobody, and might not fit."""
MOST_TEXT = 200
"""Longest message and path about one field, in characters."""


def _list(item: Hint) -> Hint:
    schema: dict[str, Any] = {"type": "array"}
    if item.schema:
        schema["items"] = item.schema
    return Hint(schema, LIST, "list", _items(item, list))


def _items(item: Hint, make: Callable[[Any], Any]) -> Callable[[Any], Any] | None:
    if item.types == ANYTHING and item.convert is None:
        return None if make is list else make

    simple = frozenset(kind for kind, bits in _KINDS if bits & item.types)

    def convert(values: list[Any]) -> Any:
        # Long lists of plain values are common, and need not be looked at one by one.
        if item.convert is None and simple.issuperset(map(type, values)):
            return values if make is list else make(values)
        return make(gather((at, value, item) for at, value in enumerate(values)))

    return convert


def _tuple(arguments: tuple[Any, ...]) -> Hint:
    if len(arguments) == 2 and arguments[1] is ...:
        item = read(arguments[0])
        return Hint(_list(item).schema, LIST, "tuple", _items(item, tuple))
    items = [read(argument) for argument in arguments if argument != ()]

    def convert(values: list[Any]) -> Any:
        if len(values) != len(items):
            raise wrong(f"must have {len(items)} items, not {len(values)}")
        pairs = zip(values, items, strict=True)
        return tuple(gather((at, value, item) for at, (value, item) in enumerate(pairs)))

    schema: dict[str, Any] = {
        "type": "array",
        "prefixItems": [item.schema for item in items],
        "items": False,
    }
    return Hint(schema, LIST, "tuple", convert)


def _named_tuple(hint: Any) -> Hint:
    hints = resolved(hint)
    items = [read(hints.get(name, UNKNOWN)) for name in hint._fields]
    least = len(items) - len(hint._field_defaults)

    def convert(values: list[Any]) -> Any:
        if not least <= len(values) <= len(items):
            raise wrong(f"must have {len(items)} items, not {len(values)}")
        pairs = zip(values, items, strict=False)
        return hint(*gather((at, value, item) for at, (value, item) in enumerate(pairs)))

    schema: dict[str, Any] = {
        "type": "array",
        "title": hint.__name__,
        "prefixItems": [item.schema for item in items],
        "minItems": least,
        "items": False,
    }
    return Hint(schema, LIST, hint.__name__, convert)


def _dict(value: Hint) -> Hint:
    schema: dict[str, Any] = {"type": "object"}
    if value.schema:
        schema["additionalProperties"] = value.schema
    if value.types == ANYTHING and value.convert is None:
        return Hint(schema, DICT, "dict")

    def convert(values: dict[str, Any]) -> Any:
        made = gather((key, each, value) for key, each in values.items())
        return dict(zip(values, made, strict=True))

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
    hint: type,
    fields: dict[str, Hint],
    required: list[str],
    values: Any,
    made_by_itself: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    problems: list[tuple[tuple[str | int, ...], str]] = [
        ((name,), MISSING) for name in required if name not in values
    ]
    known = {name: value for name, value in values.items() if name in fields}
    problems += [
        ((name,), f"{hint.__name__} does not know")
        for name in values
        if name not in fields and name not in made_by_itself
    ]
    made: list[Any] = []
    try:
        made = gather((name, value, fields[name]) for name, value in known.items())
    except Wrong as error:
        problems += error.problems
    if problems:
        raise Wrong(problems)
    return dict(zip(known, made, strict=True))


_reading: dict[type, list[Hint]] = {}
"""The classes that are being read, each with its hint once that is known."""


def _once(hint: type, build: Callable[[], Hint]) -> Hint:
    """A class may contain itself, as trees do; its inner schema then says no more than its kind."""
    known = _reading.get(hint)
    if known is not None:
        schema = {"type": "object", "title": hint.__name__}
        return Hint(schema, DICT, hint.__name__, lambda value: known[0].make(value))
    _reading[hint] = []
    try:
        built = build()
        _reading[hint].append(built)
        return built
    finally:
        del _reading[hint]


def _dataclass(hint: Any) -> Hint:
    import dataclasses

    def build() -> Hint:
        hints = resolved(hint)
        own = [field for field in dataclasses.fields(hint) if field.init]
        fields = {field.name: _field(hint, field.name, hints) for field in own}
        # They travel with an instance, and are made anew at the other side.
        rest = frozenset(field.name for field in dataclasses.fields(hint) if not field.init)
        missing = dataclasses.MISSING
        required = [
            field.name
            for field in own
            if field.default is missing and field.default_factory is missing
        ]

        def convert(values: dict[str, Any]) -> Any:
            return hint(**_fields(hint, fields, required, values, rest))

        return Hint(_object(hint, fields, required), DICT, hint.__name__, convert)

    return _once(hint, build)


def _field(owner: type, name: str, hints: dict[str, Any]) -> Hint:
    try:
        return read(hints.get(name, UNKNOWN))
    except Inexpressible as error:
        raise Inexpressible(f"has the hint {owner.__name__}, whose field {name} {error}") from None


def _typed_dict(hint: Any) -> Hint:
    def build() -> Hint:
        # The class takes a field for required when its hints are text, so the hints say it.
        hints = resolved(hint, with_extras=True)
        fields = {name: _field(hint, name, hints) for name in hints}
        required = [
            name
            for name, each in hints.items()
            if not _is_typing(getattr(each, "__origin__", None), "NotRequired")
            and (hint.__total__ or _is_typing(getattr(each, "__origin__", None), "Required"))
        ]

        def convert(values: dict[str, Any]) -> Any:
            return _fields(hint, fields, required, values)

        return Hint(_object(hint, fields, required), DICT, hint.__name__, convert)

    return _once(hint, build)


def resolved(hint: Any, *, with_extras: bool = False) -> dict[str, Any]:
    """The hints of a class, with those that are text made real."""
    import typing

    try:
        return typing.get_type_hints(hint, include_extras=with_extras)
    except NameError as error:
        raise Unresolved(f"has the hint {hint.__qualname__}, but {error}") from None
    except Exception as error:
        raise Inexpressible(f"has the hint {hint.__qualname__}, but {error}") from None
