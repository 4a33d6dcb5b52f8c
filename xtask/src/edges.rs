//! `edges`: the crates of the workspace depend on each other only downhill.

use std::error::Error;
use std::path::Path;

use crate::metadata::{Metadata, Package};

/// Which crates of the workspace each crate may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("procall-proto", &[]),
    ("procall-transport", &[]),
    ("procall-macros", &[]),
    ("procall", &["procall-proto", "procall-transport", "procall-macros"]),
    ("procall-pool", &["procall"]),
    ("procall-engine", &["procall-pool", "procall"]),
    ("procall-cli", &["procall-engine", "procall-pool", "procall"]),
    ("procall-python", &["procall", "procall-pool"]),
    ("procall-node", &["procall", "procall-pool"]),
];

/// Crates under these folders may depend on any other, and only tests may depend on them.
const FREE_FOLDERS: &[&str] = &["benches", "examples", "fuzz", "tests", "xtask"];

/// Crates that must not even arrive through others: the first must do no I/O and know no runtime.
const FORBIDDEN: &[(&str, &[&str])] = &[("procall-proto", &["tokio", "rustix", "libc"])];

/// Checks the manifests of the checkout at `root`.
pub(crate) fn run(root: &Path, _arguments: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    Ok(complaints(&Metadata::read(root)?, root))
}

fn complaints(metadata: &Metadata, root: &Path) -> Vec<String> {
    let (free, bound): (Vec<&Package>, Vec<&Package>) =
        metadata.members().partition(|package| is_free(package, root));
    let is_member = |name: &str| metadata.members().any(|package| package.name == name);
    let mut complaints = Vec::new();
    for package in bound {
        let name = &package.name;
        let Some((_, allowed)) = ALLOWED.iter().find(|(bound, _)| bound == name) else {
            complaints.push(format!("{name} has no row in ALLOWED of xtask/src/edges.rs; add it"));
            continue;
        };
        for dependency in &package.dependencies {
            let other = &dependency.name;
            let only_tests = dependency.is_dev() && free.iter().any(|free| &free.name == other);
            if is_member(other) && !allowed.contains(&other.as_str()) && !only_tests {
                complaints.push(format!(
                    "{name} must not depend on {other}; take the dependency out of {}, \
                     or write a decision and change xtask/src/edges.rs",
                    package.manifest_path
                ));
            }
        }
        complaints.extend(forbidden(metadata, package));
    }
    complaints
}

fn is_free(package: &Package, root: &Path) -> bool {
    let manifest = Path::new(&package.manifest_path);
    manifest
        .strip_prefix(root)
        .is_ok_and(|inside| FREE_FOLDERS.iter().any(|folder| inside.starts_with(folder)))
}

fn forbidden(metadata: &Metadata, package: &Package) -> Vec<String> {
    let name = &package.name;
    let forbidden = FORBIDDEN.iter().filter(|(bound, _)| bound == name);
    let closure = metadata.closure(package);
    forbidden
        .flat_map(|(_, crates)| crates.iter())
        .filter(|other| closure.contains(*other))
        .map(|other| {
            format!("{name} is built from {other}; `cargo tree -i {other}` shows the way to cut")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Edges, sample};

    const ROOT: &str = "/checkout";

    fn check(metadata: &Metadata) -> Vec<String> {
        complaints(metadata, Path::new(ROOT))
    }

    #[test]
    fn downhill_is_accepted() {
        let metadata = sample(&[
            ("procall-proto", "crates/procall-proto", &[]),
            ("procall", "crates/procall", &[("procall-proto", None)]),
            ("procall-pool", "crates/procall-pool", &[("procall", None)]),
        ]);
        assert_eq!(check(&metadata), Vec::<String>::new());
    }

    #[test]
    fn uphill_and_sideways_are_refused_even_for_tests() {
        let metadata = sample(&[
            ("procall-proto", "crates/procall-proto", &[]),
            ("procall-transport", "crates/procall-transport", &[("procall-proto", Some("dev"))]),
            ("procall", "crates/procall", &[("procall-pool", None)]),
            ("procall-pool", "crates/procall-pool", &[]),
        ]);
        let complaints = check(&metadata);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].starts_with("procall-transport must not depend on procall-proto"));
        assert!(complaints[1].starts_with("procall must not depend on procall-pool"));
    }

    #[test]
    fn free_crates_depend_on_all_and_only_tests_on_them() {
        let testkit: Edges<'_> = &[("procall-engine", None)];
        let engine: Edges<'_> = &[("testkit", Some("dev"))];
        let metadata = sample(&[
            ("testkit", "tests/testkit", testkit),
            ("procall-engine", "crates/procall-engine", engine),
        ]);
        assert_eq!(check(&metadata), Vec::<String>::new());

        let engine: Edges<'_> = &[("testkit", None)];
        let metadata = sample(&[
            ("testkit", "tests/testkit", &[]),
            ("procall-engine", "crates/procall-engine", engine),
        ]);
        assert!(check(&metadata)[0].starts_with("procall-engine must not depend on testkit"));
    }

    #[test]
    fn a_new_crate_needs_a_row() {
        let metadata = sample(&[("procall-broker", "crates/procall-broker", &[])]);
        assert!(check(&metadata)[0].contains("no row"));
    }

    #[test]
    fn the_protocol_must_not_reach_a_runtime_through_others() {
        let tokio = |kind| {
            let proto: Edges<'_> = &[("codec", kind)];
            let metadata = sample(&[
                ("procall-proto", "crates/procall-proto", proto),
                ("codec", "tests/codec", &[("tokio", None)]),
                ("tokio", "tests/tokio", &[]),
            ]);
            forbidden(&metadata, &metadata.packages[0])
        };
        assert!(tokio(None)[0].starts_with("procall-proto is built from tokio"));
        assert!(tokio(Some("build"))[0].starts_with("procall-proto is built from tokio"));
        assert_eq!(tokio(Some("dev")), Vec::<String>::new());
    }
}
