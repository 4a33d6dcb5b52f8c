"""Runs the blocks of one page, in their order and in one folder."""

import ast
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from pages import LANGUAGES, Block, Wrong

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
LONG = 120
"""Seconds that are enough for anything on a busy machine."""
LISTENS = re.compile(r"listening at|registered with|^procall call ", re.MULTILINE)
"""What a service says when it can be called."""


def environment(place: Path) -> dict[str, str]:
    """Of the programs of a page: this checkout's packages, a runtime directory of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROCALL_")}
    return {
        **kept,
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "home"),
        "XDG_RUNTIME_DIR": str(place / "run"),
        "PATH": f"{ROOT}/.venv/bin:{TARGET}:{HERE}/node_modules/.bin:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(ROOT / ".venv"),
        "NO_COLOR": "1",
    }


class Service:
    """A program that runs in another terminal."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str]) -> None:
        self.said = ""
        self.listens = threading.Event()
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self.read, daemon=True).start()
        if not self.listens.wait(LONG) or not LISTENS.search(self.said):
            self.end()
            raise Wrong(f"this does not come to serve:\n{self.said}")

    def read(self) -> None:
        for line in self.process.stdout or ():
            self.said += line
            if LISTENS.search(self.said):
                self.listens.set()
        # Whoever waits for it need not wait any longer.
        self.listens.set()

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(LONG)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise Wrong(f"this does not end on SIGTERM:\n{self.said}") from None


class Page:
    """The folder of a page, and what its blocks have come to so far."""

    def __init__(self, place: Path) -> None:
        self.env = environment(place)
        self.folder = place / "work"
        for folder in ("home", "run", "work"):
            (place / folder).mkdir(mode=0o700)
        (self.folder / "node_modules").symlink_to(HERE / "node_modules")
        (self.folder / "package.json").write_text('{"type": "module"}\n')
        self.services: dict[str, Service] = {}
        self.last: subprocess.CompletedProcess[str] | None = None

    def take(self, block: Block) -> str:
        """Does with a block what its marks say; what was done, for the report."""
        if "stop" in block.marks:
            self.end()
        for name, code in block.files.items():
            (self.folder / name).write_text(code)
        if block.language not in LANGUAGES:
            return self.compare(block)
        if "not run" in block.marks:
            self.parse(block)
            return "not run: " + block.marks["not run"]
        path = self.folder / block.name()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.source())
        if block.language == "ts":
            self.typed(path)
        if "file" in block.marks:
            self.parse(block)
            return "written"
        if "serve" in block.marks:
            name = block.name()
            if name in self.services:
                self.services.pop(name).end()
            self.services[name] = Service(self.command(block, path), self.folder, self.env)
            return "serves"
        self.last = self.run(self.command(block, path))
        if (self.last.returncode != 0) != ("fails" in block.marks):
            raise Wrong(
                f"it ended with {self.last.returncode}\n{self.last.stdout}{self.last.stderr}"
            )
        return "ran"

    def command(self, block: Block, path: Path) -> list[str]:
        if block.language == "python":
            wrapper = [str(HERE / "awaiting.py")] if awaits(block.source()) else []
            return [sys.executable, *wrapper, path.name]
        runner = {"js": ["node"], "ts": ["tsx"], "sh": ["bash", "-euo", "pipefail"]}
        # The shell is replaced by the only command of a service, which then gets the signal itself.
        if block.language == "sh" and "serve" in block.marks:
            return ["bash", "-c", "exec " + block.source().strip()]
        return [*runner[block.language], path.name]

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate(timeout=LONG)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                raise Wrong(f"it does not end\n{out}{err}") from None
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def parse(self, block: Block) -> None:
        """Code that is not run is still code."""
        if block.language == "python":
            compile(block.source(), "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        elif block.language == "js":
            path = self.folder / "parsed.mjs"
            path.write_text(block.source())
            parsed = self.run(["node", "--check", path.name])
            if parsed.returncode:
                raise Wrong(parsed.stderr)

    def typed(self, path: Path) -> None:
        """Types are part of what a page says."""
        tsc = ROOT / "bindings" / "node" / "node_modules" / "typescript" / "bin" / "tsc"
        types = ROOT / "bindings" / "node" / "node_modules" / "@types"
        options = (
            "--noEmit --strict --ignoreConfig --skipLibCheck --types node --target es2022 "
            "--lib es2023,esnext.disposable --module nodenext --moduleResolution nodenext"
        )
        checked = self.run(
            ["node", str(tsc), *options.split(), "--typeRoots", str(types), path.name]
        )
        if checked.returncode:
            raise Wrong(checked.stdout)

    def compare(self, block: Block) -> str:
        """Compares what the last program printed with what the page says."""
        if not {"prints", "says"} & set(block.marks):
            return ""
        if "by" in block.marks:
            self.last = self.hidden(*block.marks["by"].split("\n", 1))
        if self.last is None:
            raise Wrong("nothing has run before")
        if "prints" in block.marks:
            if not pattern(block.code).fullmatch(self.last.stdout.strip()):
                printed = self.last.stdout + self.last.stderr
                raise Wrong(f"the page says\n{block.code}\nand it printed\n{printed}")
        elif not pattern(block.code).search(self.last.stderr):
            raise Wrong(f"the page says\n{block.code}\nand it said\n{self.last.stderr}")
        return "printed"

    def hidden(self, name: str, code: str) -> subprocess.CompletedProcess[str]:
        """Runs what readers do not see; it may fail, because what it says is compared."""
        path = self.folder / name.strip()
        path.write_text(code + "\n")
        endings = {ending: language for language, ending in LANGUAGES.items()}
        if path.suffix[1:] not in endings:
            raise Wrong(f"no language is known by the end of {name}")
        return self.run(self.command(Block(0, endings[path.suffix[1:]], code), path))

    def end(self) -> None:
        while self.services:
            self.services.popitem()[1].end()


def pattern(text: str) -> re.Pattern[str]:
    """`...` stands for anything, also for several lines where it has a line of its own."""
    parts = []
    for line in text.strip().splitlines():
        anything = r"(?:.*\n)*?.*" if line.strip() == "..." else None
        parts.append(anything or ".*".join(map(re.escape, line.rstrip().split("..."))))
    return re.compile(r"[ ]*\n".join(parts))


def awaits(source: str) -> bool:
    """Whether it awaits outside of a function, as in a notebook."""
    try:
        compile(source, "block", "exec")
    except SyntaxError:
        compile(source, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        return True
    return False
