//! The Rust enum, `crates/procall-proto/src/code.rs`.

use std::fmt::Write as _;

use crate::registry::{Code, Executed, Registry};
use crate::text::{camel_case, quoted, wrap};

/// The columns of a doc comment inside the enum: rustfmt's 100, less the indent and `/// `.
const DOC_WIDTH: usize = 100 - 8;

/// Formatted as rustfmt would.
pub(super) fn render(registry: &Registry) -> String {
    let notice = super::notice();
    let codes = &registry.codes;
    let list = lines(codes, |code| format!("        Self::{},\n", camel_case(&code.name)));
    let numbers = lines(codes, |code| {
        format!("            {} => Self::{},\n", code.number, camel_case(&code.name))
    });
    let variants = lines(codes, variant);
    let entries = lines(codes, entry);
    format!(
        r#"// {notice}

//! The error codes.

use std::fmt;

use crate::Executed;

/// What went wrong, as every peer in every language names it.
///
/// Numbers are for ever: a number that is missing was retired and is never used again.
#[non_exhaustive]
#[repr(u16)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {{
{variants}}}

impl ErrorCode {{
    /// Every code, by number.
    pub const ALL: &[Self] = &[
{list}    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {{
        self as u16
    }}

    /// The code with this number; `None` for 0, for retired numbers and for those of newer peers.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {{
        Some(match number {{
{numbers}            _ => return None,
        }})
    }}

    /// The name, as in `NOT_FOUND`.
    #[must_use]
    pub const fn name(self) -> &'static str {{
        self.entry().name
    }}

    /// The name in the engine dialect, as in `method_not_found`; [`name`](Self::name) where it has no word of its own.
    #[must_use]
    pub const fn engine_name(self) -> &'static str {{
        self.entry().engine
    }}

    /// The name in the roadmap dialect, as in `METHOD_NOT_FOUND`; [`name`](Self::name) where it has no word of its own.
    #[must_use]
    pub const fn roadmap_name(self) -> &'static str {{
        self.entry().roadmap
    }}

    /// The code with this name, as in `NOT_FOUND`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {{
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }}

    /// Whether the same call may succeed later. Only codes of calls that did not run are retryable.
    #[must_use]
    pub const fn retryable(self) -> bool {{
        self.entry().retryable
    }}

    /// Whether the handler ran, when nobody knows better.
    #[must_use]
    pub const fn executed(self) -> Executed {{
        self.entry().executed
    }}

    /// What the code means, in one sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {{
        self.entry().sentence
    }}

    /// What usually leads to it.
    #[must_use]
    pub const fn cause(self) -> &'static str {{
        self.entry().cause
    }}

    /// What to do about it.
    #[must_use]
    pub const fn fix(self) -> &'static str {{
        self.entry().fix
    }}

    const fn entry(self) -> &'static Entry {{
        match self {{
{entries}        }}
    }}
}}

/// Displays the name.
impl fmt::Display for ErrorCode {{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {{
        f.pad(self.name())
    }}
}}

struct Entry {{
    name: &'static str,
    engine: &'static str,
    roadmap: &'static str,
    retryable: bool,
    executed: Executed,
    sentence: &'static str,
    cause: &'static str,
    fix: &'static str,
}}
"#
    )
}

fn lines(codes: &[Code], line: impl Fn(&Code) -> String) -> String {
    codes.iter().map(line).collect()
}

fn variant(code: &Code) -> String {
    let mut variant = String::new();
    for line in wrap(&code.sentence, DOC_WIDTH) {
        let _ = writeln!(variant, "    /// {line}");
    }
    let _ = writeln!(variant, "    {} = {},", camel_case(&code.name), code.number);
    variant
}

fn entry(code: &Code) -> String {
    let executed = match code.executed {
        Executed::No => "No",
        Executed::Maybe => "Maybe",
        Executed::Yes => "Yes",
    };
    let mut entry = format!("            Self::{} => &Entry {{\n", camel_case(&code.name));
    let fields = [
        ("name", quoted(&code.name)),
        ("engine", quoted(code.engine.as_ref().unwrap_or(&code.name))),
        ("roadmap", quoted(code.roadmap.as_ref().unwrap_or(&code.name))),
        ("retryable", code.retryable.to_string()),
        ("executed", format!("Executed::{executed}")),
        ("sentence", quoted(&code.sentence)),
        ("cause", quoted(&code.cause)),
        ("fix", quoted(&code.fix)),
    ];
    for (name, value) in fields {
        let _ = writeln!(entry, "                {name}: {value},");
    }
    entry.push_str("            },\n");
    entry
}
