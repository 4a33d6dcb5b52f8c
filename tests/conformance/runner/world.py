"""What a case happens in: an engine where there is one, workers, and callers."""

import shutil
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.processes import Caller, Process

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Combination:
    """Who calls whom over what."""

    client: str
    worker: str
    transport: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.client} -> {self.worker} over {self.transport['name']}"

    def facts(self) -> dict[str, Any]:
        return {
            "client": self.client,
            "worker": self.worker,
            "either": [self.client, self.worker],
            "transport": self.transport["name"],
        }


@dataclass
class World:
    """Everything that runs for one case, or for several in turn."""

    combination: Combination
    commands: dict[str, list[str]]
    procall: str
    wanted: dict[str, Any]
    folder: Path = field(init=False)
    workers: list[Process] = field(default_factory=list)
    callers: dict[str, Caller] = field(default_factory=dict)
    others: dict[str, Process] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    engine: Process | None = None
    engine_address: str = ""
    marks: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="conformance-"))
        run = self.folder / "run"
        run.mkdir(mode=0o700)
        self.env = {"XDG_RUNTIME_DIR": str(run), "SUBJECT_FOLDER": str(self.folder)}
        self.marks = {"folder": str(self.folder)}
        for name in self.combination.transport.get("files", []):
            copy = shutil.copy(ROOT / name, self.folder)
            # A key that others may read is refused.
            Path(copy).chmod(0o600)

    def marked(self, text: str, **more: str) -> str:
        """A text of `transports.json` or a scenario with its marks replaced."""
        for mark, content in {**self.marks, **more}.items():
            text = text.replace(f"{{{mark}}}", content)
        return text

    def open(self) -> None:
        transport = self.combination.transport
        if "engine" in transport:
            self.start_engine()
        for name, value in transport.get("env", {}).items():
            self.env[name] = self.marked(value)
        if transport.get("processes", True):
            for _ in range(self.wanted.get("workers", 1)):
                self.start_worker()
        for name, who in self.wanted.get("also", {}).items():
            language = getattr(self.combination, who)
            self.others[name] = process = self.serve(language, name)
            self.targets[name] = self.target_of(process, name)
        self.caller("caller")

    def start_engine(self, address: str | None = None) -> None:
        """Starts the engine, or starts it again where it was."""
        place = address or "tcp:127.0.0.1:0"
        args = [*self.combination.transport["engine"], *self.wanted.get("engine", [])]
        args = [self.marked(each) for each in args]
        if "tokens" in self.wanted:
            tokens = self.folder / "tokens"
            tokens.touch(mode=0o600)
            tokens.write_text("\n".join(self.wanted["tokens"]) + "\n")
        command = [self.procall, "serve", "--no-http", "--listen", place, *args]
        self.engine = Process(command, self.env)
        self.engine_address = self.engine.said(r"listening at (tcp:\S+)")[1]
        self.env["SUBJECT_ENGINE"] = self.marks["engine"] = self.engine_address
        self.marks["socket"] = self.engine.said(r"listening at (unix:\S+)")[1]

    def serve(
        self, language: str, name: str, env: dict[str, str] | None = None, wait: bool = True
    ) -> Process:
        env = {"SUBJECT_NAME": name, **(env or {})}
        if "concurrency" in self.wanted:
            env["SUBJECT_CONCURRENCY"] = str(self.wanted["concurrency"])
        for key, value in self.combination.transport.get("serve", {}).items():
            env[key] = self.marked(value, name=name)
        process = Process([*self.commands[language], "worker"], {**self.env, **env})
        if wait:
            process.said(r"listening at|registered with")
        return process

    def start_worker(self) -> Process:
        process = self.serve(self.combination.worker, "subject")
        self.workers.append(process)
        self.targets["subject"] = self.target_of(process, "subject")
        return process

    def target_of(self, process: Process, name: str) -> str:
        if self.combination.transport.get("target") == "address":
            return process.said(r"listening at (\S+)")[1]
        return name

    def caller(self, name: str) -> Caller:
        """A caller of this name, which is connected as `main`."""
        if name in self.callers:
            return self.callers[name]
        combination = self.combination
        caller = Caller([*self.commands[combination.client], "caller"], self.env)
        self.callers[name] = caller
        transport = combination.transport["name"]
        if transport == "pool":
            env = {**self.env}
            if "concurrency" in self.wanted:
                env["SUBJECT_CONCURRENCY"] = str(self.wanted["concurrency"])
            command = {
                "do": "pool",
                "command": [*self.commands[combination.worker], "worker"],
                "workers": self.wanted.get("workers", 1),
                "queue": self.wanted.get("queue", 256),
                "env": env,
            }
        else:
            command = {"do": "connect", "target": self.targets.get("subject", "mem:")}
        answer = caller.answer(caller.ask({**command, "as": "main"}))
        if "error" in answer:
            raise AssertionError(f"the caller is not connected: {answer['error']}")
        return caller

    def close(self) -> None:
        for caller in self.callers.values():
            # A pool's workers end with their caller, whatever becomes of it.
            caller.end()
        for process in [*self.workers, *self.others.values(), self.engine]:
            if process is not None:
                process.end()
        shutil.rmtree(self.folder, ignore_errors=True)


def stop_signal(name: str) -> int:
    return int(getattr(signal, f"SIG{name}"))
