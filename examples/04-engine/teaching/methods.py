"""What the server can do, and what it says when something goes wrong. No sockets here."""

import math
from collections.abc import Callable
from typing import Any


def add(a: float, b: float) -> float:
    return a + b


def divide(a: float, b: float) -> float:
    return a / b


METHODS: dict[str, Callable[..., Any]] = {"add": add, "divide": divide}


def arguments(params: Any) -> tuple[list[Any], dict[str, Any]]:
    """An array is positional, an object has names, null is none; anything else is the only one."""
    match params:
        case None:
            return [], {}
        case list():
            return params, {}
        case dict():
            return [], params
        case _:
            return [params], {}


def success(request: dict[str, Any], result: Any) -> dict[str, Any]:
    return {
        "type": "response",
        "id": request.get("id"),
        "ok": True,
        "result": result,
        "error": None,
    }


def failure(
    request: dict[str, Any], code: str, message: str, details: dict[str, Any]
) -> dict[str, Any]:
    """`code` is for programs, `message` for people."""
    error = {"code": code, "message": message, "details": details}
    return {
        "type": "response",
        "id": request.get("id"),
        "ok": False,
        "result": None,
        "error": error,
    }


def respond(request: dict[str, Any]) -> dict[str, Any]:
    """The response to a request, whatever it asks for: there is always exactly one."""
    name = request.get("method")
    if not isinstance(name, str):
        return failure(request, "BAD_REQUEST", "`method` should be text", {"field": "method"})
    if not isinstance(request.get("meta") or {}, dict):
        return failure(request, "BAD_REQUEST", "`meta` should be an object", {"field": "meta"})
    method = METHODS.get(name)
    if method is None:
        return failure(request, "METHOD_NOT_FOUND", f"there is no method {name}", {"method": name})
    positional, named = arguments(request.get("params"))
    try:
        result = method(*positional, **named)
    except Exception as error:
        # The server lives on: what went wrong is the caller's to know.
        return failure(request, "INTERNAL", f"{error}", {"method": name})
    if isinstance(result, float) and not math.isfinite(result):
        return failure(request, "INTERNAL", f"JSON has no number {result}", {"method": name})
    return success(request, result)
