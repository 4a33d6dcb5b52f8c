//! The Python table, `bindings/python/procall/_codes.py`.

use std::fmt::Write as _;

use crate::registry::{Code, Registry};
use crate::text::{camel_case, quoted, wrap};

/// The line length that ruff is set to.
const WIDTH: usize = 100;

/// Formatted as ruff would.
pub(super) fn render(registry: &Registry) -> String {
    let notice = super::notice();
    let entries: String = registry.codes.iter().map(entry).collect();
    format!(
        r#"# {notice}
"""The error codes: what each means, and the exception class that stands for it."""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """What is known about one error code."""

    number: int
    """The number on the wire. Numbers are never reused."""
    name: str
    """As in ``NOT_FOUND``."""
    class_name: str
    """The exception class, as in ``NotFound``."""
    base: str | None
    """The builtin exception that the class also derives from, if any."""
    retryable: bool
    """Whether the same call may succeed later."""
    executed: Literal["no", "maybe", "yes"]
    """Whether the handler ran, when nobody knows better."""
    sentence: str
    """What the code means."""
    cause: str
    """What usually leads to it."""
    fix: str
    """What to do about it."""


CODES: Final[dict[str, CodeInfo]] = {{
{entries}}}
"#
    )
}

fn entry(code: &Code) -> String {
    let mut entry = format!("    {}: CodeInfo(\n", quoted(&code.name));
    let base = code.python_base.as_deref();
    let fields = [
        ("number", code.number.to_string()),
        ("name", quoted(&code.name)),
        ("class_name", quoted(&camel_case(&code.name))),
        ("base", base.map_or_else(|| "None".to_owned(), quoted)),
        ("retryable", if code.retryable { "True" } else { "False" }.to_owned()),
        ("executed", quoted(code.executed.word())),
    ];
    for (name, value) in fields {
        let _ = writeln!(entry, "        {name}={value},");
    }
    for (name, text) in [("sentence", &code.sentence), ("cause", &code.cause), ("fix", &code.fix)] {
        entry.push_str(&string(name, text));
    }
    entry.push_str("    ),\n");
    entry
}

/// One string argument, in several literals when one line is too short for it.
fn string(name: &str, text: &str) -> String {
    let line = format!("        {name}={},\n", quoted(text));
    if line.chars().count() <= WIDTH + 1 {
        return line;
    }
    let room = WIDTH - "            \"\"".len();
    // All parts but the last end in the space at which they were broken.
    let parts =
        if text.chars().count() <= room { vec![text.to_owned()] } else { wrap(text, room - 1) };
    let last = parts.len() - 1;
    let mut lines = format!("        {name}=(\n");
    for (index, part) in parts.iter().enumerate() {
        let space = if index == last { "" } else { " " };
        let _ = writeln!(lines, "            {}", quoted(&format!("{part}{space}")));
    }
    lines.push_str("        ),\n");
    lines
}
