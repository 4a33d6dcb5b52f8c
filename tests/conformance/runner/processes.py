"""The processes of a run: subjects and engines, and what they say."""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

# Long enough for every machine; nothing waits for it that goes well.
PATIENCE = 60.0


class Silent(AssertionError):
    """Somebody did not say what was waited for."""


class Process:
    """A process whose standard error is kept."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.command = command
        self.lines: list[str] = []
        self.news = threading.Condition()
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.readers = [
            threading.Thread(target=self._read, args=(self.process.stderr, self._complain)),
            threading.Thread(target=self._read, args=(self.process.stdout, self._say)),
        ]
        for reader in self.readers:
            reader.start()

    def _read(self, stream: Any, take: Any) -> None:
        for line in stream:
            with self.news:
                take(line.decode(errors="replace").rstrip("\n"))
                self.news.notify_all()
        with self.news:
            self.news.notify_all()

    def _complain(self, line: str) -> None:
        self.lines.append(line)

    def _say(self, line: str) -> None:
        self.lines.append(line)

    def over(self) -> bool:
        return not any(reader.is_alive() for reader in self.readers)

    def wait_for(self, look: Any, what: str) -> Any:
        """Waits until `look` finds something, or nothing more can come."""
        end = time.monotonic() + PATIENCE
        with self.news:
            while (found := look()) is None:
                left = end - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self.news.wait(0.5)):
                    if (found := look()) is not None:
                        break
                    said = " | ".join(self.lines[-5:])
                    raise Silent(f"{what} did not come from {self.command[-2:]}: {said}")
                self.news.wait(min(left, 1.0))
        return found

    def said(self, pattern: str) -> re.Match[str]:
        """The first line that is like the pattern."""

        def look() -> Any:
            return next((hit for line in self.lines if (hit := re.search(pattern, line))), None)

        return self.wait_for(look, f"a line like {pattern!r}")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdin is not None
        # What was not read is for nobody any more.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        for reader in self.readers:
            reader.join()


class Caller(Process):
    """A subject that obeys lines."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.answers: dict[int, dict[str, Any]] = {}
        self.last = 0
        super().__init__(command, env)

    def _say(self, line: str) -> None:
        try:
            answer = json.loads(line)
        except ValueError:
            # A stack trace, say, of a subject that is about to end.
            self.lines.append(line)
            return
        self.answers[answer.pop("id")] = answer

    def ask(self, command: dict[str, Any]) -> int:
        self.last += 1
        assert self.process.stdin is not None
        line = json.dumps({"id": self.last, **command})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.last

    def answer(self, number: int) -> dict[str, Any]:
        answer: dict[str, Any] = self.wait_for(
            lambda: self.answers.get(number), f"the answer to line {number}"
        )
        if "broken" in answer:
            raise Silent(f"the subject could not: {answer['broken']}")
        return answer
