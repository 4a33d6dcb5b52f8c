"""Services and objects whose methods are those of a class."""

from __future__ import annotations

import functools

import procall
import pytest


class Base(procall.Service):
    def inherited(self) -> int:
        return 1


class Store(Base):
    """Keeps things."""

    constant = 5

    class Inner:
        pass

    def __init__(self) -> None:
        self.things: dict[str, int] = {}
        super().__init__("store")

    @procall.method(idempotent=True, description="Puts one thing.")
    def put(self, name: str, value: int) -> None:
        self.things[name] = value

    @procall.method
    def fetch(self, name: str) -> int | None:
        return self.things.get(name)

    @procall.method(name="all")
    def everything(self) -> dict[str, int]:
        return self.things

    @procall.method()
    @staticmethod
    def twice(x: int) -> int:
        return 2 * x

    @classmethod
    def kind(cls) -> str:
        return cls.__name__

    @procall.method(raises=[KeyError])
    def _hidden_but_chosen(self) -> None:
        raise KeyError("x")

    def _private(self) -> None: ...

    def __len__(self) -> int:
        return len(self.things)

    @property
    def loud(self) -> int:
        raise AssertionError("a property must not run")

    @functools.cached_property
    def louder(self) -> int:
        raise AssertionError("a property must not run")

    def run(self, *, listen: str | None = None) -> None: ...

    def stop(self) -> None: ...

    def client(self) -> procall.Client:
        return super().client()


def test_only_own_public_methods_are_served() -> None:
    document = Store().document()
    names = [method["name"].removeprefix("store.") for method in document["methods"]]
    assert names == ["put", "fetch", "all", "twice", "kind", "_hidden_but_chosen"]
    put = document["methods"][0]
    assert (put["idempotent"], put["description"]) == (True, "Puts one thing.")
    assert put["params"] == ["name", "value"]


def test_they_can_be_called() -> None:
    with Store().client() as store:
        store.put("a", 1)
        assert store.fetch("a") == 1
        assert store.call("all") == {"a": 1}
        assert store.twice(4) == 8
        assert store.kind() == "Store"
        for name in ("inherited", "_private", "run", "stop", "loud", "Inner", "__len__", "client"):
            with pytest.raises(procall.NotFound):
                store.call(name)


class Session:
    """An object may have methods that a service has too."""

    def register(self, name: str) -> str:
        return name

    @procall.method(name="begin")
    def run(self) -> int:
        return 1

    def stop(self) -> None: ...


def test_an_object_is_not_a_service() -> None:
    service = procall.Service("s")
    service.include(Session())
    names = [method["name"] for method in service.document()["methods"]]
    assert names == ["s.register", "s.begin"]


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match="method has no option 'idempotant'"):

        @procall.method(idempotant=True)  # type: ignore[call-overload]
        def f() -> None: ...
