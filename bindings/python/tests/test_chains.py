"""Calls that wait for their own chain of callers, through an engine."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Iterator

import engines
import procall
import pytest
from engines import HERE, House, Process

Hopper = Callable[[str, int], Process]


@pytest.fixture
def house(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in ("PROCALL_ENGINE", "PROCALL_LISTEN"):
        monkeypatch.delenv(name, raising=False)
    with engines.house(tmp_path) as house:
        house.start()
        yield house


@pytest.fixture(params=["plain", "async"])
def hopper(house: House, request: pytest.FixtureRequest) -> Hopper:
    def start(name: str, concurrency: int) -> Process:
        program = str(HERE / "services" / "hopper.py")
        argv = [sys.executable, program, request.param, name, str(concurrency)]
        process = Process(argv, house.environment)
        house.stack.callback(process.end)
        process.said("registered with")
        return process

    return start


def test_call_that_waits_for_its_own_chain_fails_and_names_the_cycle(hopper: Hopper) -> None:
    hopper("a", 1)
    hopper("b", 1)
    with procall.connect("a") as a:
        told = a.options(deadline=None).go(["b", "a"])
        assert told["chain"] == ["a.go", "b.go", "a.go"]
        assert told["executed"] == "no"
        assert "a.go → b.go → a.go" in told["says"]
        # Nothing is left of it.
        assert a.go(["b"]) == 2


def test_with_a_slot_more_the_same_calls_work(hopper: Hopper) -> None:
    hopper("a", 2)
    hopper("b", 1)
    with procall.connect("a") as a:
        assert a.go(["b", "a"]) == 3
        assert a.go(["a", "a"])["chain"] == ["a.go", "a.go", "a.go"]


def test_call_waits_for_a_slot_that_somebody_else_holds(hopper: Hopper) -> None:
    held = hopper("a", 2)
    hopper("b", 1)
    with procall.connect("a") as a:
        other = a.submit("hold")
        assert held.line() == "held"
        calls = a.submit("go", ["b", "a"])
        held.write("\n")
        assert calls.result() == 3
        other.result()


def test_calls_are_nested_33_deep_and_no_deeper(hopper: Hopper) -> None:
    hopper("a", 40)
    with procall.connect("a") as a:
        assert a.go(["a"] * 32) == 33
        told = a.go(["a"] * 33)
        assert told["executed"] == "no"
        assert "32 deep" in told["says"]


@pytest.mark.parametrize("hopper", ["async"], indirect=True)
def test_what_goes_on_after_its_call_waits_for_others_like_anybody(hopper: Hopper) -> None:
    first = hopper("a", 1)
    with procall.connect("a") as a:
        a.leave(["a"])
        # Its slot is somebody else's now, who keeps it until the line behind the first.
        other = a.submit("hold")
        assert first.line() == "held"
        first.write("\n\n")
        assert first.line() == "2"
        other.result()


def test_pool_behind_an_engine_sees_which_calls_hold_its_workers(house: House) -> None:
    program = str(HERE / "services" / "hopper.py")
    argv = [engines.command(), "run", program, "--workers", "1", "--", "plain", "a", "1"]
    process = Process(argv, house.environment)
    house.stack.callback(process.end)
    process.said("registered with")
    with procall.connect("a") as a:
        told = a.options(deadline=None).go(["a"])
        assert told["executed"] == "no"
        assert told["chain"][-1] == "a.go"
        assert "will come free" in told["says"]
        assert a.go([]) == 1
