"""Spans of calls, in a program of its own: one that imports OpenTelemetry has them for good."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TRACED = Path(__file__).parent / "services" / "traced.py"


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, TRACED], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def of(spans: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [span for span in spans if span["kind"] == kind]
    return found


@pytest.mark.parametrize(
    ("how", "value", "method"),
    [
        ("attribute", 3, "add"),
        ("call", 3, "calc.add"),
        ("whole", 6, "whole"),
        ("submit", 6, "slowly"),
        ("map", [3], "add"),
    ],
)
def test_a_call_has_a_span_on_either_side(
    told: dict[str, Any], how: str, value: object, method: str
) -> None:
    call = told["blocking"][how]
    assert call["value"] == value
    client, server = of(call["spans"], "CLIENT"), of(call["spans"], "SERVER")
    assert (client["name"], server["name"]) == (method, f"calc.{method.removeprefix('calc.')}")
    assert (client["parent"], server["parent"]) == (call["root"], client["id"])
    assert client["trace"] == server["trace"]
    assert server["attributes"]["rpc.service"] == "calc"
    for span in call["spans"]:
        if span["name"] in ("adding", "waiting"):
            assert span["parent"] == server["id"], "the handler runs in its span"


def test_calls_of_a_batch_are_children_of_the_current_span(told: dict[str, Any]) -> None:
    call = told["blocking"]["batch"]
    assert of(call["spans"], "SERVER")["parent"] == call["root"]


def test_a_failure_is_told_by_both(told: dict[str, Any]) -> None:
    spans = told["blocking"]["fail"]["spans"]
    client, server = of(spans, "CLIENT"), of(spans, "SERVER")
    assert (client["status"], server["status"]) == ("ERROR", "ERROR")
    assert client["attributes"]["error.type"] == "HANDLER_ERROR"
    assert client["attributes"]["procall.executed"] == "yes"
    assert server["attributes"]["error.type"] == "ValueError"


def test_the_items_of_a_stream_are_made_in_its_span(told: dict[str, Any]) -> None:
    call = told["blocking"]["stream"]
    server = of(call["spans"], "SERVER")
    assert call["value"] == [f"{server['id']} t"] * 2
    call = told["loop"]["stream"]
    server = of(call["spans"], "SERVER")
    assert call["value"] == [server["id"]] * 2
    assert server["parent"] == of(call["spans"], "CLIENT")["id"]


def test_calls_of_a_task_have_their_own_spans(told: dict[str, Any]) -> None:
    call = told["loop"]["gather"]
    assert call["value"] == [1, 3]
    clients = {span["id"]: span for span in call["spans"] if span["kind"] == "CLIENT"}
    servers = [span for span in call["spans"] if span["kind"] == "SERVER"]
    assert [client["parent"] for client in clients.values()] == [call["root"]] * 2
    assert {clients[span["parent"]]["name"] for span in servers} == {"slowly", "add"}


def test_without_opentelemetry_nothing_of_it_is_loaded() -> None:
    program = (
        "import procall, sys; calc = procall.Service('calc')\n"
        "calc.register('one', lambda: 1)\n"
        "with calc.client() as client: client.one()\n"
        "print(type(client._caller).__module__, 'procall._tracing' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["procall._native", "False"]
