"""Takes the steps of one case."""

import itertools
import json
import os
import time
from typing import Any

from runner import corpus, raw
from runner.matching import Mismatch, match, short
from runner.processes import PATIENCE, Silent
from runner.scenarios import holds
from runner.world import World, stop_signal

# What of a step is the runner's, and not a part of the line that the subject gets.
OWN = {"by", "expect", "until", "save", "handle", "many", "when"}
tokens = itertools.count(1)


class Steps:
    def __init__(self, world: World, case: dict[str, Any]) -> None:
        self.world = world
        self.case = case
        self.facts = world.combination.facts()
        self.handles: dict[str, tuple[Any, int]] = {}
        self.raw: raw.Raw | None = None
        self.door: Any = None
        self.known: dict[str, Any] = {
            "token": f"case {case['number']} {next(tokens)}",
            "lost": world.combination.transport["lost"],
            "folder": str(world.folder),
            **world.targets,
        }

    def run(self) -> None:
        try:
            for number, step in enumerate(self.case["steps"], 1):
                if not holds(step.get("when", {}), self.facts):
                    continue
                try:
                    self.take(step)
                except (Mismatch, Silent, OSError) as wrong:
                    raise Mismatch(f"step {number}, {step['do']}: {wrong}") from wrong
        finally:
            for each in (self.raw, self.door):
                if each is not None:
                    each.close()

    def filled(self, value: Any, index: int = 0) -> Any:
        """A part of a step with its variables replaced."""
        if isinstance(value, list):
            return [self.filled(each, index) for each in value]
        if isinstance(value, dict):
            if set(value) == {"$"}:
                return self.known[value["$"]]
            if set(value) == {"#"}:
                start, by, *modulus = value["#"]
                made = start + by * index
                return made % modulus[0] if modulus else made
            return {key: self.filled(each, index) for key, each in value.items()}
        return value

    def take(self, step: dict[str, Any]) -> None:
        own = getattr(self, f"do_{step['do']}", None)
        if own is not None:
            own(step)
        elif "many" in step:
            self.many(step)
        elif step.get("until"):
            self.until(step)
        elif "handle" in step:
            self.handles[step["handle"]] = self.ask(step)
        else:
            caller, number = self.ask(step)
            self.check(step, caller.answer(number))

    def ask(self, step: dict[str, Any], index: int = 0) -> tuple[Any, int]:
        caller = self.world.caller(step.get("by", "caller"))
        line = {key: self.filled(value, index) for key, value in step.items() if key not in OWN}
        if line["do"] not in ("connect", "pool", "close"):
            line.setdefault("on", "main")
        if "call" in line and isinstance(line["call"], str):
            line["call"] = self.handles[line["call"]][1]
        return caller, caller.ask(line)

    def call(self, method: str, params: list[Any]) -> tuple[Any, int]:
        """Starts a call whose params have no variables."""
        caller = self.world.caller("caller")
        return caller, caller.ask({"do": "call", "method": method, "params": params, "on": "main"})

    def check(self, step: dict[str, Any], answer: dict[str, Any], index: int = 0) -> None:
        # Without an expectation a step has to be possible.
        want = self.filled(step.get("expect", {"error": {"?not": {}}}), index)
        if "expect" not in step and "error" in answer:
            raise Mismatch(f"it failed: {short(answer['error'])}")
        if "expect" in step:
            match(want, answer)
        if "save" in step:
            for name, path in step["save"].items():
                found: Any = answer
                for key in path.split("/"):
                    found = found[int(key) if isinstance(found, list) else key]
                self.known[name] = found

    def many(self, step: dict[str, Any]) -> None:
        asked = [self.ask(step, index) for index in range(step["many"])]
        for index, (caller, number) in enumerate(asked):
            self.check(step, caller.answer(number), index)

    def until(self, step: dict[str, Any]) -> None:
        """Asks again and again, until the answer is what is expected."""
        end = time.monotonic() + PATIENCE
        while True:
            caller, number = self.ask(step)
            try:
                self.check(step, caller.answer(number))
                return
            except Mismatch:
                if time.monotonic() > end:
                    raise

    def do_wait(self, step: dict[str, Any]) -> None:
        caller, number = self.handles[step["handle"]]
        self.check(step, caller.answer(number))

    def do_signal(self, step: dict[str, Any]) -> None:
        """Sends a signal to a process of this world."""
        number = stop_signal(step["signal"])
        who = self.filled(step["to"])
        if isinstance(who, int):
            # One of a pool's, which has told its number itself.
            os.kill(who, number)
            return
        named = {**self.world.callers, **self.world.others, "engine": self.world.engine}
        process = self.world.workers[0] if who == "worker" else named[who]
        process.signal(number)
        if step["signal"] == "KILL":
            process.process.wait()

    def do_engine(self, step: dict[str, Any]) -> None:
        """Starts the engine again where it was."""
        assert self.world.engine is not None
        self.world.engine.end()
        self.world.start_engine(self.world.engine_address)

    def do_serve(self, step: dict[str, Any]) -> None:
        """Starts one more worker, which may be refused."""
        env = self.filled(step.get("env", {}))
        language = self.world.combination.worker
        process = self.world.serve(language, step.get("name", "subject"), env, wait=False)
        self.world.others[f"more {len(self.world.others)}"] = process
        process.said(step["says"])

    def do_corpus(self, step: dict[str, Any]) -> None:
        corpus.run(self, step)

    def do_raw(self, step: dict[str, Any]) -> None:
        """Bytes of a stranger, and what they are answered with."""
        if "listen" in step:
            self.door, self.known["raw"] = raw.listen(
                str(self.world.folder), self.facts["transport"]
            )
        if "accept" in step:
            self.raw = raw.Raw(self.door.accept()[0])
        if "connect" in step:
            if self.raw is not None:
                self.raw.close()
            self.raw = raw.Raw.connect(self.address(step["connect"]))
        assert self.raw is not None or "listen" in step
        if "say" in step and self.raw is not None:
            self.raw.say(bytes.fromhex(step["say"]))
        if "json" in step and self.raw is not None:
            text = self.filled(step["json"])
            self.raw.say(json.dumps(text).encode())
        if "hear" in step and self.raw is not None:
            match(self.filled(step["hear"]), self.raw.hear(), "what was heard")

    def address(self, who: str) -> str:
        if who == "engine":
            return self.world.engine_address
        return str(self.world.workers[0].said(r"listening at (\S+)")[1])
