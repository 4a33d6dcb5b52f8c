//! `failures`: each test that the page on failures names is there.

use std::error::Error;
use std::path::Path;

use crate::files;

const PAGE: &str = "docs/src/failures.md";

/// Checks the page of the checkout at `root`.
pub(crate) fn run(root: &Path, _arguments: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    let page = std::fs::read_to_string(root.join(PAGE))?;
    let sources = files::read_sources(root)?;
    let exists = |name: &str| {
        // In Rust, with lifetimes or types of its own, and in Python.
        let definitions = [format!("fn {name}("), format!("fn {name}<"), format!("def {name}(")];
        sources.iter().any(|file| definitions.iter().any(|one| file.text.contains(one)))
    };
    Ok(complaints(&page, exists))
}

/// Complains about rows without a test, and tests that are nowhere.
fn complaints(page: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for (index, line) in page.lines().enumerate() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [what, _, test] = cells[..] else { continue };
        if what == "what went wrong" || what.starts_with("---") {
            continue;
        }
        let name = test.trim_matches('`');
        if name.is_empty() || !exists(name) {
            complaints.push(format!(
                "{PAGE}:{} names the test `{name}`, which is not there; name the one that fails when the rule is broken",
                index + 1
            ));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::complaints;

    #[test]
    fn a_test_that_is_nowhere_is_found() {
        let page = "| what went wrong | our rule | test |\n|---|---|---|\n| it | so | `is_there` |\n| it | so | `is_not` |\n";
        let found = complaints(page, |name| name == "is_there");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("`is_not`") && found[0].contains(":4 "), "{found:?}");
    }
}
