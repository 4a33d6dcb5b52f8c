"""A page that says what is not so is found out."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import Wrong, read

import docs


def attempt(folder: Path, text: str) -> str:
    """The first line of the report on a page."""
    page = folder / "page.md"
    page.write_text(text.replace("FENCE", "```"))
    report, _, _ = docs.attempt(page)
    return report[0]


GOOD = {
    "it prints": "FENCEpython\nprint(1)\nFENCE\n\n<!-- prints -->\nFENCEtext\n1\nFENCE\n",
    "anything": "FENCEjs\nconsole.log('a b c')\nFENCE\n"
    "<!-- prints -->\nFENCEtext\na ... c\nFENCE\n",
    "some lines": "FENCEsh\nseq 9\nFENCE\n<!-- prints -->\nFENCEtext\n1\n...\n9\nFENCE\n",
    "it fails": "<!-- fails -->\nFENCEpython\nraise ValueError('so')\nFENCE\n"
    "<!-- says -->\nFENCEtext\nValueError: so\nFENCE\n",
    "around": "<!-- before: a = 1 -->\n<!-- after: assert b == 2 -->\n"
    "FENCEpython\nb = a + 1\nFENCE\n",
    "a file": "<!-- file: one.py -->\nFENCEpython\nONE = 1\nFENCE\n"
    "FENCEpython\nfrom one import ONE\nFENCE\n",
    "a hidden file": "<!-- with: two.py\nTWO = 2\n-->\nFENCEpython\nimport two\nFENCE\n",
    "it awaits": "FENCEpython\nimport asyncio\nawait asyncio.sleep(0)\nFENCE\n",
    "not run": "<!-- not run: there is no such thing -->\n"
    "FENCEpython\nimport nothing_at_all\nFENCE\n",
    "by": "<!-- by: a.py\nprint(3)\n-->\n<!-- prints -->\nFENCEtext\n3\nFENCE\n",
    "served": "<!-- serve: one.py -->\nFENCEpython\nimport procall\n\n"
    "procall.Service('one').run()\nFENCE\nFENCEpython\nimport procall\n\n"
    "procall.connect('one').close()\nFENCE\n",
    "types": "FENCEts\nconst n: number = 1;\nconsole.log(n);\nFENCE\n",
}

BAD = {
    "it prints something else": "FENCEpython\nprint(2)\nFENCE\n"
    "<!-- prints -->\nFENCEtext\n1\nFENCE\n",
    "it prints more": "FENCEpython\nprint(12)\nFENCE\n<!-- prints -->\nFENCEtext\n1\nFENCE\n",
    "it fails": "FENCEsh\nfalse\nFENCE\n",
    "it does not fail": "<!-- fails -->\nFENCEsh\ntrue\nFENCE\n",
    "it says something else": "FENCEsh\necho a >&2\nFENCE\n<!-- says -->\nFENCEtext\nb\nFENCE\n",
    "after": "<!-- after: assert b == 3 -->\nFENCEpython\nb = 2\nFENCE\n",
    "a wrong type": "FENCEts\nconst n: number = 'one';\nconsole.log(n);\nFENCE\n",
    "no syntax, not run": "<!-- not run: a fragment -->\nFENCEpython\ndef f(:\nFENCE\n",
    "no service": "<!-- serve: one.py -->\nFENCEpython\nprint(1)\nFENCE\n",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_a_page_that_is_right(tmp_path: Path, text: str) -> None:
    assert attempt(tmp_path, text).startswith("ok    ")


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_a_page_that_is_wrong(tmp_path: Path, text: str) -> None:
    assert attempt(tmp_path, text).startswith("FAIL  ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<!-- files: one.py -->\nFENCEpython\nFENCE\n", "there is no mark"),
        ("<!-- not run -->\nFENCEpython\nFENCE\n", "there is no mark"),
        ("<!-- fails -->\nA sentence.\n", "has no code block"),
        ("<!-- fails -->\nFENCEtext\nFENCE\n", "these marks are for code"),
        ("<!-- prints -->\nFENCEpython\nFENCE\n", "stands in a block of text"),
        ("FENCE\nx\nFENCE\n", "say the language"),
        ("FENCEpython\nx\n", "does not end"),
        ("- FENCE\n  FENCEpython\n  x\n  FENCE\n", "indented"),
    ],
)
def test_marks_that_mean_nothing_are_refused(tmp_path: Path, text: str, told: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text.replace("FENCE", "```"))
    with pytest.raises(Wrong, match=told):
        read(page)
