"""Which interpreter runs a worker that is a Python file, for a program in Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import procall
import pytest
from procall._workers import plan

PACKAGE = Path(__file__).parents[1]
WORKER = """
import sys
import procall

where = procall.Service("where")

@where.method
def program() -> str:
    return sys.executable

where.run()
"""
HOST = """
import sys
import procall

with procall.Pool(sys.argv[1], workers=1, show_output=False) as pool:
    print(pool.call("program"))
"""


def test_an_environment_in_which_the_program_runs_is_the_workers_too(tmp_path: Path) -> None:
    assert sys.prefix != sys.base_prefix, "the tests run in a virtual environment"
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to("/bin/false")
    with procall.Pool(script, workers=1) as pool:
        assert pool.call("program") == sys.executable


@pytest.mark.parametrize(
    ("program", "options", "told"),
    [
        ("a.py", {}, "interpreter"),
        ("a.py", {"env": {"OTHER": ""}}, "interpreter"),
        ("a.py", {"env": {"VIRTUAL_ENV": "/venv"}}, "default_python"),
        ("a.py", {"interpreter": sys.executable}, "interpreter"),
        ("a.mjs", {}, None),
        (["python", "a.py"], {}, None),
    ],
)
def test_an_environment_that_is_given_goes_first(
    program: Any, options: Any, told: str | None
) -> None:
    found = plan(program, options)[1]
    expected = {} if told is None else {told: sys.executable}
    assert {key: found[key] for key in found if key != "env"} == expected


def test_outside_of_an_environment_the_one_beside_the_file_goes_first(tmp_path: Path) -> None:
    base: str = sys._base_executable  # type: ignore[attr-defined]
    project = tmp_path / "project"
    subprocess.run([base, "-m", "venv", "--without-pip", project / ".venv"], check=True)
    for folder in (project, tmp_path):
        (folder / "worker.py").write_text(WORKER)
    host = tmp_path / "host.py"
    host.write_text(HOST)
    env = {**os.environ, "PYTHONPATH": str(PACKAGE), "XDG_RUNTIME_DIR": str(tmp_path)}
    env.pop("VIRTUAL_ENV", None)
    tmp_path.chmod(0o700)
    for folder, expected in [(project, project / ".venv/bin/python"), (tmp_path, Path(base))]:
        command = [base, host, folder / "worker.py"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert os.path.samefile(Path(done.stdout.strip()).parent, expected.parent)
