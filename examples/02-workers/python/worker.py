"""The Python worker: a service with one method, ``message``."""

import time

import procall

workers = procall.Service("workers")


@workers.method
def message(message):
    match message:
        case {"Add": [a, b]}:
            return a + b
        case {"Sub": [a, b]}:
            return a - b
        case {"Toil": millis}:
            time.sleep(millis / 1000)
            return millis
        case {"Note": text}:
            print("noted:", text)
            return None
    raise procall.InvalidArgument(f"there is no message {message}")


if __name__ == "__main__":
    workers.run()
