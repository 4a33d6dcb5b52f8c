"""Makes what `launches.json` speaks of, and prints the table with its places filled in.

`prepare.py PLACE WORKER`: an empty folder, and the Rust worker.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

here = Path(__file__).parent
place, worker = Path(sys.argv[1]), sys.argv[2]
venv = Path(os.environ["VIRTUAL_ENV"])


def environment(folder, *, with_package):
    """A virtual environment; the package is in it as an editable installation would have it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    if with_package:
        (site,) = (folder / ".venv" / "lib").glob("python3*/site-packages")
        (site / "procall.pth").write_text(f"{here.parents[1] / 'bindings' / 'python'}\n")


for name in ("project/deep", "bare", "alone"):
    (place / name).mkdir(parents=True)
environment(place / "project", with_package=True)
environment(place / "bare", with_package=False)
for copy in ("project", "project/deep", "alone"):
    shutil.copy(here / "python" / "worker.py", place / copy)
shutil.copy(here / "node" / "worker.mjs", place / "alone")
shutil.copy(here / "node" / "worker.ts", place / "alone")
(place / "plain").write_text("")

table = (here / "launches.json").read_text()
for name, value in {"here": here, "place": place, "venv": venv, "worker": worker}.items():
    table = table.replace(f"{{{name}}}", str(value))
json.dump(json.loads(table), sys.stdout)
