"""What a function takes and gives: its parameters, its kind, its schemas."""

from __future__ import annotations

from procall import _schema
from procall._native import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    Kind = Literal["plain", "generator", "coroutine", "async_generator"]
    Source = Literal["params", "context", "items"]

_MISSING = object()


class Parameter:
    """One parameter of a handler; the native half reads these attributes."""

    __slots__ = (
        "convert",
        "keyword_only",
        "name",
        "required",
        "schema",
        "shown",
        "source",
        "types",
    )

    def __init__(self, name: str, hint: Any, *, required: bool, keyword_only: bool) -> None:
        self.name = name
        self.required = required
        self.keyword_only = keyword_only
        self.source: Source = "params"
        if hint is Context:
            self.source = "context"
        elif _schema.is_stream(hint):
            self.source = "items"
        known = _schema.read(_schema.item_of(hint) if self.source == "items" else hint)
        self.schema = known.schema
        self.types = known.types
        self.shown = known.shown
        self.convert = known.convert


class Description:
    """A method: its handler and all that is known of it."""

    __slots__ = (
        "_description",
        "_idempotent",
        "handler",
        "info",
        "kind",
        "name",
        "open",
        "parameters",
        "settled",
    )

    kind: Kind
    """How the handler runs."""
    parameters: list[Parameter]
    """Its parameters in their order."""
    open: bool
    """It has ``*args`` or ``**kwargs``, or does not tell: Python binds for itself."""
    info: dict[str, Any]
    """What is registered of it."""

    def __init__(
        self,
        handler: Callable[..., Any],
        name: str,
        *,
        idempotent: bool = False,
        description: str | None = None,
    ) -> None:
        if not callable(handler):
            raise TypeError(f"method {name} needs something callable, not {handler!r}")
        self.handler = handler
        self.name = name
        self._idempotent = idempotent
        self._description = description
        self.settled = False

    def settle(self) -> None:
        """Looks at the hints, once.

        Not before the service runs, because they may name what is defined further down.
        """
        function = getattr(self.handler, "__func__", self.handler)
        if getattr(function, "__code__", None) is None or hasattr(function, "__wrapped__"):
            self.kind, self.parameters, self.open, result = _inspected(self.handler)
        else:
            skip = 1 if function is not self.handler else 0
            self.kind, self.parameters, self.open, result = _plain(function, skip)
        if sum(parameter.source == "items" for parameter in self.parameters) > 1:
            raise TypeError(f"method {self.name} has more than one stream parameter")
        description = self._description
        if description is None:
            description = (getattr(function, "__doc__", None) or "").strip().partition("\n\n")[0]
        self.info = self._document(result, self._idempotent, description)
        self.settled = True

    @property
    def takes_whole(self) -> bool:
        """Its only parameter is an object, whose fields a caller may give by name."""
        params = [parameter for parameter in self.parameters if parameter.source == "params"]
        return len(params) == 1 and params[0].types == _schema.DICT

    @property
    def is_async(self) -> bool:
        return self.kind in ("coroutine", "async_generator")

    def _document(self, result: Any, idempotent: bool, description: str) -> dict[str, Any]:
        params = [parameter for parameter in self.parameters if parameter.source == "params"]
        items_in = any(parameter.source == "items" for parameter in self.parameters)
        items_out = self.kind in ("generator", "async_generator")
        if items_out:
            result = _schema.item_of(result)
        info: dict[str, Any] = {
            "name": self.name,
            "description": description,
            "idempotent": idempotent,
            "shape": ("duplex" if items_in else "items_out")
            if items_out
            else ("items_in" if items_in else "unary"),
        }
        if not self.open:
            info["params"] = [parameter.name for parameter in params]
            info["params_schema"] = {
                "type": "object",
                "properties": {parameter.name: parameter.schema for parameter in params},
                "required": [parameter.name for parameter in params if parameter.required],
                "additionalProperties": False,
            }
        if result is not _MISSING:
            schema = _schema.read(result).schema
            if schema:
                info["result_schema"] = schema
        return info


def _plain(function: Any, skip: int) -> tuple[Kind, list[Parameter], bool, Any]:
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
            hints.get(name, _MISSING),
            required=at < count - defaults,
            keyword_only=False,
        )
        for at, name in enumerate(names[:count])
        if at >= skip
    ]
    parameters += [
        Parameter(
            name,
            hints.get(name, _MISSING),
            required=name not in keyword_defaults,
            keyword_only=True,
        )
        for name in names[count : count + code.co_kwonlyargcount]
    ]
    # inspect.CO_VARARGS, CO_VARKEYWORDS
    is_open = bool(code.co_flags & 0x0C)
    return _kind(code.co_flags), parameters, is_open, hints.get("return", _MISSING)


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
            try:
                hints[name] = eval(hint, getattr(function, "__globals__", {}))
            except Exception:
                # A hint that names something unknown takes anything.
                hints[name] = _MISSING
    return hints


def _inspected(handler: Any) -> tuple[Kind, list[Parameter], bool, Any]:
    """The signature of anything else that is callable: wrapped functions, partials, builtins."""
    import inspect
    from functools import partial

    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        # A builtin that does not tell: Python binds for itself.
        return "plain", [], True, _MISSING
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
    is_open = False
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            is_open = True
            continue
        parameters.append(
            Parameter(
                parameter.name,
                hints.get(parameter.name, _MISSING),
                required=parameter.default is parameter.empty,
                keyword_only=parameter.kind is parameter.KEYWORD_ONLY,
            )
        )
    kind: Kind = _kind(code.co_flags) if code is not None else "plain"
    return kind, parameters, is_open, hints.get("return", _MISSING)
