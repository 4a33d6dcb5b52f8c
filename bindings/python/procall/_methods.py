"""What is known of the methods at the other side."""

from __future__ import annotations

from procall._public import public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal


@public
class DeclaredError:
    """An exception that a method declares with ``raises=``, or what another language calls that.

    ::

        for method in calc.methods():
            for error in method.errors:
                print(method.name, error.name)  # images.width NotAnImage
    """

    __slots__ = ("description", "name", "schema")

    name: str
    """What travels: the name of the class."""
    description: str
    """When it arises; may be empty."""
    schema: dict[str, Any] | None
    """JSON Schema of its attributes, where their types are told."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.name = document["name"]
        self.description = document.get("description", "")
        self.schema = document.get("schema")

    def __repr__(self) -> str:
        return f"<error {self.name}>"


@public
class MethodInfo:
    """One method, as its service has described it.

    ::

        for method in calc.methods():
            print(method.name, method.params, method.shape)  # calc.add ['a', 'b'] unary
    """

    __slots__ = (
        "description",
        "errors",
        "idempotent",
        "name",
        "params",
        "params_schema",
        "result_schema",
        "shape",
    )

    name: str
    """Full name, as in ``calc.add``."""
    description: str
    """What it does; may be empty."""
    params: list[str]
    """The names of its parameters in their order; empty when they are not told."""
    params_schema: dict[str, Any] | None
    """JSON Schema of the params: an object with one property an argument. One that takes any number
    of them by position has ``items`` for those.
    """
    result_schema: dict[str, Any] | None
    """JSON Schema of the result, or of one item when the result is a stream."""
    idempotent: bool
    """It may run more than once without harm."""
    shape: Literal["unary", "items_out", "items_in", "duplex"]
    """Which sides send a stream."""
    errors: list[DeclaredError]
    """Exceptions of its own that it declares, beside the errors that every call may end with."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.name = document["name"]
        self.description = document.get("description", "")
        self.params = document.get("params", [])
        self.params_schema = document.get("params_schema")
        self.result_schema = document.get("result_schema")
        self.idempotent = document.get("idempotent", False)
        self.shape = document.get("shape", "unary")
        self.errors = [DeclaredError(each) for each in document.get("errors", ())]

    def __repr__(self) -> str:
        return f"<method {self.name} ({self.shape})>"


def read(registration: dict[str, Any]) -> list[MethodInfo]:
    """The methods of a registration document."""
    return [MethodInfo(document) for document in registration.get("methods", ())]
