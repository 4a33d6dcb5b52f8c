"""What a function takes and gives: its parameters, its kind, its schemas."""

from __future__ import annotations

import sys

from procall import _schema
from procall._native import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from procall._request import Request

    Kind = Literal["plain", "generator", "coroutine", "async_generator"]
    Source = Literal["params", "context", "items"]


class Parameter:
    """One parameter of a handler; the native half reads these attributes."""

    __slots__ = (
        "convert",
        "hint",
        "keyword_only",
        "name",
        "positional_only",
        "required",
        "schema",
        "shown",
        "source",
        "told",
        "types",
    )

    def __init__(
        self,
        name: str,
        hint: Any,
        *,
        required: bool,
        keyword_only: bool,
        positional_only: bool = False,
    ) -> None:
        self.name = name
        self.required = required
        self.keyword_only = keyword_only
        self.positional_only = positional_only
        self.source: Source = "params"
        if hint is Context or Context in getattr(hint, "__args__", ()):
            self.source = "context"
            hint = Context
        elif _schema.is_stream(hint):
            self.source = "items"
        self.told = hint
        """Its hint, as it stands there."""

    def read(self) -> None:
        """Looks at its hint. Raises ``TypeError`` for one that cannot be expressed."""
        self.set(_known(f"parameter {self.name}", self.source, self.told))

    def set(self, known: _schema.Hint) -> None:
        """What it takes, whatever its hint says."""
        self.hint = known
        self.schema = known.schema
        self.types = known.types
        self.shown = known.shown
        self.convert = known.convert


def _known(what: str, source: Source, hint: Any) -> _schema.Hint:
    try:
        return _schema.read(_schema.item_of(hint) if source == "items" else hint)
    except _schema.Inexpressible as error:
        raise TypeError(f"{what} {error}") from None
    except _schema.Unresolved as error:
        raise _schema.Unresolved(f"{what} {error}") from None


class Signature:
    """The parameters of a function, its kind and its result."""

    __slots__ = ("args", "kind", "kwargs", "parameters", "result")

    def __init__(
        self,
        kind: Kind,
        parameters: list[Parameter],
        args: _schema.Hint | None,
        kwargs: _schema.Hint | None,
        result: Any,
    ) -> None:
        self.kind: Kind = kind
        self.parameters = parameters
        self.args = args
        """What ``*args`` takes, where there is one."""
        self.kwargs = kwargs
        self.result = result


