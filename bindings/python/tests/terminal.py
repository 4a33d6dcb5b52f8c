"""Programs on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess


def on_terminal(*command: str, **variables: str) -> str:
    """What a program prints on a terminal of its own."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm", **variables},
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            # That is how a terminal says that the last of its writers is gone.
            break
        if not part:
            break
        text += part
    os.close(ours)
    assert process.wait(60) == 0, text.decode()
    return text.decode()
