//! `leftovers`: no unfinished code and no test that is not run.

use std::error::Error;
use std::path::Path;

use crate::files::{self, TextFile};

/// What must not stand in a source file. Written in fragments, so that this file does not find itself.
const MARKS: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
    concat!("pytest.mark.", "skip"),
    concat!("pytest.mark.", "xfail"),
    concat!("pytest.", "skip("),
    concat!("unittest.", "skip"),
    concat!("it.", "skip"),
    concat!("it.", "todo"),
    concat!("test.", "skip"),
    concat!("test.", "todo"),
    concat!("describe.", "skip"),
    concat!("describe.", "todo"),
    concat!("NotImplemented", "Error"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Checks the source files of the checkout at `root`.
pub(crate) fn run(root: &Path, _arguments: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    Ok(files::read_sources(root)?.iter().flat_map(complaints).collect())
}

fn complaints(file: &TextFile) -> Vec<String> {
    let mut complaints = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for mark in MARKS.iter().filter(|mark| stands_alone(line, mark)) {
            complaints.push(format!(
                "{}:{} holds `{mark}`; finish it, or assert what the code does today",
                file.path,
                index + 1
            ));
        }
    }
    complaints
}

/// Whether `mark` occurs in `line` other than as the end of a longer word, as in `submit.skip`.
fn stands_alone(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_found_with_its_line() {
        for mark in MARKS {
            let file = TextFile::new("a.rs", format!("fn a() {{}}\n    {mark}\n"));
            let complaints = complaints(&file);
            assert!(complaints.iter().any(|complaint| complaint.starts_with("a.rs:2 ")), "{mark}");
        }
    }

    #[test]
    fn longer_words_are_not_marks() {
        for line in ["submit.skip(3)", "let latest.skip", "fn test_skipping()"] {
            assert_eq!(complaints(&TextFile::new("a.rs", line)), Vec::<String>::new(), "{line}");
        }
    }
}