class Description:
    """A method: its handler and all that is known of it."""

    __slots__ = (
        "_args",
        "_description",
        "_idempotent",
        "_kwargs",
        "_model_schema",
        "_request",
        "_request_model",
        "check_result",
        "handler",
        "info",
        "kind",
        "name",
        "open",
        "parameters",
        "raises",
        "result_types",
        "settled",
    )

    kind: Kind
    """How the handler runs."""
    parameters: list[Parameter]
    """Its parameters in their order."""
    open: bool
    """It has ``*args`` or ``**kwargs``, does not tell, or takes the params as one model: ``bind``
    binds.
    """
    info: dict[str, Any]
    """What is registered of it."""
    result_types: int
    """The kinds of results that need no further look, as bits."""
    check_result: Callable[[Any, str], tuple[str, list[tuple[str, str]]] | None] | None
    """Gives what is wrong with any other result: a sentence, and each place with its message."""

    def __init__(
        self,
        handler: Callable[..., Any],
        name: str,
        *,
        idempotent: bool = False,
        description: str | None = None,
        raises: Any = (),
        request_model: Any = None,
    ) -> None:
        if not callable(handler):
            raise TypeError(f"method {name} needs something callable, not {handler!r}")
        self.handler = handler
        self.name = name
        self._idempotent = idempotent
        self._description = description
        self._request_model = request_model
        self.raises: tuple[type[Exception], ...] = ()
        if raises:
            from procall._raised import declared

            self.raises = declared(raises, name)
        self.settled = False
        try:
            self.settle()
        except _schema.Unresolved:
            # It names what is defined further down; the service looks again when it runs.
            self.settled = False

    def settle(self) -> None:
        """Looks at the hints, once. Raises ``TypeError`` for one that cannot be expressed."""
        function = getattr(self.handler, "__func__", self.handler)
        try:
            if getattr(function, "__code__", None) is None or hasattr(function, "__wrapped__"):
                signature = _inspected(self.handler)
            else:
                skip = 1 if function is not self.handler else 0
                signature = _plain(function, skip)
            self._take(signature)
        except _schema.Unresolved as error:
            raise _schema.Unresolved(f"method {self.name}: {error}") from None
        except TypeError as error:
            raise TypeError(f"method {self.name}: {error}") from None
        description = self._description
        if description is None:
            description = (getattr(function, "__doc__", None) or "").strip().partition("\n\n")[0]
        self.info = self._document(signature.result, self._idempotent, description)
        self.settled = True

    def _take(self, signature: Signature) -> None:
        self.kind = signature.kind
        self.parameters = signature.parameters
        self._args = signature.args
        self._kwargs = signature.kwargs
        self.open = self._args is not None or self._kwargs is not None
        if sum(parameter.source == "items" for parameter in self.parameters) > 1:
            raise TypeError("has more than one stream parameter")
        self._request: Request | None = None
        if self._request_model is not None:
            self._read_model()
        for parameter in self.parameters:
            if self._request is None or parameter.source != "params":
                parameter.read()
        result = signature.result
        if self.kind in ("generator", "async_generator"):
            result = _schema.item_of(result)
        hint = _known("the result", "params", result)
        signature.result = hint
        # Where there is more to see than the kind of value, every result is looked at.
        self.result_types = 0 if hint.convert is not None else hint.types
        self.check_result = None
        if hint.types != _schema.ANYTHING or hint.convert is not None:
            self.check_result = _checker(hint)

    def _read_model(self) -> None:
        """The model says what is right, so the parameters that take it, or its fields, need no
        hints.
        """
        from procall._request import Request

        hint = _known("request_model", "params", self._request_model)
        params = self._params()
        args, kwargs = (each is not None for each in (self._args, self._kwargs))
        model = self._request_model
        self._request = Request(model, hint, params, args=args, kwargs=kwargs)
        self._model_schema = hint.schema
        for parameter in params:
            parameter.set(_schema.Hint({}))
        self.open = True

    def _params(self) -> list[Parameter]:
        return [parameter for parameter in self.parameters if parameter.source == "params"]

    @property
    def takes_whole(self) -> bool:
        """Its only parameter is an object, whose fields a caller may give by name."""
        params = self._params()
        return len(params) == 1 and params[0].types == _schema.DICT

    @property
    def is_async(self) -> bool:
        return self.kind in ("coroutine", "async_generator")

    def bind(
        self, given: tuple[Any, ...], named: dict[str, Any], context: Any, items: Any
    ) -> tuple[tuple[Any, ...], dict[str, Any], list[tuple[str, str]]]:
        """The arguments for the handler, and all that is wrong with them, each with its place.

        The native half binds what has neither ``*args`` nor ``**kwargs``, and comes here when
        something is wrong.
        """
        if self._request is not None:
            return self._bind_model(self._request, given, named, context, items)
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        problems: list[tuple[str, str]] = []

        def make(hint: _schema.Hint, value: Any, *where: str | int) -> Any:
            try:
                return hint.make(value)
            except _schema.Wrong as error:
                problems.extend(_schema.told(error, *where))

        def wrong(where: str | int, message: str) -> None:
            problems.append((_schema.pointer((where,))[: _schema.MOST_TEXT], message))

        rest = dict(named)
        whole = bool(named) and self.takes_whole and self._params()[0].name not in named
        at = 0
        gap = False
        for parameter in self.parameters:
            by_place = not (parameter.keyword_only and self._args is not None)
            if parameter.source == "context":
                value = context
            elif parameter.source == "items":
                value = items
            elif at < len(given) and by_place:
                value = make(parameter.hint, given[at], at)
                at += 1
            elif whole:
                value = make(parameter.hint, rest)
                rest = {}
            elif parameter.name in rest and (not parameter.positional_only or self._kwargs is None):
                if gap and parameter.positional_only:
                    wrong(parameter.name, "needs the arguments before it")
                value = make(parameter.hint, rest.pop(parameter.name), parameter.name)
            elif parameter.required:
                if by_place and not named:
                    wrong(at, "missing")
                    at += 1
                else:
                    wrong(parameter.name, "missing")
                continue
            else:
                gap = True
                continue
            if parameter.keyword_only or gap:
                kwargs[parameter.name] = value
            else:
                args.append(value)
        for place in range(at, len(given)):
            if self._args is None:
                wrong(place, "one argument too many")
            else:
                args.append(make(self._args, given[place], place))
        taken = {parameter.name for parameter in self.parameters if not parameter.positional_only}
        for name, value in rest.items():
            if self._kwargs is None or name in taken:
                wrong(name, "unknown argument")
            else:
                kwargs[name] = make(self._kwargs, value, name)
        return tuple(args), kwargs, problems[: _schema.MOST_PROBLEMS]

    def _bind_model(
        self,
        request: Request,
        given: tuple[Any, ...],
        named: dict[str, Any],
        context: Any,
        items: Any,
    ) -> tuple[tuple[Any, ...], dict[str, Any], list[tuple[str, str]]]:
        values, problems = request.read(given, named)
        if problems:
            return (), {}, problems[: _schema.MOST_PROBLEMS]
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.source == "context":
                value = context
            elif parameter.source == "items":
                value = items
            elif parameter.name in values:
                value = values.pop(parameter.name)
            else:
                continue
            if parameter.positional_only:
                args.append(value)
            else:
                kwargs[parameter.name] = value
        if self._kwargs is not None:
            kwargs.update(values)
        return tuple(args), kwargs, []

    def _params_schema(self, params: list[Parameter]) -> dict[str, Any]:
        """An object with one property an argument. With ``*args`` it describes the array of
        arguments too, because only that can hold them: JSON Schema's keywords for objects and for
        arrays do not touch each other.
        """
        named = params
        if self._kwargs is not None:
            named = [parameter for parameter in params if not parameter.positional_only]
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {parameter.name: parameter.schema for parameter in named},
            "required": [parameter.name for parameter in named if parameter.required],
            "additionalProperties": self._kwargs is not None and _any_of_it(self._kwargs.schema),
        }
        if self._args is None:
            return schema
        placed = [parameter for parameter in params if not parameter.keyword_only]
        if any(parameter.keyword_only and parameter.required for parameter in params):
            # No array can hold that one, so that nobody can give ``*args`` anything.
            return schema
        needs_place = any(each.required for each in params if each not in named)
        schema["type"] = "array" if needs_place else ["object", "array"]
        if placed:
            schema["prefixItems"] = [parameter.schema for parameter in placed]
        schema["items"] = _any_of_it(self._args.schema)
        schema["minItems"] = sum(parameter.required for parameter in placed)
        return schema

    def _document(self, result: _schema.Hint, idempotent: bool, description: str) -> dict[str, Any]:
        params = self._params()
        items_in = any(parameter.source == "items" for parameter in self.parameters)
        items_out = self.kind in ("generator", "async_generator")
        info: dict[str, Any] = {
            "name": self.name,
            "description": description,
            "idempotent": idempotent,
            "shape": ("duplex" if items_in else "items_out")
            if items_out
            else ("items_in" if items_in else "unary"),
        }
        if self._request is not None:
            if self._request.params is not None:
                info["params"] = self._request.params
            info["params_schema"] = self._model_schema
        else:
            # Where ``**kwargs`` takes any name, those of positional-only parameters mean others.
            hidden = self._kwargs is not None and any(each.positional_only for each in params)
            if not hidden:
                info["params"] = [parameter.name for parameter in params]
            info["params_schema"] = self._params_schema(params)
        if result.schema:
            info["result_schema"] = result.schema
        if self.raises:
            from procall._raised import documents

            info["errors"] = documents(self.raises)
        return info


