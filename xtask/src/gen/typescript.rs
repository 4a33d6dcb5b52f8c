//! The TypeScript union and table, `bindings/node/src/codes.ts`.

use std::fmt::Write as _;

use crate::registry::{Code, Registry};
use crate::text::quoted;

/// The line length that prettier takes from `.editorconfig`.
const WIDTH: usize = 100;

/// After a name this short, prettier keeps a value that is too long on the same line.
const SHORT_NAME: usize = 4;

/// Formatted as prettier would.
pub(super) fn render(registry: &Registry) -> String {
    let notice = super::notice();
    let mut union = String::new();
    for code in &registry.codes {
        let _ = write!(union, "\n  | {}", quoted(&code.name));
    }
    let entries: String = registry.codes.iter().map(entry).collect();
    format!(
        r#"// {notice}

/** The name of every error code. */
export type ErrorCode ={union};

/** Whether the handler ran. */
export type Executed = "no" | "maybe" | "yes";

/** What is known about one error code. */
export interface CodeInfo {{
  /** The number on the wire. Numbers are never reused. */
  readonly number: number;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** Whether the handler ran, when nobody knows better. */
  readonly executed: Executed;
  /** What the code means. */
  readonly sentence: string;
  /** What usually leads to it. */
  readonly cause: string;
  /** What to do about it. */
  readonly fix: string;
}}

/**
 * Every error code, by name.
 *
 * ```ts
 * const {{ sentence, fix }} = CODES.NOT_FOUND;
 * ```
 */
export const CODES: Readonly<Record<ErrorCode, CodeInfo>> = {{
{entries}}};
"#
    )
}

fn entry(code: &Code) -> String {
    let mut entry = format!("  {}: {{\n", code.name);
    let fields = [
        ("number", code.number.to_string()),
        ("retryable", code.retryable.to_string()),
        ("executed", quoted(code.executed.word())),
        ("sentence", quoted(&code.sentence)),
        ("cause", quoted(&code.cause)),
        ("fix", quoted(&code.fix)),
    ];
    for (name, value) in fields {
        let line = format!("    {name}: {value},");
        let broken = line.chars().count() > WIDTH && name.len() > SHORT_NAME;
        let _ = if broken {
            writeln!(entry, "    {name}:\n      {value},")
        } else {
            writeln!(entry, "{line}")
        };
    }
    entry.push_str("  },\n");
    entry
}
