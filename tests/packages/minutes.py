"""The first five minutes with an installed wheel. The folder it runs in is empty."""

import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

LONG = 60
"""Seconds that are enough for anything on a busy machine."""

WORKER = """\
import procall

calc = procall.Service("calc")


@calc.method(idempotent=True)
def add(a: int, b: int) -> int:
    return a + b


calc.run()
"""


def check(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        sys.exit(f"FAIL  {what}: {found!r}, not {wanted!r}")
    print(f"ok    {what}", flush=True)


def main(environment: Path) -> None:
    import procall

    command = environment / "bin" / "procall"
    inside = Path(procall.__file__).is_relative_to(environment)
    check("the package is the installed one", inside, True)
    check("types are in it", Path(procall.__file__).with_name("py.typed").exists(), True)
    told = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=LONG)
    check("the command has the package's version", procall.__version__ in told.stdout, True)

    Path("calc.py").write_text(WORKER)
    run = subprocess.Popen(["procall", "run", "calc.py"], stderr=subprocess.PIPE, text=True)
    try:
        lines: queue.Queue[str] = queue.Queue()

        def read() -> None:
            for line in run.stderr or ():
                lines.put(line)

        threading.Thread(target=read, daemon=True).start()
        while "procall call calc.add" not in lines.get(timeout=LONG):
            pass
        called = subprocess.run(
            ["procall", "call", "calc.add", "a=2", "b=3"],
            capture_output=True,
            text=True,
            timeout=LONG,
        )
        check("procall call calc.add a=2 b=3", called.stdout or called.stderr, "5\n")
        with procall.connect("calc") as calc:
            check("the same from Python", calc.add(a=2, b=3), 5)
    finally:
        run.send_signal(signal.SIGINT)
        code = run.wait(LONG)
    check("Ctrl-C ends it well", code, 0)
    with procall.Pool("calc.py", workers=1) as pool:
        check("a pool", pool.calc.add(2, 3), 5)
    check("nothing stays", sorted(os.listdir()), ["calc.py"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