def _any_of_it(schema: dict[str, Any]) -> dict[str, Any] | bool:
    return schema or True


def _checker(
    hint: _schema.Hint,
) -> Callable[[Any, str], tuple[str, list[tuple[str, str]]] | None]:
    def check(value: Any, what: str) -> tuple[str, list[tuple[str, str]]] | None:
        try:
            hint.make(value)
        except _schema.Wrong as error:
            return f"{what} {error}"[: 4 * _schema.MOST_TEXT], _schema.told(error)
        return None

    return check


def _plain(function: Any, skip: int) -> Signature:
    """The signature of a plain Python function, without the modules that could say it more
    prettily.
    """
    code = function.__code__
    hints = _hints(function)
    defaults = len(function.__defaults__ or ())
    keyword_defaults = function.__kwdefaults__ or {}
    count = code.co_argcount
    names = code.co_varnames
    parameters = [
        Parameter(
            name,
            hints.get(name, _schema.UNKNOWN),
            required=at < count - defaults,
            keyword_only=False,
            positional_only=at < code.co_posonlyargcount,
        )
        for at, name in enumerate(names[:count])
        if at >= skip
    ]
    after = count + code.co_kwonlyargcount
    parameters += [
        Parameter(
            name,
            hints.get(name, _schema.UNKNOWN),
            required=name not in keyword_defaults,
            keyword_only=True,
        )
        for name in names[count:after]
    ]
    args = kwargs = None
    # inspect.CO_VARARGS, CO_VARKEYWORDS
    if code.co_flags & 0x04:
        args = _variadic(names[after], hints)
        after += 1
    if code.co_flags & 0x08:
        kwargs = _variadic(names[after], hints)
    result = hints.get("return", _schema.UNKNOWN)
    return Signature(_kind(code.co_flags), parameters, args, kwargs, result)


