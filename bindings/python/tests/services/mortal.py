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


def _enter(ledger: str) -> int:
    """Enters this process; the first one that does so is killed then, in the middle of its call."""
    with open(ledger, "a") as file:
        file.write(f"{os.getpid()}\n")
    with open(ledger) as file:
        entries = len(file.readlines())
    if entries == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return entries


@mortal.method
def charge(ledger: str) -> int:
    return _enter(ledger)


@mortal.method(idempotent=True)
def settle(ledger: str) -> int:
    return _enter(ledger)


@mortal.method
def busy(ledger: str, times: int, forbids: bool = False) -> int:
    """Refuses so many calls with a time for the next one."""
    with open(ledger, "a") as file:
        file.write(f"{os.getpid()}\n")
    with open(ledger) as file:
        entries = len(file.readlines())
    if entries <= times:
        error = procall.Overloaded("not now")
        error.retry_after = 0.01
        error.no_retry = forbids
        raise error
    return entries


if __name__ == "__main__":
    mortal.run()
