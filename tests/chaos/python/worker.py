"""The Python worker of every scenario."""

import os
import time

import procall

chaos = procall.Service("chaos")
ledger = os.open(
    os.path.join(os.environ["CHAOS_LEDGER"], str(os.getpid())),
    os.O_CREAT | os.O_APPEND | os.O_WRONLY,
)


@chaos.method
def work(id: int, nonce: int, millis: int, payload: bytes) -> tuple[int, bytes]:
    os.write(ledger, f"S {id}\n".encode())
    if millis > 0:
        time.sleep(millis / 1000)
    os.write(ledger, f"E {id}\n".encode())
    return nonce, payload


if __name__ == "__main__":
    chaos.run()
