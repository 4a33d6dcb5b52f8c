"""The first five minutes: the worker of the README, run and called from the command line."""

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
PROCALL = TARGET / "debug" / "procall"
LONG = 60
"""Seconds that are enough for anything on a busy machine."""


def worker() -> str:
    """The Python worker of the README, as it stands there."""
    page = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    return next(block for block in blocks if "calc.run()" in block)


class Place:
    """A fresh folder with a runtime directory of its own."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        bin_dir = ROOT / ".venv" / "bin"
        self.env = {
            **os.environ,
            "XDG_RUNTIME_DIR": folder,
            "PATH": f"{bin_dir}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(ROOT / ".venv"),
        }

    def procall(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [PROCALL, *words],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=LONG,
        )
        if ended.returncode != code:
            sys.exit(f"procall {' '.join(words)} ended with {ended.returncode}:\n{ended.stderr}")
        return ended

    def run(self, *words: str) -> "Run":
        return Run(self, words)


class Run:
    """A `procall run` in the background."""

    def __init__(self, place: Place, words: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            [PROCALL, "run", *words],
            cwd=place.folder,
            env=place.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        for line in self.process.stderr or ():
            self.lines.put(line)

    def expect(self, part: str) -> None:
        """Waits for a line with this in it."""
        while part not in self.lines.get(timeout=LONG):
            pass


def check(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        sys.exit(f"FAIL  {what}: {found!r}, not {wanted!r}")
    print(f"ok    {what}")


def minutes(place: Place) -> None:
    Path(place.folder, "calc.py").write_text(worker())
    run = place.run("calc.py", "--workers", "2")
    try:
        run.expect("procall call calc.add")
        check(
            "procall call calc.add a=2 b=3",
            place.procall("call", "calc.add", "a=2", "b=3").stdout,
            "5\n",
        )
        wrong = place.procall("call", "calc.add", "a=2", "b=x", code=2)
        check("a wrong argument is named", "\n  field  b: " in wrong.stderr, True)
        check("procall stream", place.procall("stream", "calc.count", "n=3").stdout, "0\n1\n2\n")
        listed = place.procall("ls").stdout
        check("procall ls", "calc.add" in listed and "calc.count" in listed, True)

        node = shutil.which("node")
        if node is None:
            sys.exit("FAIL  there is no node on PATH")
        package = (ROOT / "bindings" / "node").as_uri()
        program = (
            f'const {{ connect }} = await import("{package}/dist/index.mjs");'
            'const calc = await connect("calc");'
            "console.log(await calc.add(2, 3)); await calc.close();"
        )
        called = subprocess.run(
            [node, "--input-type=module", "-e", program],
            env=place.env,
            capture_output=True,
            text=True,
            timeout=LONG,
        )
        check("the same from Node", called.stdout.strip() or called.stderr, "5")

        workers = json.loads(place.procall("ps", "--json").stdout)["workers"]
        os.kill(workers[0]["pid"], signal.SIGKILL)
        run.expect("was killed by SIGKILL")
        run.expect("is ready")
        row = json.loads(place.procall("ps", "--json").stdout)["workers"][0]
        check("a killed worker is back", (row["state"], row["restarts"]), ("ready", 1))
        check("and says how it died", row["last_exit"], "was killed by SIGKILL")
    finally:
        run.process.send_signal(signal.SIGINT)
        code = run.process.wait(LONG)
    check("Ctrl-C ends it well", code, 0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        minutes(Place(folder))
