"""The scenarios as data: which cases there are, and which apply where."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[3] / "spec" / "scenarios"


def load() -> list[dict[str, Any]]:
    cases = [case for path in FOLDER.glob("*.json") for case in json.loads(path.read_text())]
    cases.sort(key=lambda case: case["number"])
    numbers = [case["number"] for case in cases]
    if len(set(numbers)) < len(numbers):
        raise ValueError("a case has the number of another")
    return cases


def holds(condition: dict[str, Any], facts: dict[str, Any]) -> bool:
    """Whether a combination is one of those that the condition names."""
    for key, wanted in condition.items():
        found = facts[key] if isinstance(facts[key], list) else [facts[key]]
        if not set(wanted) & set(found):
            return False
    return True


def reason(rules: list[dict[str, Any]], facts: dict[str, Any]) -> str | None:
    """Why the first rule that names the combination names it."""
    for rule in rules:
        if holds(rule.get("when", {}), facts):
            return str(rule["because"])
    return None
