"""The first five minutes in one language: what a stranger types, and what there is to see."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

LONG = 60
"""Seconds that are enough for anything on a busy machine."""
README = Path(__file__).resolve().parents[2] / "README.md"

NODE_WORKER = """\
import { method, service } from "procall";

const number = { type: "number" };
const input = { type: "object", properties: { a: number, b: number }, required: ["a", "b"] };

await service("calc", {
  add: method({ input, idempotent: true }, ({ a, b }) => a + b),
  *count(n) {
    for (let i = 0; i < n; i++) yield i;
  },
}).run();
"""
FROM_PYTHON = "import procall; print(procall.connect('calc').add(a=2, b=3))"
FROM_NODE = """\
import("procall").then(async ({ connect }) => {
  const calc = await connect("calc");
  console.log(await calc.call("add", { a: 2, b: 3 }));
})"""


def readme_worker() -> str:
    """The Python worker of the README, as it stands there."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    return next(block for block in blocks if "calc.run()" in block)


class Stranger:
    """Somebody in a folder, who has typed the first command: the one that installs."""

    def __init__(self, language: str, place: Path) -> None:
        self.place = place
        self.folder = place / language
        self.procall = ["npx", "procall"] if language == "node" else ["procall"]
        self.file = "calc.mjs" if language == "node" else "calc.py"
        self.worker = NODE_WORKER if language == "node" else readme_worker()
        self.typed = 1

    def types(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Another command of the five minutes."""
        self.typed += 1
        return self.looks(*words, code=code)

    def looks(
        self, *words: str, code: int = 0, folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            words, cwd=folder or self.folder, capture_output=True, text=True, timeout=LONG
        )
        if ended.returncode != code:
            told = f"{ended.stdout}{ended.stderr}"
            sys.exit(f"FAIL  {shlex.join(words)} ended with {ended.returncode}:\n{told}")
        return ended

    def writes(self, text: str) -> None:
        (self.folder / self.file).write_text(text)

    def starts(self) -> Run:
        self.typed += 1
        return Run([*self.procall, "run", self.file, "--workers", "2"], self.folder)


class Run:
    """A `procall run` in the background."""

    def __init__(self, words: list[str], folder: Path) -> None:
        # As a terminal does it: the command and what it starts are one group, and Ctrl-C is for all
        # of it.
        self.process = subprocess.Popen(
            words,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.reading = threading.Thread(target=self.read, daemon=True)
        self.reading.start()

    def read(self) -> None:
        for line in self.process.stderr or ():
            self.lines.put(line)

    def expect(self, part: str) -> str:
        """Waits for a line with this in it."""
        while part not in (line := self.lines.get(timeout=LONG)):
            pass
        return line

    def interrupt(self) -> int:
        # It may have ended by itself.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)
        code = self.process.wait(LONG)
        # Its end of the pipe is closed when nobody of the group is left.
        self.reading.join(LONG)
        check("nobody is left", self.reading.is_alive(), False)
        return code


def check(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        sys.exit(f"FAIL  {what}: {found!r}, not {wanted!r}")
    print(f"ok    {what}", flush=True)


def check_told(what: str, text: str, *parts: str) -> None:
    """Whether all of this is told."""
    missing = [part for part in parts if part not in text]
    if missing:
        sys.exit(f"FAIL  {what}: nothing says {missing!r} in\n{text}")
    print(f"ok    {what}", flush=True)


def installed(stranger: Stranger) -> None:
    """What came is what was packed, and nothing of the checkout."""
    print(f"--- {stranger.folder.name}", flush=True)
    told = stranger.looks(*stranger.procall, "--version").stdout
    if stranger.folder.name == "node":
        where = stranger.folder / "node_modules" / "procall"
        version = json.loads((where / "package.json").read_text())["version"]
    else:
        import procall

        where = Path(procall.__file__).parent
        version = procall.__version__
        check("types are in it", (where / "py.typed").exists(), True)
    check("the package is the installed one", where.is_relative_to(stranger.place), True)
    check("the command has the package's version", told.split()[-1], version)


def mistakes(stranger: Stranger) -> None:
    """What strangers do wrong, and what they are told then."""
    early = stranger.looks(*stranger.procall, "call", "calc.add", "a=2", "b=3", code=4)
    check_told("a call before anybody serves", early.stderr, "no service runs here", "procall run")
    absent = stranger.looks(*stranger.procall, "run", "clac" + stranger.file[4:], code=2)
    check_told("a file that is not there", absent.stderr, "there is no file clac", stranger.file)
    stranger.writes(stranger.worker.replace("calc", "clac", 1).replace("service(", "sevrice("))
    broken = stranger.looks(*stranger.procall, "run", stranger.file, "--workers", "1", code=5)
    check_told("a worker with a typo", broken.stderr, "SPAWN_FAILED", "is not defined", "stderr")
    stranger.writes(stranger.worker)


def minutes(stranger: Stranger) -> None:
    stranger.writes(stranger.worker)
    installed(stranger)
    mistakes(stranger)
    run = stranger.starts()
    try:
        run.expect("procall call calc.add a=… b=…")
        call = [*stranger.procall, "call", "calc.add", "a=2"]
        check("procall call calc.add a=2 b=3", stranger.types(*call, "b=3").stdout, "5\n")
        wrong = stranger.types(*call, "b=x", code=2)
        check_told("a wrong argument is named", wrong.stderr, "INVALID_ARGUMENT", "field  b: ")
        missing = stranger.looks(*call, code=2).stderr
        check_told("and one that is missing", missing, "field  b: missing")
        from_python = stranger.types(sys.executable, "-c", FROM_PYTHON)
        check("the same from Python", from_python.stdout, "5\n")
        from_node = stranger.looks("node", "-e", FROM_NODE, folder=stranger.place / "node")
        check("the same from Node", from_node.stdout, "5\n")
        counted = stranger.looks(*stranger.procall, "stream", "calc.count", "n=3").stdout
        check("a stream", counted, "0\n1\n2\n")
        listed = stranger.looks(*stranger.procall, "ls").stdout
        check_told("procall ls", listed, "calc.add", "calc.count")

        before = json.loads(stranger.looks(*stranger.procall, "ps", "--json").stdout)["workers"]
        os.kill(before[0]["pid"], signal.SIGKILL)
        run.expect("was killed by SIGKILL")
        run.expect("is ready")
        row = json.loads(stranger.types(*stranger.procall, "ps", "--json").stdout)["workers"][0]
        check("a killed worker is back", (row["state"], row["restarts"]), ("ready", 1))
        check("and says how it died", row["last_exit"], "was killed by SIGKILL")
    finally:
        code = run.interrupt()
    # npx ends by the signal that it got itself, once the command has ended.
    check("Ctrl-C ends it well", code, -signal.SIGINT if stranger.procall[0] == "npx" else 0)
    check("commands that were typed", stranger.typed <= 6, True)
    lines = [line for line in stranger.worker.splitlines() if line.strip()]
    check("lines that were written", len(lines) <= 15, True)
    brought = {"node_modules", "package.json", "package-lock.json", stranger.file}
    check("nothing stays", set(os.listdir(stranger.folder)) <= brought, True)


if __name__ == "__main__":
    minutes(Stranger(sys.argv[1], Path(sys.argv[2])))
