//! The error index of the book, `docs/src/errors.md`.

use std::fmt::Write as _;

use crate::registry::{Code, Registry};
use crate::text::camel_case;

/// One section, and so one anchor, for each code.
pub(super) fn render(registry: &Registry) -> String {
    let notice = super::notice();
    let mut rows = String::new();
    for code in &registry.codes {
        let Code { number, name, sentence, .. } = code;
        let _ = writeln!(rows, "| {number} | [{name}](#{}) | {sentence} |", anchor(name));
    }
    let sections: String = registry.codes.iter().map(section).collect();
    format!(
        "<!-- {notice} -->

# Error index

Every error of Procall carries one of these codes, in every language and on the command line.
`procall explain CODE` prints the same text.

*Executed* says whether the handler's first instruction ran: *no* and *yes* are guarantees, *maybe* means that it cannot be known.
The index gives the usual verdict; the error itself carries the exact one.
*Retryable* says whether the same call may succeed later.

| number | code | meaning |
|---|---|---|
{rows}{sections}"
    )
}

/// The anchor that Markdown renderers make of a heading that is just the name.
fn anchor(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn section(code: &Code) -> String {
    let Code { name, number, sentence, cause, fix, .. } = code;
    let class = camel_case(name);
    let python = match &code.python_base {
        Some(base) => format!("`procall.{class}`, which is also a `{base}`"),
        None => format!("`procall.{class}`"),
    };
    let retryable = if code.retryable { "yes" } else { "no" };
    let executed = code.executed.word();
    format!(
        "
## {name}

{sentence}

- **Cause:** {cause}
- **Fix:** {fix}
- **Executed:** {executed}
- **Retryable:** {retryable}
- **Number:** {number}
- **Rust:** `ErrorCode::{class}`
- **Python:** {python}
- **Node:** `error.code === \"{name}\"`
"
    )
}
