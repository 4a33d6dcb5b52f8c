//! `sizes`: a source file stays small enough to be read in one go.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::files::{self, TextFile};

/// More lines than this need a reason in the list.
const EXPLAIN_ABOVE: usize = 600;

/// More lines than this are a defect, whatever the reason.
const REFUSE_ABOVE: usize = 1000;

/// The list of long files and why they are long.
const LIST: &str = "xtask/sizes.toml";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// Path to reason.
    #[serde(default)]
    explained: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Verdict {
    warnings: Vec<String>,
    complaints: Vec<String>,
}

/// Checks the source files of the checkout at `root`; prints warnings, returns complaints.
pub(crate) fn run(root: &Path, _arguments: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    let list: List = toml::from_str(&fs::read_to_string(root.join(LIST))?)?;
    let verdict = judge(&files::read_sources(root)?, &list);
    for warning in &verdict.warnings {
        eprintln!("sizes: warning: {warning}");
    }
    Ok(verdict.complaints)
}

fn judge(sources: &[TextFile], list: &List) -> Verdict {
    let mut verdict = Verdict::default();
    for TextFile { path, text } in sources {
        let lines = text.lines().count();
        if lines > REFUSE_ABOVE {
            verdict.complaints.push(format!("{path} has {lines} lines; split it by subject"));
        } else if lines > EXPLAIN_ABOVE && !list.explained.contains_key(path) {
            verdict.warnings.push(format!(
                "{path} has {lines} lines; split it by subject, or give the reason in {LIST}"
            ));
        }
    }
    for (path, reason) in &list.explained {
        let file = sources.iter().find(|file| &file.path == path);
        if file.is_none_or(|file| file.text.lines().count() <= EXPLAIN_ABOVE) {
            verdict.complaints.push(format!("{path} is not long; take it out of {LIST}"));
        } else if reason.trim().is_empty() {
            verdict.complaints.push(format!("{path} stands in {LIST} without a reason"));
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, lines: usize) -> TextFile {
        TextFile::new(path, "line\n".repeat(lines))
    }

    fn list(path: &str, reason: &str) -> List {
        List { explained: BTreeMap::from([(path.to_owned(), reason.to_owned())]) }
    }

    #[test]
    fn files_up_to_the_bound_pass() {
        let verdict = judge(&[file("a.rs", EXPLAIN_ABOVE)], &List::default());
        assert!(verdict.warnings.is_empty() && verdict.complaints.is_empty());
    }

    #[test]
    fn long_files_are_told_unless_explained() {
        let long = [file("a.rs", EXPLAIN_ABOVE + 1)];
        assert_eq!(judge(&long, &List::default()).warnings.len(), 1);
        let verdict = judge(&long, &list("a.rs", "one table"));
        assert!(verdict.warnings.is_empty() && verdict.complaints.is_empty());
        assert!(judge(&long, &list("a.rs", " ")).complaints[0].contains("without a reason"));
    }

    #[test]
    fn too_long_files_fail_even_when_explained() {
        let verdict = judge(&[file("a.rs", REFUSE_ABOVE + 1)], &list("a.rs", "one table"));
        assert!(verdict.complaints[0].contains("1001 lines"));
    }

    #[test]
    fn the_list_does_not_outlive_its_files() {
        assert!(judge(&[], &list("gone.rs", "r")).complaints[0].contains("not long"));
        assert!(judge(&[file("a.rs", 5)], &list("a.rs", "r")).complaints[0].contains("not long"));
    }
}
