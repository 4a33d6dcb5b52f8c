"""Reads the code blocks of a page, and the marks that stand before them.

A mark is an HTML comment, so readers do not see it. `README.md` beside this file lists all marks.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

LANGUAGES = {"python": "py", "js": "mjs", "ts": "ts", "sh": "sh"}
"""The languages whose blocks are run, and how their files end."""

OTHERS = {"text", "json", "toml", "rust", "ini", "proto"}
"""What is left alone; blocks in Rust are doctests."""

FLAGS = {"fails", "prints", "says", "stop"}
NAMED = {"file", "serve", "run"}
TEXTS = {"before", "after", "not run", "with", "by"}
MARK = re.compile(r"<!--\s*(.*?)\s*-->", re.DOTALL)


class Wrong(Exception):
    """A page that cannot be read, or code that does not do what its page says."""


@dataclass
class Block:
    line: int
    """Of the opening fence, from 1."""
    language: str
    code: str
    marks: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """What must be there and readers do not see."""

    def name(self) -> str:
        """Its file: what a mark says, else one of its own."""
        for mark in NAMED:
            if self.marks.get(mark):
                return self.marks[mark]
        return f"block_{self.line}.{LANGUAGES[self.language]}"

    def source(self) -> str:
        """What is run: the code, with what the marks put around it."""
        parts = [self.marks.get("before"), self.code, self.marks.get("after")]
        return "\n".join(part for part in parts if part) + "\n"


def mark(text: str, line: int) -> tuple[str, str]:
    """One mark and its value."""
    word, colon, value = text.partition(":")
    word = word.strip()
    value = value.strip("\n") if "\n" in value else value.strip()
    if word in FLAGS and not colon:
        return word, ""
    if word == "serve" and not colon:
        return word, ""
    if (word in NAMED or word in TEXTS) and value:
        return word, value
    raise Wrong(f"line {line}: there is no mark {text.splitlines()[0]!r}; see tests/docs/README.md")


def read(page: Path) -> list[Block]:
    """The blocks of a page in their order, with the marks before each."""
    blocks: list[Block] = []
    marks: dict[str, str] = {}
    files: dict[str, str] = {}
    lines = page.read_text().splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        fence = re.match(r"(\s*)```(\S*)", line)
        if line.startswith("<!--"):
            begin = at
            while "-->" not in lines[at]:
                at += 1
            comment = MARK.match("\n".join(lines[begin : at + 1]))
            if comment is None:
                raise Wrong(f"line {begin + 1}: a comment has a line of its own")
            if begin or not comment[1].startswith("Generated"):
                word, value = mark(comment[1], begin + 1)
                if word == "with":
                    name, _, code = value.partition("\n")
                    files[name.strip()] = code + "\n"
                elif word in marks:
                    raise Wrong(f"line {begin + 1}: the mark {word} stands here twice")
                else:
                    marks[word] = value
        elif fence:
            block, at = fenced(lines, at, fence[1], fence[2])
            block.marks, block.files = marks, files
            marks, files = {}, {}
            check(block)
            blocks.append(block)
        elif line.strip() and (marks or files):
            raise Wrong(f"line {at + 1}: the mark before this line has no code block")
        at += 1
    return blocks


def fenced(lines: list[str], at: int, indent: str, info: str) -> tuple[Block, int]:
    """The block that opens in this line, and the line of its closing fence."""
    end = at + 1
    while end < len(lines) and lines[end].strip() != "```":
        end += 1
    if end == len(lines):
        raise Wrong(f"line {at + 1}: this block does not end")
    language = info.partition(",")[0]
    if indent:
        raise Wrong(f"line {at + 1}: a block that is indented is not found by all readers")
    if language not in LANGUAGES and language not in OTHERS:
        raise Wrong(f"line {at + 1}: say the language of this block; {language!r} is not known")
    return Block(at + 1, language, "\n".join(lines[at + 1 : end])), end


def check(block: Block) -> None:
    """Refuses marks that do not fit the block."""
    marks = set(block.marks)
    told = marks & {"prints", "says"}
    if block.language in LANGUAGES:
        if told or "by" in marks:
            raise Wrong(f"line {block.line}: what is printed stands in a block of text")
        if len(marks & {*NAMED, "not run"}) > 1:
            raise Wrong(f"line {block.line}: a block has one of {sorted(marks)}")
    elif marks - {"prints", "says", "stop", "by"} or (told and block.language != "text"):
        raise Wrong(f"line {block.line}: these marks are for code: {sorted(marks)}")
    elif "by" in marks and not told:
        raise Wrong(f"line {block.line}: what is printed by this: `prints` or `says`")
