"""What arrives is checked against the hints, and so is what a handler gives."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, NewType, NotRequired, TypedDict

import msgspec
import procall
import pydantic
import pytest


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5
    sum: float = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.sum = self.x + self.y
        if self.x < 0:
            raise ValueError("has an x below 0")


@dataclasses.dataclass
class Tree:
    name: str
    children: list[Tree] = dataclasses.field(default_factory=list)


class User(TypedDict):
    name: str
    tags: list[str]


class Loose(TypedDict):
    name: str
    tags: NotRequired[list[str]]


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Model(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0)
    nick: str | None = pydantic.Field(default=None, alias="nickName")


class Struct(msgspec.Struct):
    name: str
    sizes: list[int] = []


class Nested(msgspec.Struct):
    inner: Struct
    next: Nested | None = None


@dataclasses.dataclass
class Link:
    value: int
    next: Link | None = None


@dataclasses.dataclass
class Early:
    late: Late


UserId = NewType("UserId", int)

service = procall.Service("s")


def served(function: Callable[..., Any]) -> Callable[..., Any]:
    return service.method(function)


@served
def many(a: int, point: Point, users: list[User], colour: Colour = Colour.RED) -> str:
    return f"{a} {point.sum} {[user['name'] for user in users]} {colour.name}"


@served
def tree(tree: Tree) -> int:
    return 1 + sum(len(child.children) for child in tree.children)


@served
def length(link: Link) -> Link:
    assert link.next is None or isinstance(link.next, Link)
    return link


@served
def early(value: Early) -> int:
    return value.late.x


@dataclasses.dataclass
class Late:
    x: int


@served
def named(pair: Pair, user: UserId, mode: Literal[Colour.RED, "both"]) -> list[object]:
    assert isinstance(pair, Pair)
    return [pair, user, str(mode)]


@served
def model(model: Model, models: list[Model]) -> Model:
    assert isinstance(model, Model)
    assert all(isinstance(each, Model) for each in models)
    return model


@served
def struct(struct: Struct, nested: Nested) -> Nested:
    assert isinstance(struct, Struct)
    return nested


@service.method(request_model=Model)
def whole(model: Model, ctx: procall.Context) -> str:
    return f"{model.name} {model.age} {ctx.method}"


@service.method(request_model=Point)
def whole_point(point: Point) -> float:
    return point.sum


@service.method(request_model=Model)
def spread(name: str, ctx: procall.Context, age: int, nick: str | None) -> str:
    return f"{name} {age} {nick} {ctx.method}"


@service.method(request_model=Point)
def spread_point(x: int, y: float) -> list[Any]:
    return [x, "Point"]


@service.method(request_model=Struct)
def spread_struct(name, /, *, sizes) -> list[Any]:  # type: ignore[no-untyped-def]
    return [name, sizes]


@service.method(request_model=Loose)
def spread_user(name: str, tags: list[str] | None = None) -> list[Any]:
    return [name, tags]


class Outer(pydantic.BaseModel):
    outer: Model


@service.method(request_model=Outer)
def spread_nested(outer: Model) -> str:
    return type(outer).__name__


class Open(pydantic.BaseModel, extra="allow"):
    a: int
    b: int


@service.method(request_model=Open)
def spread_open(a: int, **more: Any) -> dict[str, Any]:
    return {"a": a, **more}


class Closed(pydantic.BaseModel, extra="forbid"):
    n: int


@service.method(request_model=Closed)
def spread_closed(n: int) -> int:
    return n


@service.method(request_model=Closed)
def spread_stream(n: int) -> Iterator[int]:
    yield from range(n)


@service.method(request_model=Closed)
async def spread_awaited(n: int) -> int:
    return n


@served
def places(a: int, /, b: int, *, c: int = 3) -> list[int]:
    return [a, b, c]


@served
def by_place(a: int = 1, b: int = 2, /) -> list[int]:
    return [a, b]


@served
def variadic(
    ctx: procall.Context, a: int, b: str = "b", *rest: int, c: int = 0, **more: str
) -> Any:
    return [ctx.method, a, b, list(rest), c, more]


@served
def gives(what: Any) -> list[int]:
    return what  # type: ignore[no-any-return]


@served
def gives_int(what: Any) -> int:
    return {"numpy": IntLike(7), "bool": True}.get(what, what)


@served
def gives_point(what: Any) -> Point:
    return Point(2) if what is None else what


@served
def gives_none(what: Any) -> None:
    return what  # type: ignore[no-any-return]


@served
def gives_items(what: list) -> Iterator[int]:
    yield from what


@served
async def gives_items_async(what: list):
    for each in what:
        yield each


@served
async def gives_async(what: Any) -> int:
    return what  # type: ignore[no-any-return]


class IntLike(int):
    pass


@pytest.fixture(scope="module")
def client() -> Iterator[procall.Client]:
    with service.client() as client:
        yield client


def wrong(call: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, str]:
    with pytest.raises(procall.InvalidArgument) as caught:
        call(*args, **kwargs)
    assert caught.value.executed == "no"
    return {field.path: field.message for field in caught.value.fields}


def test_right_values_become_what_the_hints_say(client: procall.Client) -> None:
    users = [{"name": "ada", "tags": []}]
    assert client.many(1, {"x": 1}, users) == "1 1.5 ['ada'] RED"
    assert client.many(1, Point(1), users, colour=Colour.BLUE) == "1 1.5 ['ada'] BLUE"
    assert client.tree({"name": "a", "children": [{"name": "b", "children": [{"name": "c"}]}]}) == 2
    assert client.named([1], 7, "red") == [[1, "r"], 7, "Colour.RED"]


def test_classes_may_contain_themselves_and_what_is_defined_later(client: procall.Client) -> None:
    link = {"value": 1, "next": {"value": 2, "next": {"value": 3, "next": None}}}
    assert client.length(link) == link
    assert wrong(client.length, {"value": 1, "next": {"value": 2, "next": {"value": "x"}}}) == {
        "/0/next/next/value": "must be int, not str"
    }
    assert client.early({"late": {"x": 5}}) == 5
    assert wrong(client.early, {"late": {}}) == {"/0/late/x": "missing"}


def test_a_class_that_names_what_is_not_there_is_refused() -> None:
    @dataclasses.dataclass
    class Odd:
        x: Missing  # type: ignore[name-defined]  # noqa: F821

    other = procall.Service("o")

    @other.method
    def takes(odd: Odd) -> None: ...

    with pytest.raises(TypeError, match=r"o\.takes: parameter odd has the hint .*Odd, but name 'M"):
        other.document()


def test_every_wrong_field_is_named(client: procall.Client) -> None:
    found = wrong(
        client.many,
        a="x",
        point={"y": "z", "w": 1},
        users=[{"name": 1}, {"name": "b", "tags": [1, "x", None]}],
        colour="green",
        extra=1,
    )
    assert found == {
        "/a": "must be int, not str",
        "/point/x": "missing",
        "/point/w": "Point does not know",
        "/point/y": "must be float, not str",
        "/users/0/tags": "missing",
        "/users/0/name": "must be str, not int",
        "/users/1/tags/0": "must be str, not int",
        "/users/1/tags/2": "must be str, not NoneType",
        "/colour": "must be 'red' or 'blue', not 'green'",
        "/extra": "unknown argument",
    }
    assert wrong(client.many, "x", {"x": -1}) == {
        "/0": "must be int, not str",
        "/1": "has an x below 0",
        "/2": "missing",
    }
    assert list(
        wrong(client.tree, {"name": "a", "children": [{"name": "b", "children": [1]}]})
    ) == ["/0/children/0/children/0"]


def test_an_answer_about_very_many_wrong_fields_is_bounded(client: procall.Client) -> None:
    users = [{"x" * 1000: 1, "name": "y" * 1000, "tags": 1}] * 10_000
    assert 1 <= len(wrong(client.many, 1, {"x": 1}, users)) <= 50


def test_pydantic_models(client: procall.Client) -> None:
    given = {"name": "ada", "age": 1, "nickName": "a"}
    assert client.model(given, [given])["name"] == "ada"
    assert client.model(Model(name="ada", age=1), [])["age"] == 1
    found = wrong(client.model, {"age": -1}, [given, {"name": 1, "age": "x"}])
    assert set(found) == {"/0/name", "/0/age", "/1/1/name", "/1/1/age"}
    assert found["/0/name"] == "field required"


def test_a_model_may_be_the_whole_request(client: procall.Client) -> None:
    assert client.whole(name="ada", age=1) == "ada 1 s.whole"
    assert client.whole({"name": "ada", "age": 1}) == "ada 1 s.whole"
    assert client.whole_point(x=1) == 1.5
    assert set(wrong(client.whole, age=-1)) == {"/name", "/age"}
    assert set(wrong(client.whole)) == {"/name", "/age"}
    assert set(wrong(client.whole, {"name": "a", "age": 1}, 2)) == {"/1"}
    assert set(wrong(client.whole_point, y="a", z=1)) == {"/x", "/y", "/z"}
    (info,) = (each for each in client.methods() if each.name == "s.whole")
    assert info.params_schema == Model.model_json_schema()


@pytest.mark.parametrize(
    ("function", "model", "told"),
    [
        (lambda name, age: None, Model, r"method o\.f: its request_model has the field nick, but"),
        (lambda name, age, nick, more: None, Model, "has the parameter more, which is no field"),
        (lambda: None, Model, "has the field name, but the function has no such parameter"),
        (lambda *all: None, Model, r"by name, which \*args cannot"),
        (lambda a: None, int, "request_model needs a model"),
        (lambda name, tags: None, Loose, "field tags of its request_model may be absent; give"),
    ],
)
def test_a_model_that_does_not_fit_its_function_is_refused(
    function: Callable[..., Any], model: type, told: str
) -> None:
    other = procall.Service("o")
    with pytest.raises(TypeError, match=told):
        other.register("f", function, request_model=model)


def test_the_fields_of_a_model_by_name(client: procall.Client) -> None:
    """The model validates, with its defaults, and the handler gets the fields."""
    assert client.spread(name="a", age="3") == "a 3 None s.spread"
    assert client.spread(name="a", age=3, nickName="b") == "a 3 b s.spread"
    assert client.spread(name="a", age=3, nick="b") == "a 3 b s.spread"
    assert client.spread("a", 3, "b") == "a 3 b s.spread"
    # As callers in other languages write it.
    assert client.spread({"name": "a", "age": 3, "nickName": "b"}) == "a 3 b s.spread"
    assert client.spread_nested({"name": "a", "age": 1}) == "Model"
    assert client.spread("a", 3) == client.call("spread", "a", 3) == "a 3 None s.spread"
    # What it does not know, this model leaves out.
    assert client.spread(name="a", age=3, more=5) == "a 3 None s.spread"
    assert client.spread_point(x=1) == client.spread_point(1) == [1, "Point"]
    assert client.spread_struct(name="a") == ["a", []]
    assert client.spread_struct("a", [1]) == ["a", [1]]
    assert client.spread_user(name="a") == client.spread_user("a") == ["a", None]
    assert client.spread_user(name="a", tags=["t"]) == ["a", ["t"]]
    assert client.spread_nested(outer={"name": "a", "age": 1}) == "Model"
    assert client.spread_open(a=1, b=2, c="x") == {"a": 1, "b": 2, "c": "x"}
    assert list(client.spread_stream(n=2)) == [0, 1]
    assert client.spread_awaited(n=2) == 2


def test_wrong_fields_of_a_model_are_all_named(client: procall.Client) -> None:
    least = "input should be greater than or equal to 0"
    assert wrong(client.spread, age=-1) == {"/name": "field required", "/age": least}
    assert wrong(client.spread, 1, -1) == {"/0": "input should be a valid string", "/1": least}
    assert wrong(client.spread, "a", 1, 2) == {"/2": "input should be a valid string"}
    assert wrong(client.spread, "a", 1, None, 4) == {"/3": "one argument too many"}
    assert wrong(client.spread) == {"/name": "field required", "/age": "field required"}
    assert wrong(client.spread_point, x="a", z=1) == {
        "/x": "must be int, not str",
        "/z": "Point does not know",
    }
    assert set(wrong(client.spread_nested, outer={"name": "a"})) == {"/outer/age"}
    assert set(wrong(client.spread_nested, {"name": "a"})) == {"/0/age"}
    assert wrong(client.spread, {"name": "a"}) == {"/0/age": "field required"}
    assert wrong(client.spread_closed, n=1, m=2) == {"/m": "extra inputs are not permitted"}


def test_a_function_that_takes_fields_tells_their_names(client: procall.Client) -> None:
    infos = {each.name: each for each in client.methods()}
    spread, whole = infos["s.spread"], infos["s.whole"]
    assert spread.params == ["name", "age", "nickName"]
    assert spread.params_schema == whole.params_schema == Model.model_json_schema()
    assert whole.params == []


def test_msgspec_structs(client: procall.Client) -> None:
    given = {"inner": {"name": "b", "sizes": []}, "next": None}
    assert client.struct({"name": "a", "sizes": [1]}, given) == given
    assert client.struct(Struct("a"), Nested(Struct("b"))) == given
    found = wrong(client.struct, {"name": "a", "sizes": [1, "x"]}, {"inner": {}})
    assert set(found) == {"/0/sizes/1", "/1/inner"}
    (info,) = (each for each in client.methods() if each.name == "s.struct")
    assert info.params_schema is not None
    schema = info.params_schema["properties"]
    assert schema["struct"]["properties"]["sizes"]["items"] == {"type": "integer"}
    assert set(schema["nested"]["$defs"]) == {"Struct", "Nested"}


def test_positional_only_and_keyword_only(client: procall.Client) -> None:
    assert client.places(1, 2) == [1, 2, 3]
    assert client.places(1, 2, c=4) == [1, 2, 4]
    assert client.places(a=1, b=2) == [1, 2, 3]
    assert wrong(client.places, "x", 2, c="y") == {
        "/a": "must be int, not str",
        "/c": "must be int, not str",
    }
    assert client.by_place(1) == [1, 2]
    assert wrong(client.by_place, b=1) == {"/b": "needs the arguments before it"}


def test_variadic_parameters(client: procall.Client) -> None:
    assert client.variadic(1) == ["s.variadic", 1, "b", [], 0, {}]
    assert client.variadic(1, "x", 2, 3) == ["s.variadic", 1, "x", [2, 3], 0, {}]
    assert client.variadic(a=1, c=5, d="e") == ["s.variadic", 1, "b", [], 5, {"d": "e"}]
    assert wrong(client.variadic) == {"/0": "missing"}
    assert wrong(client.variadic, "a", 2, "x") == {
        "/0": "must be int, not str",
        "/1": "must be str, not int",
        "/2": "must be int, not str",
    }
    assert wrong(client.variadic, c="x", d=1, ctx="me") == {
        "/a": "missing",
        "/c": "must be int, not str",
        "/d": "must be str, not int",
        "/ctx": "unknown argument",
    }


def invalid(call: Callable[..., Any], *args: Any) -> list[str]:
    def run() -> None:
        answer = call(*args)
        if isinstance(answer, procall.Stream):
            list(answer)

    with pytest.raises(procall.InvalidResult) as caught:
        run()
    assert caught.value.executed == "yes"
    return [caught.value.message, *(field.path for field in caught.value.fields)]


def test_results_are_checked(client: procall.Client) -> None:
    assert client.gives([1, 2]) == [1, 2]
    assert client.gives_int(1) == 1
    assert client.gives_int("numpy") == 7
    assert client.gives_point(None) == {"x": 2, "y": 0.5, "sum": 2.5}
    assert client.gives_none(None) is None
    assert client.gives_async(1) == 1
    says = "the result has [1], which must be int, not str (and 1 more)"
    assert invalid(client.gives, [1, "x", None]) == [says, "/1", "/2"]
    assert invalid(client.gives_int, "bool") == ["the result must be int, not bool", ""]
    assert invalid(client.gives_point, {"y": 1}) == ["the result misses the field x", "/x"]
    assert invalid(client.gives_none, 0) == ["the result must be None, not int", ""]
    assert invalid(client.gives_async, "x") == ["the result must be int, not str", ""]


def test_items_are_checked(client: procall.Client) -> None:
    assert list(client.gives_items([1, 2])) == [1, 2]
    says = "the item must be int, not str"
    assert invalid(client.gives_items, [1, "x"]) == [says, ""]
    # Without a hint it gives anything.
    assert list(client.gives_items_async([1, "x"])) == [1, "x"]


class Plain:
    pass


@pytest.mark.parametrize(
    ("hint", "says"),
    [
        (set[int], r"has the hint set\[int\], which no other language knows; use list\[\.\.\.\]"),
        (set, "has the hint set, which no other language knows"),
        (datetime.datetime, r"use str, with isoformat\(\)"),
        (pathlib.Path, "which no other language knows; use str"),
        (Plain, "use a dataclass, a TypedDict, or Any"),
        (list[Plain], "Plain, which no other language knows"),
        (dict[int, str], "has keys of int; keys must be str"),
        (Callable[[], int], "which no other language knows"),
        (dataclasses.make_dataclass("Holder", [("when", datetime.date)]),
         "has the hint Holder, whose field when has the hint date"),
        ("1 +", r"has the hint '1 \+', which is none"),
    ],
    ids=str,
)  # fmt: skip
def test_hints_that_cannot_be_expressed_are_refused_at_once(hint: Any, says: str) -> None:
    def takes(value): ...

    takes.__annotations__ = {"value": hint}
    other = procall.Service("o")
    with pytest.raises(TypeError, match=rf"method o\.takes: parameter value {says}|{says}"):
        other.method(takes)
    takes.__annotations__ = {"return": hint}
    with pytest.raises(TypeError, match=r"method o\.takes: the result "):
        other.method(takes)
    assert other.document()["methods"] == []


def test_hints_that_take_anything() -> None:
    other = procall.Service("o")
    for at, hint in enumerate((Any, object, memoryview)):

        def takes(value): ...

        takes.__annotations__ = {"value": hint}
        other.register(f"takes{at}", takes)
    for method in other.document()["methods"]:
        assert method["params_schema"]["properties"] == {"value": {}}


def test_containers_of_the_library() -> None:
    def takes(a: collections.OrderedDict, b: bytearray) -> None: ...

    other = procall.Service("o")
    with pytest.raises(TypeError, match="parameter a has the hint OrderedDict"):
        other.method(takes)
    takes.__annotations__["a"] = dict

    @other.method
    def kind(data: bytearray) -> str:
        return type(data).__name__

    with other.client() as client:
        assert client.kind(b"x") == "bytearray"
