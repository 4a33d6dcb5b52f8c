//! `duplicates`: the same dozen lines of code do not stand in two places.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::files::{self, TextFile};

/// So many lines of code in a row, the same in two places, are one piece of code written twice.
const WINDOW: usize = 12;

/// The list of repetitions that are better than what they would be replaced by.
const LIST: &str = "xtask/duplicates.toml";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    allowed: Vec<Allowed>,
}

/// Two files that may repeat each other; the same path twice for a file that may repeat itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    files: [String; 2],
    reason: String,
}

impl Allowed {
    fn covers(&self, repetition: &Repetition<'_>) -> bool {
        let [one, other] = [&self.files[0], &self.files[1]];
        let (first, second) = (repetition.first.path(), repetition.second.path());
        (one == first && other == second) || (one == second && other == first)
    }
}

/// One line of code that counts.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    /// Counted from 1.
    number: usize,
    text: &'a str,
}

/// The lines of one file that count.
struct Code<'a> {
    path: &'a str,
    lines: Vec<Line<'a>>,
}

/// A window: where it begins.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a Code<'a>,
    at: usize,
}

impl<'a> Place<'a> {
    fn path(&self) -> &'a str {
        self.file.path
    }

    fn number(&self) -> usize {
        self.file.lines[self.at].number
    }

    fn next(self) -> Self {
        Self { at: self.at + 1, ..self }
    }

    fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.file, other.file) && self.at == other.at
    }
}

/// The same lines in two places.
struct Repetition<'a> {
    first: Place<'a>,
    second: Place<'a>,
    lines: usize,
}

/// Checks the source files of the checkout at `root`.
pub(crate) fn run(root: &Path, _arguments: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    let list: List = toml::from_str(&fs::read_to_string(root.join(LIST))?)?;
    Ok(complaints(&files::read_sources(root)?, &list))
}

fn complaints(sources: &[TextFile], list: &List) -> Vec<String> {
    let code: Vec<Code<'_>> = sources.iter().map(significant).collect();
    let repetitions = repetitions(&code);
    let mut complaints = Vec::new();
    for repetition in &repetitions {
        if !list.allowed.iter().any(|allowed| allowed.covers(repetition)) {
            let Repetition { first, second, lines } = repetition;
            complaints.push(format!(
                "{}:{} repeats {lines} lines of {}:{}; make one piece of code serve both, \
                 or give the reason in {LIST}",
                second.path(),
                second.number(),
                first.path(),
                first.number()
            ));
        }
    }
    for allowed in &list.allowed {
        let [one, other] = &allowed.files;
        if !repetitions.iter().any(|repetition| allowed.covers(repetition)) {
            complaints.push(format!("{one} and {other} repeat nothing; take them out of {LIST}"));
        } else if allowed.reason.trim().is_empty() {
            complaints.push(format!("{one} and {other} stand in {LIST} without a reason"));
        }
    }
    complaints
}

/// The lines that say something: no blanks, comments, imports, and none that are only brackets.
fn significant(file: &TextFile) -> Code<'_> {
    const QUIET: &[&str] =
        &["//", "#", "/*", "*", "use ", "pub use ", "import ", "from ", "export * "];
    let lines = file
        .text
        .lines()
        .enumerate()
        .map(|(index, line)| Line { number: index + 1, text: line.trim() })
        .filter(|line| line.text.contains(char::is_alphanumeric))
        .filter(|line| !QUIET.iter().any(|quiet| line.text.starts_with(quiet)))
        .collect();
    Code { path: &file.path, lines }
}

/// Every longest run of repeated windows, once.
fn repetitions<'a>(code: &'a [Code<'a>]) -> Vec<Repetition<'a>> {
    let mut seen: HashMap<Vec<&str>, Place<'a>> = HashMap::new();
    let mut repetitions: Vec<Repetition<'a>> = Vec::new();
    for file in code {
        for at in 0..(file.lines.len() + 1).saturating_sub(WINDOW) {
            let here = Place { file, at };
            let window = file.lines[at..at + WINDOW].iter().map(|line| line.text).collect();
            let first = match seen.entry(window) {
                Entry::Vacant(vacant) => {
                    vacant.insert(here);
                    continue;
                }
                Entry::Occupied(occupied) => *occupied.get(),
            };
            // A table of like lines overlaps itself; that is no repetition.
            if std::ptr::eq(first.file, file) && at - first.at < WINDOW {
                continue;
            }
            match repetitions.last_mut() {
                Some(last) if last.goes_on_at(&first, &here) => last.lines += 1,
                _ => repetitions.push(Repetition { first, second: here, lines: WINDOW }),
            }
        }
    }
    repetitions
}

impl Repetition<'_> {
    fn goes_on_at(&self, first: &Place<'_>, second: &Place<'_>) -> bool {
        let more = self.lines - WINDOW;
        let after = |place: &Place<'_>, next: &Place<'_>| {
            let mut end = *place;
            end.at += more;
            end.next().is(next)
        };
        after(&self.first, first) && after(&self.second, second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, head: &str, lines: usize) -> TextFile {
        let body: String = (0..lines).map(|n| format!("    let value_{n} = {n};\n")).collect();
        TextFile::new(path, format!("{head}\n{body}}}\n"))
    }

    #[test]
    fn a_short_repetition_is_accepted() {
        let files = [file("a.rs", "fn a() {", WINDOW - 1), file("b.rs", "fn b() {", WINDOW - 1)];
        assert_eq!(complaints(&files, &List::default()), Vec::<String>::new());
    }

    #[test]
    fn a_long_repetition_is_told_once_with_both_places() {
        let files =
            [file("a.rs", "fn a() {", WINDOW + 5), file("b.rs", "// b\nfn b() {", WINDOW + 5)];
        let complaints = complaints(&files, &List::default());
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].starts_with("b.rs:3 repeats 17 lines of a.rs:2;"), "{complaints:?}");
    }

    #[test]
    fn comments_blanks_and_indents_do_not_hide_a_repetition() {
        let first = file("a.rs", "fn a() {", WINDOW);
        let hidden =
            first.text.replace("    let", "\n        // Why.\n        let").replace("fn a", "fn b");
        let complaints = complaints(&[first, TextFile::new("b.rs", hidden)], &List::default());
        assert_eq!(complaints.len(), 1, "{complaints:?}");
    }

    #[test]
    fn a_file_may_not_repeat_itself_but_a_table_may_look_alike() {
        let twice = file("a.rs", "fn a() {", WINDOW).text + &file("a.rs", "fn b() {", WINDOW).text;
        let complaint = complaints(&[TextFile::new("a.rs", twice)], &List::default());
        assert_eq!(complaint.len(), 1, "{complaint:?}");

        let table = TextFile::new("t.rs", "    None,\n".repeat(WINDOW + 8));
        assert_eq!(complaints(&[table], &List::default()), Vec::<String>::new());
    }

    #[test]
    fn the_list_allows_needs_reasons_and_does_not_outlive_its_cause() {
        let list = |reason: &str| List {
            allowed: vec![Allowed {
                files: ["b.rs".to_owned(), "a.rs".to_owned()],
                reason: reason.to_owned(),
            }],
        };
        let same = [file("a.rs", "fn a() {", WINDOW), file("b.rs", "fn b() {", WINDOW)];
        assert_eq!(complaints(&same, &list("two examples, each complete")), Vec::<String>::new());
        assert!(complaints(&same, &list(""))[0].contains("without a reason"));
        assert!(complaints(&same[..1], &list("gone"))[0].contains("repeat nothing"));
    }
}
