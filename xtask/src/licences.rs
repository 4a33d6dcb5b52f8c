//! `licences`: everything we are built from is permissively licensed, pinned to one version, and there for a reason.

use std::error::Error;
use std::fs;
use std::path::Path;

use crate::metadata::{Metadata, Package};
use crate::spdx;

/// The licences that a dependency may have.
const ALLOWED: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// The page that says why each dependency is there.
const PAGE: &str = "docs/src/dependencies.md";

/// Checks the manifests and the lock file of the checkout at `root`.
pub(crate) fn run(root: &Path, _arguments: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    if !root.join("Cargo.lock").exists() {
        return Ok(vec!["Cargo.lock is missing; run `cargo check` and commit it".to_owned()]);
    }
    let metadata = Metadata::read(root)?;
    let mut complaints: Vec<String> = metadata.packages.iter().filter_map(licence).collect();
    complaints.extend(metadata.members().flat_map(loose_versions));
    let manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml"))?.parse()?;
    let dependencies = workspace_dependencies(&manifest)?;
    complaints.extend(loose_workspace_versions(dependencies));
    complaints.extend(unexplained(dependencies, &fs::read_to_string(root.join(PAGE))?));
    Ok(complaints)
}

/// The complaint about the licence of one crate.
fn licence(package: &Package) -> Option<String> {
    let Package { name, version, .. } = package;
    let Some(licence) = &package.license else {
        return Some(format!("{name} {version} states no licence; do without it"));
    };
    match spdx::satisfied(licence, |licence| ALLOWED.contains(&licence)) {
        Ok(true) => None,
        Ok(false) => Some(format!(
            "{name} {version} is under `{licence}`, which ALLOWED of xtask/src/licences.rs does not \
             accept; do without it"
        )),
        Err(reason) => Some(format!(
            "{name} {version} has the licence `{licence}`, which cannot be read: {reason}"
        )),
    }
}

/// The complaints about what a crate of the workspace asks of registries.
fn loose_versions(package: &Package) -> Vec<String> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.source.is_some() && !is_exact(&dependency.req))
        .map(|dependency| {
            format!(
                "{} asks for {} `{}`; write `{}.workspace = true` and pin it in the workspace",
                package.name, dependency.name, dependency.req, dependency.name
            )
        })
        .collect()
}

/// What `[workspace.dependencies]` holds.
fn workspace_dependencies(manifest: &toml::Table) -> Result<&toml::Table, Box<dyn Error>> {
    manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(toml::Value::as_table)
        .ok_or_else(|| "Cargo.toml has no [workspace.dependencies]".into())
}

/// Our own crates lie in a folder; all others come from a registry.
fn is_ours(dependency: &toml::Value) -> bool {
    dependency.get("path").is_some()
}

/// The complaints about versions in the workspace, used or not.
fn loose_workspace_versions(dependencies: &toml::Table) -> Vec<String> {
    let pinned = |value: &toml::Value| {
        let version = value.as_str().or_else(|| value.get("version")?.as_str());
        version.is_some_and(is_exact)
    };
    dependencies
        .iter()
        .filter(|(_, value)| !is_ours(value) && !pinned(value))
        .map(|(name, _)| {
            format!("Cargo.toml does not pin {name}; write the whole version, as in \"=1.2.3\"")
        })
        .collect()
}

/// The complaints about dependencies without a row in the page, and rows without a dependency.
fn unexplained(dependencies: &toml::Table, page: &str) -> Vec<String> {
    let rust =
        page.split("\n## ").find(|section| section.starts_with("Rust\n")).unwrap_or_default();
    let rows: Vec<&str> = rust
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(name, _)| name))
        .collect();
    let foreign: Vec<&str> = dependencies
        .iter()
        .filter(|(_, value)| !is_ours(value))
        .map(|(name, _)| name.as_str())
        .collect();
    let missing = foreign.iter().filter(|name| !rows.contains(name)).map(|name| {
        format!("{PAGE} does not say why {name} is there; add a row for it under \"Rust\"")
    });
    let stale = rows.iter().filter(|name| !foreign.contains(name)).map(|name| {
        format!("{PAGE} explains {name}, which is not in Cargo.toml; take the row out")
    });
    missing.chain(stale).collect()
}

/// Whether a requirement fits exactly one version: `=1.2.3`, perhaps with a suffix.
fn is_exact(requirement: &str) -> bool {
    requirement.strip_prefix('=').is_some_and(|version| {
        version.trim_start().splitn(3, '.').filter(|part| !part.is_empty()).count() == 3
            && !version.contains([',', '*'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::sample;

    fn licence_complaint(licence_text: Option<&str>) -> Option<String> {
        let mut metadata = sample(&[("left-pad", "crates/left-pad", &[])]);
        metadata.packages[0].license = licence_text.map(str::to_owned);
        licence(&metadata.packages[0])
    }

    #[test]
    fn permissive_licences_are_accepted() {
        assert_eq!(licence_complaint(Some("MIT OR Apache-2.0")), None);
        assert_eq!(licence_complaint(Some("Unlicense/MIT")), None);
    }

    #[test]
    fn others_are_refused_by_name() {
        let complaint = licence_complaint(Some("MPL-2.0")).expect("MPL-2.0 is not allowed");
        assert!(complaint.contains("left-pad") && complaint.contains("MPL-2.0"), "{complaint}");
        assert!(licence_complaint(None).expect("none is not allowed").contains("no licence"));
        assert!(licence_complaint(Some("MIT OR")).expect("it cannot be read").contains("read"));
    }

    #[test]
    fn only_a_whole_version_is_exact() {
        for exact in ["=1.2.3", "=1.2.3-rc.1", "= 0.1.0"] {
            assert!(is_exact(exact), "{exact}");
        }
        for loose in ["1.2.3", "^1.2.3", "=1.2", "=1", "*", "=1.2.*", "=1.2.3, <2", "=1.2."] {
            assert!(!is_exact(loose), "{loose}");
        }
    }

    #[test]
    fn loose_versions_are_refused_in_the_workspace() {
        let manifest = "[workspace.dependencies]\na = \"=1.2.3\"\nb = \"1\"\nc = { version = \"2\" }\n\
                        d = { path = \"d\", version = \"0.1.0\" }\ne = { git = \"somewhere\" }\n";
        let manifest: toml::Table = manifest.parse().expect("it parses");
        let dependencies = workspace_dependencies(&manifest).expect("the table is there");
        let complaints = loose_workspace_versions(dependencies);
        let names: Vec<&str> =
            complaints.iter().filter_map(|complaint| complaint.split(' ').nth(4)).collect();
        assert_eq!(names, ["b;", "c;", "e;"]);
    }

    #[test]
    fn every_dependency_is_explained_and_nothing_else() {
        let manifest = "a = \"=1.2.3\"\nb = \"=1.0.0\"\nours = { path = \"ours\" }\n";
        let dependencies: toml::Table = manifest.parse().expect("it parses");
        let page = "# D\n\n## Rust\n\n| `a` | x |\n| `gone` | y |\n\n## Python\n\n| `b` | z |\n";
        let complaints = unexplained(&dependencies, page);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].contains("why b is there"), "{complaints:?}");
        assert!(complaints[1].contains("explains gone"), "{complaints:?}");
    }

    #[test]
    fn loose_versions_are_refused_in_a_crate() {
        let mut metadata = sample(&[("a", "crates/a", &[("serde", None), ("b", None)])]);
        metadata.packages[0].dependencies[0].source = Some("registry".to_owned());
        let complaints = loose_versions(&metadata.packages[0]);
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("a asks for serde"), "{complaints:?}");
    }
}
