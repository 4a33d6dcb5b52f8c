"""The Python parent: every way to start a worker that the table named on the command line has."""

import json
import os
import sys
from pathlib import Path

import procall

ARGS = ["$(exit 1); `exit 1`", "", "ü \"quoted\" 'twice' *", "--flag=1"]


def start(row):
    given = {key: row[key] for key in ("interpreter", "cwd") if key in row}
    env = {**row.get("env", {}), "PAIRS_SAID": "a=b; ü"}
    return procall.Pool(
        row.get("spawn") or row["command"],
        workers=1,
        max_unready=1,
        show_output=False,
        args=ARGS,
        env=env,
        **given,
    )


def refusal(row):
    try:
        start(row).close()
    except procall.SpawnFailed as error:
        return str(error)
    return "it started"


def check(row):
    if "fails" in row:
        told = refusal(row)
        assert row["fails"] in told, told
        return
    pool = start(row)
    with pool:
        assert pool.call("add", 1, 2) == 3
        launched = pool.call("launched")
    assert launched["language"] == row["language"], launched
    assert launched["args"] == ARGS, launched
    assert launched["cwd"] == os.path.realpath(row.get("cwd", ".")), launched
    assert launched["env"] == {"PAIRS_SAID": "a=b; ü"}, launched
    assert launched["program"].startswith(row.get("program", "")), launched


failed = False
for row in json.loads(Path(sys.argv[1]).read_text()):
    if "python" not in row.get("callers", ["python"]):
        continue
    try:
        check(row)
        print("ok   ", row["name"])
    except Exception as reason:
        failed = True
        print("FAIL ", f"{row['name']}: {type(reason).__name__}: {reason}")
sys.exit(failed)
