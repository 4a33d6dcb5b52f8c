"""`python -m runner`: every case between every two subjects over every transport.

The table goes to standard output, everything that was seen to a JSON file; see README.md.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from runner import scenarios
from runner.steps import Steps
from runner.world import Combination, World

HERE = Path(__file__).parents[1]
LANGUAGES = ["rust", "python", "node", "stdlib"]
TRANSPORTS = json.loads((HERE / "transports.json").read_text())
# `not offered` is never green: such a case is run too, and it is an error when it passes.
OK, FAILED, NOT_OFFERED, LEFT_OUT = "ok", "failed", "not offered", "does not apply"


def commands() -> dict[str, list[str]]:
    """How the subject of each language is started."""
    target = os.environ.get("CARGO_TARGET_DIR", str(HERE.parents[1] / "target"))
    return {
        "rust": [f"{target}/debug/conformance-subject"],
        "python": [sys.executable, str(HERE / "python" / "subject.py")],
        "node": ["node", str(HERE / "node" / "subject.mjs")],
        # Isolated, so that it cannot have anything of Procall.
        "stdlib": [sys.executable, "-I", "-S", str(HERE / "stdlib" / "subject.py")],
    }


def not_here(client: str, worker: str, transport: dict[str, Any]) -> str | None:
    """Why two subjects cannot meet over a transport."""
    if transport.get("same") and client != worker:
        return "both ends are one process, so they are one language"
    if "stdlib" in (client, worker) and not transport.get("json"):
        return "JSON is spoken with an engine"
    others = {client, worker} - set(transport.get("languages", LANGUAGES))
    return str(transport["because"]) if others else None


def combinations(options: argparse.Namespace) -> list[Combination]:
    found = []
    for transport in TRANSPORTS:
        for client in LANGUAGES:
            for worker in LANGUAGES:
                if (
                    options.transport in (None, transport["name"])
                    and options.client in (None, client)
                    and options.worker in (None, worker)
                    and not_here(client, worker, transport) is None
                ):
                    found.append(Combination(client, worker, transport))
    return thinned(found) if options.short else found


def thinned(all_: list[Combination]) -> list[Combination]:
    """Every pair on one transport, and one pair on each transport."""
    chosen, pairs, seen = [], set(), set()
    for each in all_:
        pair, name = (each.client, each.worker), each.transport["name"]
        usual = name == ("engine" if "stdlib" in pair else "unix")
        first = name not in seen and "stdlib" not in pair
        if (usual and pair not in pairs) or first:
            chosen.append(each)
            pairs |= {pair} if usual else set()
            seen.add(name)
    return chosen


class Run:
    """All cases of one combination, one after the other."""

    def __init__(self, combination: Combination, cases: list[Any], options: Any) -> None:
        self.combination = combination
        self.cases = cases
        self.options = options
        self.worlds: dict[str, World] = {}

    def results(self) -> list[dict[str, Any]]:
        try:
            results = [self.result(case) for case in self.cases]
        finally:
            for world in self.worlds.values():
                world.close()
        failed = [str(each["case"]) for each in results if each["outcome"] == FAILED]
        said = f"failed: {', '.join(failed)}" if failed else "done"
        print(f"{self.combination.name}: {said}", file=sys.stderr, flush=True)
        return results

    def result(self, case: dict[str, Any]) -> dict[str, Any]:
        begun = time.monotonic()
        outcome, why = self.outcome(case)
        return {
            "case": case["number"],
            "name": case["name"],
            "client": self.combination.client,
            "worker": self.combination.worker,
            "transport": self.combination.transport["name"],
            "encoding": self.encoding(),
            "outcome": outcome,
            "why": why,
            "seconds": round(time.monotonic() - begun, 3),
        }

    def encoding(self) -> str:
        ends = ["json" if end == "stdlib" else "native" for end in self.ends()]
        return ends[0] if ends[0] == ends[1] else " -> ".join(ends)

    def ends(self) -> tuple[str, str]:
        return self.combination.client, self.combination.worker

    def outcome(self, case: dict[str, Any]) -> tuple[str, str]:
        facts = self.combination.facts()
        left_out = scenarios.reason(case.get("applies_not", []), facts)
        if left_out is None and self.options.short and "long" in case:
            left_out = f"only in the full form: {case['long']}"
        if left_out is not None:
            return LEFT_OUT, left_out
        missing = scenarios.reason(case.get("not_offered", []), facts)
        if missing is not None and "steps" not in case:
            return NOT_OFFERED, missing
        try:
            self.take(case)
        except (AssertionError, OSError, KeyError) as wrong:
            if missing is not None:
                return NOT_OFFERED, missing
            return FAILED, f"{type(wrong).__name__}: {wrong}"
        if missing is not None:
            return FAILED, f"it is offered by now, so `not_offered` has to go: {missing}"
        return OK, ""

    def take(self, case: dict[str, Any]) -> None:
        wanted = case.get("world", {})
        key = json.dumps(wanted)
        world = self.worlds.pop(key, None)
        if world is None:
            world = World(self.combination, commands(), self.options.procall, wanted)
            self.worlds[key] = world
            world.open()
        else:
            self.worlds[key] = world
        try:
            Steps(world, case).run()
        except BaseException:
            # Nobody knows what a case that failed left behind.
            self.worlds.pop(key).close()
            raise
        if case.get("spends"):
            self.worlds.pop(key).close()


def table(results: list[dict[str, Any]], cases: list[Any]) -> None:
    """A line a combination, then what failed, is not offered, and does not apply."""
    signs = {OK: "ok", FAILED: "FAILED", NOT_OFFERED: "not offered", LEFT_OUT: "not applicable"}
    rows: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for each in results:
        key = (each["client"], each["worker"], each["transport"], each["encoding"])
        rows.setdefault(key, []).append(each)
    heads = ["client", "worker", "transport", "encoding", *signs.values(), "s"]
    print("{:8}{:8}{:13}{:17}{:>5}{:>8}{:>13}{:>16}{:>7}".format(*heads))
    for key, row in rows.items():
        counts = Counter(each["outcome"] for each in row)
        took = sum(each["seconds"] for each in row)
        told = [counts[outcome] for outcome in signs]
        print("{:8}{:8}{:13}{:17}{:5}{:8}{:13}{:16}{:7.1f}".format(*key, *told, took))
    for outcome in (NOT_OFFERED, LEFT_OUT, FAILED):
        grouped: dict[tuple[int, str, str], list[str]] = {}
        for each in results:
            if each["outcome"] == outcome:
                where = f"{each['client']}->{each['worker']}/{each['transport']}"
                key_ = (each["case"], each["name"], each["why"])
                grouped.setdefault(key_, []).append(where)
        if grouped:
            print(f"\n{outcome}:")
        for (number, name, why), places in sorted(grouped.items()):
            where = "everywhere" if len(places) == len(rows) else f"{len(places)} of {len(rows)}"
            if outcome == FAILED:
                where = ", ".join(places)
            print(f"  {number:2} {name} ({where}): {why}")
    absent = [each for each in cases if all(r["case"] != each["number"] for r in results)]
    assert not absent, absent


def main() -> int:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--client", choices=LANGUAGES, help="only this caller")
    parser.add_argument("--worker", choices=LANGUAGES, help="only this worker")
    names = [each["name"] for each in TRANSPORTS]
    parser.add_argument("--transport", choices=names, help="only this transport")
    parser.add_argument("--case", type=int, action="append", help="only this case; may be repeated")
    parser.add_argument(
        "--short", action="store_true", help="each pair on one transport, one pair on each"
    )
    parser.add_argument("--procall", required=True, help="the command procall")
    parser.add_argument("--results", type=Path, help="the JSON file with everything that was seen")
    options = parser.parse_args()
    cases = [
        case for case in scenarios.load() if options.case is None or case["number"] in options.case
    ]
    chosen = combinations(options)
    if not cases or not chosen:
        print("nothing is like this: no case, or no combination", file=sys.stderr)
        return 2
    runs = [Run(each, cases, options) for each in chosen]
    # Much of a case is waiting.
    with ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as threads:
        results = [each for found in threads.map(Run.results, runs) for each in found]
    table(results, cases)
    counts = Counter(each["outcome"] for each in results)
    print(
        "\n" + ", ".join(f"{counts[each]} {each}" for each in (OK, FAILED, NOT_OFFERED, LEFT_OUT))
    )
    if options.results is not None:
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(json.dumps({"results": results}, indent=1) + "\n")
        print(f"everything is in {options.results}")
    return 1 if counts[FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
