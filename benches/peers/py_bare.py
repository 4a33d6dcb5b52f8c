"""An interpreter that waits: the floor of what a Python worker costs."""

import signal

print("ready", flush=True)
signal.pause()
