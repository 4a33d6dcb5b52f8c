//! `paths`: what the architecture page names is there, and no file knows the machine it was written on.

use std::error::Error;
use std::path::Path;

use crate::files::{self, TextFile};

const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Folders of machines and hosts of package registries, which mean nothing to anybody else.
/// Written in fragments, so that this file does not find itself.
const FOREIGN: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/fa", "rm/"),
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("files.", "pythonhosted.org"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("pypi.org/", "simple"),
];

/// The only registry that `Cargo.lock` may name; cargo maps it to a mirror where there is one.
const CRATES: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks the files of the checkout at `root`.
pub(crate) fn run(root: &Path, _arguments: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    let files = files::read(root)?;
    let mut complaints: Vec<String> = files.iter().flat_map(foreign).collect();
    if let Some(page) = files.iter().find(|file| file.path == ARCHITECTURE) {
        complaints.extend(missing(page, |path| root.join(path).exists()));
    }
    Ok(complaints)
}

/// Complains about paths in code spans of `page` that do not exist.
fn missing(page: &TextFile, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut in_block = false;
    for (index, line) in page.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            // Every second piece between backticks is inside them.
            for span in line.split('`').skip(1).step_by(2) {
                if is_path(span) && !exists(span) {
                    complaints.push(format!(
                        "{}:{} names `{span}`, which is not there; correct the page",
                        page.path,
                        index + 1
                    ));
                }
            }
        }
    }
    complaints
}

/// Whether a code span is meant as a path of the checkout: it has a slash or a file ending, and nothing odd.
fn is_path(span: &str) -> bool {
    const ENDINGS: &[&str] =
        &[".rs", ".py", ".pyi", ".ts", ".mjs", ".js", ".md", ".toml", ".json", ".lock"];
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/".contains(letter);
    let relative = span.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '.');
    let named = span.contains('/') || ENDINGS.iter().any(|ending| span.ends_with(ending));
    named && relative && span.chars().all(plain)
}

/// Complains about what only the machine of the writer knows.
fn foreign(file: &TextFile) -> Vec<String> {
    let mut complaints = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let mut complain = |what: &str| {
            complaints.push(format!("{}:{} {what}", file.path, index + 1));
        };
        if let Some(word) = FOREIGN.iter().find(|word| line.contains(**word)) {
            complain(&format!("holds `{word}`, which exists on one machine only; take it out"));
        }
        if let Some(what) = foreign_in_lock(&file.path, line) {
            complain(what);
        }
    }
    complaints
}

/// Lock files name versions and hashes; where the bytes come from is the affair of each machine.
fn foreign_in_lock(path: &str, line: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        "Cargo.lock" if line.starts_with("source = ") && !line.contains(CRATES) => {
            Some("takes a crate from elsewhere than crates.io; use a released version")
        }
        "package-lock.json" if line.contains("\"resolved\": \"http") => Some(
            "names a registry; run `npm install --omit-lockfile-registry-resolved` and commit the lock file",
        ),
        _ if name.starts_with("requirements") && line.contains("://") => {
            Some("names a registry; leave only names and versions")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_in(text: &str) -> Vec<String> {
        missing(&TextFile::new(ARCHITECTURE, text), |path| path == "crates/procall-proto")
    }

    #[test]
    fn paths_in_code_spans_must_exist() {
        assert_eq!(missing_in("See `crates/procall-proto` and `Link`."), Vec::<String>::new());
        let complaints =
            missing_in("One.\nSee `crates/procall-proto` and `crates/gone`, `gone.md`.");
        assert_eq!(complaints.len(), 2);
        assert!(
            complaints[0].starts_with("ARCHITECTURE.md:2 names `crates/gone`"),
            "{complaints:?}"
        );
    }

    #[test]
    fn what_is_not_a_path_is_let_alone() {
        let text = "`unix:/run/x` `a / b` `/dev/shm` `handle_*/poll_*` `Option<T>/None`\n```text\n`no/where`\n```";
        assert_eq!(missing_in(text), Vec::<String>::new());
    }

    #[test]
    fn paths_and_hosts_of_one_machine_are_refused() {
        for word in FOREIGN {
            let file = TextFile::new("docs/a.md", format!("fine\nsee {word}x\n"));
            assert!(foreign(&file)[0].starts_with("docs/a.md:2 "), "{word}");
        }
        let fine =
            TextFile::new("docs/a.md", "crates/x/src, /dev/shm, network/x, https://crates.io\n");
        assert_eq!(foreign(&fine), Vec::<String>::new());
    }

    #[test]
    fn lock_files_name_no_registry() {
        let bad = [
            ("Cargo.lock", "source = \"git+https://example.org/fork\""),
            ("bindings/node/package-lock.json", "  \"resolved\": \"https://mirror/x.tgz\","),
            ("bindings/python/requirements-dev.txt", "--index-url https://mirror/"),
        ];
        for (path, line) in bad {
            assert_eq!(foreign(&TextFile::new(path, line)).len(), 1, "{path}");
        }
        let good = [
            ("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\""),
            ("bindings/node/package-lock.json", "  \"resolved\": \"packages/inner\","),
            ("bindings/python/requirements-dev.txt", "numpy==2.4.6"),
        ];
        for (path, line) in good {
            assert_eq!(foreign(&TextFile::new(path, line)), Vec::<String>::new(), "{path}");
        }
    }
}
