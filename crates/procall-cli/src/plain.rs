//! Text of others, made fit for a terminal.
//!
//! Names, descriptions, errors and results come from services. A control character in them would move the cursor, hide text or worse;
//! here it is shown as the escape that JSON has for it.

use std::borrow::Cow;
use std::fmt::Write;

/// Text on one line, without control characters.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    shown(text, is_control)
}

/// The same, but line breaks and tabs stay.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    shown(text, |c| is_control(c) && !matches!(c, '\n' | '\t'))
}

/// A line that a worker printed, to stand behind the worker's name. Its colours stay; of a line that was written over with carriage returns,
/// as progress bars are, the last state is left.
pub(crate) fn output(line: &str) -> Cow<'_, str> {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or(line);
    if !line.contains(|c| c != '\t' && is_control(c)) {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len() + 16);
    let mut rest = line;
    while let Some(at) = rest.find('\x1b') {
        out += &text(&rest[..at]);
        let colour = colour_at(&rest[at..]);
        out += if colour > 0 { &rest[at..at + colour] } else { "\\u001b" };
        rest = &rest[at + colour.max(1)..];
    }
    out += &text(rest);
    Cow::Owned(out)
}

/// The length of the sequence at the beginning of a text that only sets colours and the like; 0 when there is none.
fn colour_at(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\x1b[") else { return 0 };
    let end = parameters.find(|c: char| !(c.is_ascii_digit() || c == ';' || c == ':'));
    match end {
        Some(end) if parameters[end..].starts_with('m') => "\x1b[".len() + end + 1,
        _ => 0,
    }
}

/// Characters that act instead of being seen: ASCII's and Latin-1's, and those that turn the direction of writing.
pub(crate) fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn shown(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) {
            // A string takes whatever is written to it.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown_instead() {
        assert_eq!(line("a\x1b[2Jb\nc"), "a\\u001b[2Jb\\u000ac");
        assert_eq!(
            text("a\n\tb\r\u{9b}31m\u{7f}\u{202e}"),
            "a\n\tb\\u000d\\u009b31m\\u007f\\u202e"
        );
        assert!(matches!(line("plain ü 漢"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_workers_line_keeps_its_colours_and_stays_behind_its_name() {
        assert_eq!(output("\x1b[1;31mred\x1b[0m\r"), "\x1b[1;31mred\x1b[0m");
        assert_eq!(output(" 50%\r100%"), "100%");
        assert_eq!(
            output("a\x1b[2K\x1b[1Gcalc/9 | x\x08\x1b"),
            "a\\u001b[2K\\u001b[1Gcalc/9 | x\\u0008\\u001b"
        );
        assert_eq!(output("\x1b[1;"), "\\u001b[1;");
    }
}
