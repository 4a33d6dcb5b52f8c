"""What a start costs: nothing is imported that is not used."""

from __future__ import annotations

import subprocess
import sys

import procall
import pytest
from conftest import SERVICES


def modules_after(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", program + "\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


HEAVY = {
    "asyncio",
    "concurrent.futures",
    "typing",
    "inspect",
    "threading",
    "dataclasses",
    "enum",
    "json",
    "re",
    "numpy",
    "logging",
    "pydantic",
    "msgspec",
    "queue",
    "contextvars",
    "functools",
    "importlib.metadata",
    "selectors",
    "signal",
    "socket",
    "subprocess",
    "traceback",
    "warnings",
}


@pytest.mark.parametrize(
    "program",
    [
        "import procall",
        "import procall; procall.connect; procall.Client",
        "import procall; procall.Pool",
        "import procall; s = procall.Service('s')\n"
        "@s.method\ndef add(a: int, b: int = 1) -> int: ...\n"
        "s.document()",
        "import procall; s = procall.Service('s')\n"
        "class Own(Exception): pass\n"
        "@s.method(raises=[Own])\ndef add(a: list[int], *, b: int | None = 1) -> list: ...\n"
        "s.document()",
    ],
    ids=["nothing", "client", "pool", "service", "errors"],
)
def test_nothing_heavy_is_imported(program: str) -> None:
    assert modules_after(program) & HEAVY - modules_after("") == set()


def test_a_running_worker_has_imported_nothing_heavy() -> None:
    program = str(SERVICES / "light.py")
    with procall.Pool(program, workers=1) as pool:
        assert pool.light.add(1, 2) == 3
        # Whatever the environment brings into every interpreter is not ours.
        assert set(pool.light.modules()) & HEAVY - modules_after("") == set()


def test_a_program_that_calls_has_imported_nothing_heavy() -> None:
    program = (
        f"import procall, sys\npool = procall.Pool({str(SERVICES / 'light.py')!r}, workers=1)\n"
        "assert pool.light.add(1, 2) == 3\npool.stop()"
    )
    assert modules_after(program) & HEAVY - modules_after("") == set()


def test_everything_public_is_there() -> None:
    for name in procall.__all__:
        assert getattr(procall, name) is not None
    assert set(dir(procall)) == set(procall.__all__)