def _variadic(name: str, hints: dict[str, Any]) -> _schema.Hint:
    return _known(f"parameter {name}", "params", hints.get(name, _schema.UNKNOWN))


def _kind(flags: int) -> Kind:
    # inspect.CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
    if flags & 0x200:
        return "async_generator"
    if flags & 0x80:
        return "coroutine"
    if flags & 0x20:
        return "generator"
    return "plain"


def _hints(function: Any) -> dict[str, Any]:
    hints = dict(getattr(function, "__annotations__", None) or {})
    for name, hint in hints.items():
        if isinstance(hint, str):
            hints[name] = _resolved(name, hint, function)
    return hints


def _resolved(name: str, hint: str, function: Any) -> Any:
    """A hint that is text, made real: with the function's globals, else with what is to be seen
    where it is described, such as a class that a test defines for itself.
    """
    known = getattr(function, "__globals__", {})
    what = "the result" if name == "return" else f"parameter {name}"
    try:
        return eval(hint, known)
    except NameError as error:
        missing = error
    except Exception as error:
        raise TypeError(f"{what} has the hint {hint!r}, which is none: {error}") from None
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__package__") == "procall":
        frame = frame.f_back
    try:
        return eval(hint, known, dict(frame.f_locals))
    except Exception:
        raise _schema.Unresolved(
            f"{what} has the hint {hint!r}, but {missing}; "
            "import or define it at the top level of the module, or use Any"
        ) from None


def _inspected(handler: Any) -> Signature:
    """The signature of anything else that is callable: wrapped functions, partials, builtins."""
    import inspect
    from functools import partial

    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        # A builtin that does not tell: Python binds for itself.
        anything = _schema.Hint({})
        return Signature("plain", [], anything, anything, _schema.UNKNOWN)
    function = inspect.unwrap(handler)
    while isinstance(function, partial):
        function = function.func
    hints = _hints(getattr(function, "__func__", function))
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None:
        # An object that can be called has its function in its class.
        call = vars(type(handler)).get("__call__")
        code = getattr(call, "__code__", None)
        hints = _hints(call)
    parameters = []
    args = kwargs = None
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            args = _variadic(parameter.name, hints)
        elif parameter.kind is parameter.VAR_KEYWORD:
            kwargs = _variadic(parameter.name, hints)
        else:
            parameters.append(
                Parameter(
                    parameter.name,
                    hints.get(parameter.name, _schema.UNKNOWN),
                    required=parameter.default is parameter.empty,
                    keyword_only=parameter.kind is parameter.KEYWORD_ONLY,
                    positional_only=parameter.kind is parameter.POSITIONAL_ONLY,
                )
            )
    kind: Kind = _kind(code.co_flags) if code is not None else "plain"
    return Signature(kind, parameters, args, kwargs, hints.get("return", _schema.UNKNOWN))
