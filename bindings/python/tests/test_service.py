"""Services: how they are described, how they run, how they end."""

from __future__ import annotations

import array
import dataclasses
import enum
import functools
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict, Union

import numpy as np
import numpy.typing
import procall
import pytest
from conftest import Serve, Served
from procall import _schema


def info(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    service = procall.Service("s")
    service.register("m", function, **options)
    (method,) = service.document()["methods"]
    return dict(method)


def test_decorated_functions_stay_what_they_are() -> None:
    service = procall.Service("calc")

    @service.method
    def add(a: int, b: int) -> int:
        return a + b

    @service.method(name="other.mul", idempotent=True, description="Multiplies.")
    def mul(a: int, b: int) -> int:
        return a * b

    assert add(1, 2) == 3
    names = [method["name"] for method in service.document()["methods"]]
    assert names == ["calc.add", "other.mul"]
    assert service.document()["methods"][1]["idempotent"]
    with pytest.raises(ValueError, match=r"calc\.add is there already"):
        service.register("add", add)
    with pytest.raises(TypeError, match="callable"):
        service.register("x", 5)  # type: ignore[arg-type]


class Base(procall.Service):
    def inherited(self) -> int:
        return 1


class Calc(Base):
    """Sums."""

    constant = 5

    class Inner:
        pass

    def __init__(self) -> None:
        self.base = 10
        super().__init__("calc")

    def add(self, a: int) -> int:
        return self.base + a

    @staticmethod
    def static(a: int) -> int:
        return a

    @classmethod
    def named(cls) -> str:
        return cls.__name__

    def _private(self) -> None: ...

    def run(self, *, listen: str | None = None) -> None: ...

    def stop(self) -> None: ...


def test_a_subclass_serves_its_own_public_methods() -> None:
    methods = Calc().document()["methods"]
    assert [method["name"] for method in methods] == ["calc.add", "calc.static", "calc.named"]
    assert [method["params"] for method in methods] == [["a"], ["a"], []]


def test_an_object_serves_its_own_public_methods() -> None:
    class Plain:
        def double(self, x: int) -> int:
            return 2 * x

        def run(self) -> None: ...

        def _hidden(self) -> None: ...

    service = procall.Service("s")
    service.include(Plain())
    assert [method["name"] for method in service.document()["methods"]] == ["s.double"]


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5


class Tree(TypedDict):
    name: str
    tags: NotRequired[list[str]]


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (bytes, {"type": "string", "contentEncoding": "base64", "x-procall": "bytes"}),
        (bytearray, {"type": "string", "contentEncoding": "base64", "x-procall": "bytes"}),
        (np.ndarray, {"type": "object", "required": ["$tensor"], "x-procall": "buffer"}),
        (
            np.typing.NDArray[np.float32],
            {"type": "object", "required": ["$tensor"], "x-procall": "buffer"},
        ),
        (array.array, {"type": "object", "required": ["$tensor"], "x-procall": "buffer"}),
        (memoryview, {}),
        (None, {"type": "null"}),
        (list, {"type": "array"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (list[Any], {"type": "array"}),
        (dict, {"type": "object"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (tuple[int, str], {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "items": False,
        }),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),  # noqa: UP007
        (int | Any, {}),
        (Annotated[int, "note"], {"type": "integer"}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Colour, {"enum": ["red", 2]}),
        (Any, {}),
        (object, {}),
        (Point, {
            "type": "object", "title": "Point",
            "properties": {"x": {"type": "integer"}, "y": {"type": "number"}},
            "required": ["x"], "additionalProperties": False,
        }),
        (Tree, {
            "type": "object", "title": "Tree",
            "properties": {
                "name": {"type": "string"},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["name"], "additionalProperties": False,
        }),
    ],
    ids=str,
)  # fmt: skip
def test_hints_become_schemas(hint: Any, schema: dict[str, Any]) -> None:
    assert _schema.read(hint).schema == schema


@pytest.mark.parametrize(
    ("hint", "given", "made"),
    [
        (Point, {"x": 1}, Point(1)),
        (list[Point], [{"x": 1}], [Point(1)]),
        (dict[str, Point], {"a": {"x": 1}}, {"a": Point(1)}),
        (tuple[int, Point], [1, {"x": 1}], (1, Point(1))),
        (tuple[int, ...], [1, 2], (1, 2)),
        (Point | None, None, None),
        (Point | int, {"x": 1}, Point(1)),
        (Colour, 2, Colour.BLUE),
        (Literal["a"], "a", "a"),
    ],
    ids=str,
)
def test_values_become_what_the_hint_promises(hint: Any, given: Any, made: Any) -> None:
    convert = _schema.read(hint).convert
    assert convert is not None
    assert convert(given) == made


@pytest.mark.parametrize(
    ("hint", "given", "says"),
    [
        (Point, {}, "misses the field x"),
        (Point, {"x": 1, "z": 1}, r"has \.z, which Point does not know"),
        (Point, {"x": "1"}, r"has \.x, which must be int, not str"),
        (list[Point], [{"x": 1}, {"x": None}], r"has \[1\]\.x, which must be int"),
        (tuple[int, int], [1], "must have 2 items, not 1"),
        (Literal[1], True, "must be 1, not True"),
        (Colour, "green", "must be 'red' or 2, not 'green'"),
    ],
    ids=str,
)
def test_wrong_values_are_refused(hint: Any, given: Any, says: str) -> None:
    convert = _schema.read(hint).convert
    assert convert is not None
    with pytest.raises(ValueError, match=says):
        convert(given)


def test_pydantic_models_are_used_when_they_are_there() -> None:
    """A stand-in with the two methods that are used; Pydantic itself is not needed to test that."""

    class Model:
        def __init__(self, x: int) -> None:
            self.x = x

        @classmethod
        def model_json_schema(cls) -> dict[str, Any]:
            return {"type": "object", "properties": {"x": {"type": "integer"}}}

        @classmethod
        def model_validate(cls, value: dict[str, Any]) -> Model:
            return cls(value["x"])

    hint = _schema.read(Model)
    assert hint.schema["properties"] == {"x": {"type": "integer"}}
    assert hint.convert is not None
    assert hint.convert({"x": 3}).x == 3


def test_signatures() -> None:
    def function(a, b: int = 1, *, c: str, d=None): ...

    described = info(function)
    assert described["params"] == ["a", "b", "c", "d"]
    assert described["params_schema"]["required"] == ["a", "c"]
    assert "result_schema" not in described

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> None: ...

    assert info(wrapped)["params"] == ["a", "b", "c", "d"]
    assert info(functools.partial(function, 1))["params"] == ["b", "c", "d"]

    class Callable_:
        def __call__(self, x: int) -> Iterator[int]:
            yield x

    described = info(Callable_())
    assert (described["params"], described["shape"]) == (["x"], "items_out")
    assert info(len)["params"] == ["obj"]
    assert info(lambda x, y=1: x)["params"] == ["x", "y"]


def test_shapes() -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[str]:
        yield "x"

    def takes(a: int, items: Iterator[int], ctx: procall.Context) -> int: ...  # type: ignore[empty-body]

    async def both(items: AsyncIterator[int]):
        async for item in items:
            yield item

    assert info(generator)["shape"] == "items_out"
    assert info(generator)["result_schema"] == {"type": "integer"}
    assert info(async_generator)["result_schema"] == {"type": "string"}
    assert info(takes)["shape"] == "items_in"
    assert info(takes)["params"] == ["a"]
    assert info(both)["shape"] == "duplex"
    with pytest.raises(TypeError, match="more than one stream"):
        info(lambda_with_two_streams)


def lambda_with_two_streams(a: Iterator[int], b: Iterator[int]) -> None: ...


def test_hints_may_name_what_is_defined_later() -> None:
    service = procall.Service("s")

    @service.method
    def takes(later: Later) -> None: ...

    assert (
        service.document()["methods"][0]["params_schema"]["properties"]["later"]["title"] == "Later"
    )


@dataclasses.dataclass
class Later:
    x: int


def test_concurrency() -> None:
    service = procall.Service("s")
    service.register("plain", len)
    assert service.document()["concurrency"] == 1

    async def handler() -> None: ...

    other = procall.Service("s")
    other.register("loop", handler)
    assert other.document()["concurrency"] == 128
    assert procall.Service("s", concurrency=7).document()["concurrency"] == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("which", [["plain.py"], ["loop.py"], ["loop.py", "mixed"]], ids=" ".join)
def test_a_signal_ends_a_service_in_order(serve: Serve, which: list[str], number: int) -> None:
    served = serve(*which)
    with procall.connect(served.address) as calc:
        assert calc.add(1, 2) == 3
        served.signal(number)
        assert served.line() == "done"
        assert served.wait() == 0
        with pytest.raises((procall.ConnectionLost, procall.Unavailable)):
            calc.add(1, 2)
    assert not os.path.exists(served.address.removeprefix("unix:"))


def test_calls_in_flight_may_finish(serve: Serve, tmp_path: pathlib.Path) -> None:
    served = serve("plain.py")
    gate = tmp_path / "gate"
    with procall.connect(served.address) as calc:
        results: list[object] = []
        thread = threading.Thread(target=lambda: results.append(calc.wait_for_file(str(gate))))
        thread.start()
        assert served.line() == "waiting"
        served.signal(signal.SIGTERM)
        gate.touch()
        thread.join()
        assert results == [True]
        assert served.wait() == 0


def test_a_second_ctrl_c_does_not_wait(serve: Serve, tmp_path: pathlib.Path) -> None:
    served = serve("plain.py")
    with procall.connect(served.address) as calc:
        failures: list[procall.Error] = []

        def run() -> None:
            try:
                calc.wait_for_file(str(tmp_path / "never"))
            except procall.Error as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        assert served.line() == "waiting"
        served.signal(signal.SIGINT)
        # Two that arrive together count as one, so it is sent until the second is seen.
        while served.process.poll() is None:
            served.signal(signal.SIGINT)
        thread.join()
        assert served.wait() != 0
        assert failures[0].executed in ("yes", "maybe")


def test_a_handler_that_exits_ends_the_service(plain: Served) -> None:
    with procall.connect(plain.address) as calc:
        with pytest.raises(procall.HandlerError) as caught:
            calc.leave()
        assert caught.value.remote_type == "SystemExit"
    assert plain.wait() == 3


def test_two_services_at_one_place(serve: Serve, plain: Served) -> None:
    program = (
        "import procall; s = procall.Service('x'); s.register('f', len)\n"
        f"try: s.run(listen={plain.address!r})\n"
        "except procall.NameTaken: print('taken')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "taken\n"


def test_a_socket_that_a_dead_service_left_is_replaced(
    serve: Serve, tmp_path: pathlib.Path
) -> None:
    first = serve("plain.py")
    first.process.kill()
    first.process.wait()
    again = Served("plain.py", listen=first.address)
    try:
        with procall.connect(again.address) as calc:
            assert calc.add(1, 2) == 3
    finally:
        again.end()


def test_found_by_name(tmp_path: pathlib.Path, script: Callable[[str], str]) -> None:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    environment.pop("PROCALL_LISTEN", None)
    program = script(
        "import procall; s = procall.Service('named'); s.register('size', len); s.run()"
    )
    with subprocess.Popen(
        [sys.executable, program], env=environment, stderr=subprocess.PIPE, text=True
    ) as service:
        assert service.stderr is not None
        assert service.stderr.readline().strip().endswith("/procall/named.sock")
        caller = "import procall; print(procall.connect('named').size([1, 2]))"
        done = subprocess.run(
            [sys.executable, "-c", caller], env=environment, capture_output=True, text=True
        )
        service.terminate()
        assert done.stdout == "2\n", done.stderr
    assert service.returncode == 0


def test_stop_from_another_thread(tmp_path: pathlib.Path) -> None:
    service = procall.Service("s")

    @service.method
    def add(a: int, b: int) -> int:
        return a + b

    address = f"unix:{tmp_path}/s.sock"
    thread = threading.Thread(target=lambda: service.run(listen=address))
    thread.start()
    while service.address is None:
        pass
    with procall.connect(address) as calc:
        assert calc.add(1, 2) == 3
        service.stop()
        thread.join()


def test_many_clients(plain: Served) -> None:
    clients = [procall.connect(plain.address) for _ in range(50)]
    assert [client.add(i, 1) for i, client in enumerate(clients)] == [i + 1 for i in range(50)]
    for client in clients:
        client.close()
    with procall.connect(plain.address) as calc:
        assert calc.add(1, 2) == 3


def described(function: Callable[..., Any]) -> tuple[list[str] | None, Any]:
    """What is registered of the parameters of a function."""
    service = procall.Service("s")
    service.register("f", function)
    (info,) = service.document()["methods"]
    return info.get("params"), info["params_schema"]


def test_any_number_of_arguments() -> None:
    def by_place(unit: str, scale: float = 1.0, *values: float) -> None: ...

    assert described(by_place) == (
        ["unit", "scale"],
        {
            "type": ["object", "array"],
            "properties": {"unit": {"type": "string"}, "scale": {"type": "number"}},
            "required": ["unit"],
            "additionalProperties": False,
            "prefixItems": [{"type": "string"}, {"type": "number"}],
            "items": {"type": "number"},
            "minItems": 1,
        },
    )

    def by_name(unit: str, **options: int) -> None: ...

    assert described(by_name) == (
        ["unit"],
        {
            "type": "object",
            "properties": {"unit": {"type": "string"}},
            "required": ["unit"],
            "additionalProperties": {"type": "integer"},
        },
    )

    def both(*args: Any, **kwargs: Any) -> None: ...

    assert described(both) == (
        [],
        {
            "type": ["object", "array"],
            "properties": {},
            "required": [],
            "additionalProperties": True,
            "items": True,
            "minItems": 0,
        },
    )


def test_any_number_of_arguments_that_only_fit_one_form() -> None:
    def placed(first: int, /, *rest: int, **options: Any) -> None: ...

    # Its name may be one of the options, so the first one has to come by its place.
    assert described(placed) == (
        None,
        {
            "type": "array",
            "properties": {},
            "required": [],
            "additionalProperties": True,
            "prefixItems": [{"type": "integer"}],
            "items": {"type": "integer"},
            "minItems": 1,
        },
    )

    def named(*rest: int, unit: str) -> None: ...

    # Nobody can give the rest: where one argument has to come by name, all of them have to.
    assert described(named) == (
        ["unit"],
        {
            "type": "object",
            "properties": {"unit": {"type": "string"}},
            "required": ["unit"],
            "additionalProperties": False,
        },
    )


def test_a_signature_with_any_number_lets_callers_mix() -> None:
    service = procall.Service("s")

    @service.method
    def f(a: int, *rest: int, **options: int) -> list[Any]:
        return [a, list(rest), options]

    with service.client() as client:
        assert client.f(1, 2, 3) == [1, [2, 3], {}]
        assert client.f(1, b=2) == [1, [], {"b": 2}]
        with pytest.raises(procall.InvalidArgument, match="by position and by name"):
            client.f(1, a=2)
        with pytest.raises(procall.InvalidArgument, match="takes 1 arguments by position"):
            client.f(1, 2, b=3)
