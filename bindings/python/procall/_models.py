"""Models of Pydantic and msgspec, which check their own fields; loaded when a program has one."""

from __future__ import annotations

from procall._schema import DICT, Hint, Wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def pydantic(model: Any) -> Hint:
    """A Pydantic model: its own schema, its own validation."""

    # Instances travel by the names of their fields, and may be given by their aliases too.
    fields = getattr(model, "model_fields", {}).values()
    aliased = any(field.validation_alias for field in fields)
    options = {"by_name": True, "by_alias": True} if aliased else {}

    def convert(value: Any) -> Any:
        try:
            return model.model_validate(value, **options)
        except ValueError as error:
            errors = getattr(error, "errors", None)
            if errors is None:
                raise
            found = errors()
            raise Wrong([(tuple(each["loc"]), _sentence(each["msg"])) for each in found]) from None

    return Hint(model.model_json_schema(), DICT, model.__name__, convert)


def msgspec(struct: Any) -> Hint:
    """A Struct of msgspec. It stops at the first wrong field."""
    import msgspec as library

    types = DICT
    if struct.__struct_config__.array_like:
        from procall._schema import LIST

        types = LIST
    (reference,), definitions = library.json.schema_components([struct])
    # One document: the definitions of the fields' types stand beside it.
    definitions = _moved(definitions)
    inner = reference["$ref"].rpartition("/")[2]
    schema = dict(definitions[inner])
    if not _mentions(definitions, f"#/$defs/{inner}"):
        del definitions[inner]
    if definitions:
        schema["$defs"] = definitions

    def convert(value: Any) -> Any:
        try:
            return library.convert(value, struct, builtin_types=(bytes, bytearray))
        except library.ValidationError as error:
            text, _, path = str(error).partition(" - at `$")
            raise Wrong([(_steps(path.rstrip("`")), _sentence(text))]) from None

    return Hint(schema, types, struct.__name__, convert)


def _moved(value: Any) -> Any:
    """References as this document has them."""
    if isinstance(value, dict):
        return {
            key: each.replace("#/components/schemas/", "#/$defs/")
            if key == "$ref" and isinstance(each, str)
            else _moved(each)
            for key, each in value.items()
        }
    return [_moved(each) for each in value] if isinstance(value, list) else value


def _mentions(value: Any, reference: str) -> bool:
    if isinstance(value, dict):
        return any(
            each == reference if key == "$ref" else _mentions(each, reference)
            for key, each in value.items()
            if key != "discriminator"
        )
    return isinstance(value, list) and any(_mentions(each, reference) for each in value)


def _steps(path: str) -> tuple[str | int, ...]:
    """``.users[0].name`` as its steps."""
    steps: list[str | int] = []
    for part in path.replace("[", ".[").split("."):
        if part.startswith("["):
            inner = part.strip("[]")
            steps.append(int(inner) if inner.isdigit() else inner)
        elif part:
            steps.append(part)
    return tuple(steps)


def _sentence(text: str) -> str:
    """What a library says, so that it goes on from the name of a field."""
    return text[:1].lower() + text[1:] if text[:1].isupper() and text[1:2].islower() else text
