"""Exceptions that services declare: how they travel, and how they become themselves again."""

from __future__ import annotations

from procall._errors import REGISTERED
from procall._public import public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, overload

    from procall._errors import Error

    Class = TypeVar("Class", bound=type[Exception])

if TYPE_CHECKING:

    @overload
    def register_error(error: Class, /) -> Class: ...

    @overload
    def register_error(*, name: str) -> Callable[[Class], Class]: ...


@public
def register_error(error: Any = None, /, *, name: str | None = None) -> Any:
    """Makes an exception class known, so that an error which a service declares with ``raises=``
    is raised as this class here; without it, it arrives as ``HandlerError``.

    ``name`` is what the service calls it; without it, it is the class's own name. The class is not
    called: the attributes that travelled are set on a new instance. Its ``__cause__`` is the
    ``HandlerError``, which knows the worker and the traceback of the other side. The class itself
    is given back, so that this is a decorator too::

        @procall.register_error
        class NotAnImage(Exception):
            path: str

        with procall.connect("calc") as calc:
            try:
                calc.images.width("notes.txt")
            except NotAnImage as error:
                print(error.path)  # notes.txt
    """

    def register(error: Any) -> Any:
        if not isinstance(error, type) or not issubclass(error, Exception):
            raise TypeError(f"register_error needs a class of exceptions, not {error!r}")
        own = name if name is not None else error.__name__
        before = REGISTERED.get(own)
        if before is not None and before.error is not error:
            raise ValueError(
                f"{own} is {before.error.__module__}.{before.error.__qualname__} already; "
                "give one of them another name on the service, and name= here"
            )
        REGISTERED[own] = Known(error)
        return error

    return register if error is None else register(error)


class Known:
    """A registered class; called with the error that arrived, it makes an instance."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def __call__(self, arrived: Error) -> BaseException:
        details = arrived.details
        if not isinstance(details, dict):
            return arrived
        # Not by its constructor, whose parameters may be anything.
        made = self.error.__new__(self.error)
        made.args = (arrived.message,)
        hints = _hints(self.error)
        for name, value in details.items():
            if not name.startswith("_"):
                # What a frozen class refuses to itself is meant for its users.
                try:
                    object.__setattr__(made, name, _value(hints.get(name), value))
                except (AttributeError, TypeError):
                    # A property or a slot that is not there any more: the versions differ.
                    continue
        made.__cause__ = arrived
        return made


def _hints(error: type[Exception]) -> dict[str, Any]:
    if not any("__annotations__" in vars(each) for each in error.__mro__):
        return {}
    from procall import _schema

    try:
        return _schema.resolved(error)
    except TypeError:
        # What cannot be resolved is set as it arrived.
        return {}


def _value(hint: Any, value: Any) -> Any:
    if hint is None:
        return value
    from procall import _schema

    try:
        return _schema.read(hint).make(value)
    except (ValueError, TypeError):
        # The two sides have different versions of the class; what arrived is still worth having.
        return value


def describe(
    error: BaseException, raises: tuple[type[Exception], ...]
) -> tuple[str, str | None, list[tuple[str, Any]]]:
    """What travels of a declared exception: the name of the declared class, a message where its
    own is empty, and its public attributes.
    """
    declared = next(each for each in type(error).__mro__ if each in raises)
    names = dict.fromkeys(vars(error))
    names.update(dict.fromkeys(getattr(type(error), "__dataclass_fields__", ())))
    for each in type(error).__mro__:
        slots = vars(each).get("__slots__", ())
        names.update(dict.fromkeys([slots] if isinstance(slots, str) else slots))
    attributes = [
        (name, getattr(error, name))
        for name in names
        if not name.startswith("_") and hasattr(error, name)
    ]
    message = None
    if not error.args and hasattr(type(error), "__dataclass_fields__"):
        message = repr(error)
    return declared.__name__, message, attributes


def declared(raises: Any, method: str) -> tuple[type[Exception], ...]:
    """The classes that a method declares, checked."""
    if isinstance(raises, type):
        raises = (raises,)
    classes = tuple(raises)
    for each in classes:
        if not isinstance(each, type) or not issubclass(each, Exception):
            raise TypeError(f"method {method}: raises needs classes of exceptions, not {each!r}")
    return classes


def documents(raises: tuple[type[Exception], ...]) -> list[dict[str, Any]]:
    """What is registered of the classes that a method declares."""
    return [_document(each) for each in dict.fromkeys(raises)]


def _document(error: type[Exception]) -> dict[str, Any]:
    document: dict[str, Any] = {"name": error.__name__}
    # Of the class itself: what it inherits, or what Python says of its own, says nothing here.
    description = (vars(error).get("__doc__") or "").strip().partition("\n\n")[0]
    own = error.__module__ != "builtins" and not description.startswith(f"{error.__name__}(")
    if description and own:
        document["description"] = " ".join(description.split())
    properties = {
        name: schema
        for name, hint in _hints(error).items()
        if not name.startswith("_") and (schema := _schema_of(hint)) is not None
    }
    if properties:
        document["schema"] = {"type": "object", "properties": properties}
    return document


def _schema_of(hint: Any) -> dict[str, Any] | None:
    from procall import _schema

    try:
        return _schema.read(hint).schema
    except (TypeError, ValueError):
        # It travels as it can, and nobody is promised how.
        return None
