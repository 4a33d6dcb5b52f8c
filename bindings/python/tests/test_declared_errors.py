"""Errors that a service declares, and exceptions that are hard to send."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import procall
import pytest


@dataclasses.dataclass
class Size:
    width: int


class NotAnImage(Exception):
    best: Size

    def __init__(self, path: str, *, best: Size) -> None:
        super().__init__(f"{path} is not an image")
        self.path = path
        self.best = best
        self._secret = "stays"
        self.unsendable = {1, 2}


@dataclasses.dataclass
class TooLarge(Exception):
    limit: int
    size: Size


class Undeclared(Exception):
    def __init__(self) -> None:
        super().__init__("no")
        self.inside = 1


class Closer(NotAnImage):
    pass


images = procall.Service("images")


@images.method(raises=[NotAnImage, TooLarge])
def width(what: str) -> int:
    match what:
        case "not":
            raise NotAnImage("a.txt", best=Size(3))
        case "closer":
            raise Closer("b.txt", best=Size(4))
        case "large":
            raise TooLarge(limit=5, size=Size(6))
        case _:
            raise Undeclared


@images.method(raises=NotAnImage)
def widths() -> Iterator[int]:
    yield 1
    raise NotAnImage("c.txt", best=Size(3))


@images.method(raises=NotAnImage)
async def later() -> int:
    raise NotAnImage("d.txt", best=Size(3))


def test_what_is_declared_is_told() -> None:
    class Described(Exception):
        """The file is
        no image.

        More of it.
        """

        path: str
        size: Size
        unsayable: set[int]
        _hidden: int

    service = procall.Service("told")

    @service.method(raises=[Described, ValueError, Described])
    def width(what: str) -> int:
        raise Described

    @service.method
    def plain() -> int:
        return 1

    described = {
        "name": "Described",
        "description": "The file is no image.",
        "schema": {
            "type": "object",
            "properties": {
                "path": {"type": "string"},
                "size": {
                    "type": "object",
                    "title": "Size",
                    "properties": {"width": {"type": "integer"}},
                    "required": ["width"],
                    "additionalProperties": False,
                },
            },
        },
    }
    with service.client() as client:
        told = {method.name: method.errors for method in client.methods()}
    first, second = told["told.width"]
    assert (first.name, first.description) == ("Described", "The file is no image.")
    assert first.schema == described["schema"]
    assert (second.name, second.description, second.schema) == ("ValueError", "", None)
    assert repr(second) == "<error ValueError>"
    assert told["told.plain"] == []
    assert service.document()["methods"][0]["errors"] == [described, {"name": "ValueError"}]
    # What a dataclass makes its docstring of says nothing that its fields do not say.
    large = images.document()["methods"][0]["errors"][1]
    assert large["name"] == "TooLarge"
    assert "description" not in large


def test_a_caller_without_the_class_gets_type_message_and_details() -> None:
    with images.client() as client:
        with pytest.raises(procall.HandlerError) as caught:
            client.width("not")
        error = caught.value
        assert error.remote_type == "NotAnImage"
        assert error.message == "a.txt is not an image"
        assert error.details == {"path": "a.txt", "best": {"width": 3}}
        assert error.executed == "yes"
        with pytest.raises(procall.HandlerError) as caught:
            client.width("other")
        assert (caught.value.remote_type, caught.value.details) == ("Undeclared", None)


def test_a_caller_with_the_class_gets_the_class() -> None:
    procall.register_error(NotAnImage)
    assert procall.register_error(TooLarge) is TooLarge
    with images.client() as client:
        with pytest.raises(NotAnImage, match=r"a\.txt is not an image") as caught:
            client.width("not")
        assert (caught.value.path, caught.value.best) == ("a.txt", Size(3))
        cause = caught.value.__cause__
        assert isinstance(cause, procall.HandlerError)
        assert "in width" in (cause.remote_traceback or "")
        with pytest.raises(NotAnImage, match=r"b\.txt"):
            client.width("closer")
        with pytest.raises(TooLarge) as large:
            client.width("large")
        assert (large.value.limit, large.value.size) == (5, Size(6))
        assert str(large.value) == "TooLarge(limit=5, size=Size(width=6))"
        items = client.widths()
        assert next(items) == 1
        with pytest.raises(NotAnImage, match=r"c\.txt"):
            next(items)
        with pytest.raises(NotAnImage, match=r"d\.txt"):
            client.later()
        with pytest.raises(NotAnImage, match=r"a\.txt"):
            client._caller.submit("width", ("not",), {}).result()


async def test_a_caller_of_asyncio_gets_the_class_too() -> None:
    procall.register_error(NotAnImage)
    async with images.aio_client() as client:
        with pytest.raises(NotAnImage) as caught:
            await client.width("not")
        assert caught.value.path == "a.txt"
        with pytest.raises(NotAnImage, match=r"c\.txt"):
            async for _ in client.widths():
                pass


def test_only_what_is_declared_becomes_a_class_of_the_caller() -> None:
    procall.register_error(Undeclared)
    with images.client() as client, pytest.raises(procall.HandlerError):
        client.width("other")


def test_a_class_may_have_another_name_here() -> None:
    @procall.register_error(name="NotAnImage")
    class Mine(Exception):
        path: str

    with images.client() as client, pytest.raises(Mine) as caught:
        client.width("not")
    assert caught.value.path == "a.txt"


def test_a_class_of_ours_may_be_declared() -> None:
    @procall.register_error
    class Forbidden(procall.PermissionDenied):
        def __init__(self, who: str) -> None:
            super().__init__(f"not for {who}")
            self.who = who

    service = procall.Service("s")

    @service.method(raises=Forbidden)
    def enter() -> None:
        raise Forbidden("ada")

    with service.client() as client, pytest.raises(procall.PermissionDenied) as caught:
        client.enter()
    assert caught.value.details == {"who": "ada"}


def test_what_a_handler_sets_on_an_error_of_ours_travels() -> None:
    service = procall.Service("s")

    @service.method
    def busy() -> None:
        error = procall.Overloaded("later")
        error.retry_after = 1.5
        error.details = {"queue": 9}
        raise error

    with service.client() as client, pytest.raises(procall.Overloaded) as caught:
        client.busy()
    assert (caught.value.retry_after, caught.value.details) == (1.5, {"queue": 9})


def test_wrong_declarations_are_refused() -> None:
    service = procall.Service("s")
    with pytest.raises(TypeError, match=r"method s\.f: raises needs classes of exceptions, not 5"):
        service.register("f", len, raises=[5])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="register_error needs a class"):
        procall.register_error(5)  # type: ignore[call-overload]
    procall.register_error(Undeclared)
    other = type("Undeclared", (Exception,), {})
    with pytest.raises(ValueError, match=r"Undeclared is .*Undeclared already"):
        procall.register_error(other)


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Fatal(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)


class Sly(Exception):
    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


def raising(error: Callable[[], BaseException], declared: bool) -> procall.Service:
    service = procall.Service("s")

    def fail() -> None:
        raise error()

    service.register("fail", fail, raises=[Exception] if declared else ())
    service.register("alive", lambda: True)
    return service


@pytest.mark.parametrize("declared", [False, True], ids=["undeclared", "declared"])
@pytest.mark.parametrize(
    "error",
    [
        Mute,
        Fatal,
        Sly,
        lambda: ValueError("x" * (10 << 20)),
        lambda: ValueError("\ud800"),
        lambda: ValueError(lambda: None),
        lambda: type("N" * 100_000, (Exception,), {})("long name"),
        lambda: ExceptionGroup("many", [ValueError(str(at)) for at in range(10_000)]),
        StopIteration,
        RecursionError,
        MemoryError,
    ],
    ids=["mute", "fatal", "sly", "10 MB", "surrogate", "function", "name", "group", "stop",
         "recursion", "memory"],
)  # fmt: skip
def test_no_exception_is_too_strange(error: Callable[[], BaseException], declared: bool) -> None:
    with raising(error, declared).client() as client:
        with pytest.raises(procall.HandlerError) as caught:
            client.fail()
        assert caught.value.executed == "yes"
        assert len(caught.value.message) <= 4096
        assert client.alive()


def test_attributes_that_are_too_large_stay_at_home() -> None:
    class Heavy(Exception):
        pass

    def heavy() -> Exception:
        error = Heavy("heavy")
        error.small = 1  # type: ignore[attr-defined]
        error.large = "x" * (10 << 20)  # type: ignore[attr-defined]
        return error

    with raising(heavy, True).client() as client, pytest.raises(procall.HandlerError) as caught:
        client.fail()
    assert caught.value.details == {"small": 1}
