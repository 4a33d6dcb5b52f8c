"""``request_model``: the params of a call as one model, which the handler takes whole or as its
fields.
"""

from __future__ import annotations

from procall import _schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from procall._signature import Parameter


class Request:
    """What a handler takes of its ``request_model``."""

    __slots__ = ("_fields", "_hint", "_names", "_whole", "_wires")

    def __init__(
        self,
        model: Any,
        hint: _schema.Hint,
        parameters: list[Parameter],
        *,
        args: bool,
        kwargs: bool,
    ) -> None:
        """``parameters`` are those of the handler that take params; ``args`` and ``kwargs`` say
        whether it has ``*args`` and ``**kwargs``. Raises ``TypeError`` when they do not fit.
        """
        if hint.types != _schema.DICT:
            raise TypeError("request_model needs a model: a class with named fields")
        fields = _fields(model)
        self._hint = hint
        self._fields = fields
        self._names = [parameter.name for parameter in parameters]
        self._whole = len(parameters) == 1 and not kwargs and _takes(parameters[0], model, fields)
        if args:
            raise TypeError("with request_model it takes fields by name, which *args cannot")
        self._wires = {} if self._whole else _wires(model, fields, hint.schema)
        if self._whole:
            return
        fix = "it takes the model as its only parameter, or its fields by their names"
        if not kwargs:
            for field in fields:
                if field not in self._names:
                    raise TypeError(
                        f"its request_model has the field {field}, but the function has no such "
                        f"parameter; {fix}"
                    )
        # An instance of a TypedDict lacks the fields that were not given.
        required = hint.schema.get("required", ()) if issubclass(model, dict) else fields
        for parameter in parameters:
            if not parameter.required:
                continue
            if parameter.name not in fields:
                raise TypeError(
                    f"it has the parameter {parameter.name}, which is no field of its "
                    f"request_model; {fix}"
                )
            if parameter.name not in required:
                raise TypeError(
                    f"the field {parameter.name} of its request_model may be absent; give the "
                    "parameter a default"
                )

    @property
    def params(self) -> list[str] | None:
        """The names of the params in their order, as they travel; ``None`` when a caller cannot
        give them one by one.
        """
        if self._whole:
            return None
        return [self._wires[name] for name in self._names if name in self._wires]

    def read(
        self, given: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """The handler's arguments by name, and all that is wrong with what was given: each with
        its place.
        """
        places: dict[str, int] = {}
        before: tuple[int, ...] = ()
        value: Any = dict(named)
        if given and (self._whole or self._is_whole(given)):
            value, before, most = given[0], (0,), 1
        else:
            names = [name for name in self._names if name in self._fields]
            for at, name in enumerate(names[: len(given)]):
                value[self._fields[name]] = given[at]
                places[self._fields[name]] = places[self._wires.get(name, name)] = at
            most = len(names)
        problems = [
            (_schema.pointer((at,)), "one argument too many") for at in range(most, len(given))
        ]
        try:
            made = self._hint.make(value)
        except _schema.Wrong as error:
            moved = [(_moved(where, places), what) for where, what in error.problems]
            return {}, _schema.told(_schema.Wrong(moved), *before) + problems
        if self._whole:
            return {self._names[0]: made}, problems
        return self._spread(made), problems

    def _is_whole(self, given: tuple[Any, ...]) -> bool:
        """Whether the only argument is an object with the fields, and not the first of them."""
        if len(given) != 1 or not isinstance(given[0], dict):
            return False
        known = {*self._fields.values(), *self._wires.values()}
        return any(name in known for name in given[0])

    def _spread(self, made: Any) -> dict[str, Any]:
        if isinstance(made, dict):
            return made
        values = {name: getattr(made, name) for name in self._fields}
        # Pydantic's, where the model takes names that it does not know.
        values.update(getattr(made, "__pydantic_extra__", None) or {})
        return values


def _takes(parameter: Parameter, model: Any, fields: dict[str, str]) -> bool:
    """Whether the only parameter takes the model itself, and not its only field."""
    hint = parameter.told
    return (
        hint is model
        or getattr(hint, "__origin__", hint) is model
        or (parameter.name not in fields)
    )


def _fields(model: Any) -> dict[str, str]:
    """The fields of a model, each with the name under which its class reads it."""
    known = getattr(model, "model_fields", None)
    if known is not None:
        return {name: name for name in known}
    known = getattr(model, "__struct_fields__", None)
    if known is not None:
        return dict(zip(known, model.__struct_encode_fields__, strict=True))
    known = getattr(model, "__dataclass_fields__", None)
    if known is not None:
        import dataclasses

        return {field.name: field.name for field in dataclasses.fields(model) if field.init}
    return {name: name for name in getattr(model, "__annotations__", {})}


def _wires(model: Any, fields: dict[str, str], schema: dict[str, Any]) -> dict[str, str]:
    """The name of each field as the schema has it."""
    properties = schema.get("properties", {})
    wires = {}
    for name, read in fields.items():
        alias = getattr(getattr(model, "model_fields", {}).get(name), "validation_alias", None)
        for each in (read, alias):
            if isinstance(each, str) and each in properties:
                wires[name] = each
                break
    return wires


def _moved(where: tuple[str | int, ...], places: dict[str, int]) -> tuple[str | int, ...]:
    """A place in the model as a place in the arguments, where those came by position."""
    if where and where[0] in places:
        return (places[str(where[0])], *where[1:])
    return where
