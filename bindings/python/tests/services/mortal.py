"""A service that ends in every way there is, for the tests."""

import ctypes
import os
import resource
import signal
import sys
import time

import procall

mortal = procall.Service("mortal")
# No test leaves the picture of a crash behind.
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@mortal.method
def pid() -> int:
    return os.getpid()


@mortal.method
def wait_for_file(path: str) -> int:
    while not os.path.exists(path):
        time.sleep(0.001)
    return os.getpid()


@mortal.method
def die(how: str) -> None:
    print(f"about to die by {how}", file=sys.stderr, flush=True)
    match how:
        case "null":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "_exit":
            os._exit(4)
        case "exit":
            sys.exit(3)
        case signal_name:
            os.kill(os.getpid(), getattr(signal, signal_name))


if __name__ == "__main__":
    mortal.run()
