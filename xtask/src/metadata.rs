//! The part of `cargo metadata` that the checks look at.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// The workspace and everything it is built from, for every platform.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

/// One crate.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) manifest_path: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What a manifest asks for.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) req: String,
    /// `None` for a normal dependency, else "dev" or "build".
    pub(crate) kind: Option<String>,
    /// `None` for a path.
    pub(crate) source: Option<String>,
}

impl Dependency {
    /// Whether only tests, examples and benchmarks use it.
    pub(crate) fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some(DEV)
    }
}

const DEV: &str = "dev";

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Debug, Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Debug, Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

impl Metadata {
    /// Asks cargo. Fails when `Cargo.lock` is missing or does not fit the manifests.
    pub(crate) fn read(root: &Path) -> Result<Self, Box<dyn Error>> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(root)
            .output()
            .map_err(|e| format!("cannot run cargo: {e}"))?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            return Err(format!("cargo metadata --locked fails: {}", reason.trim()).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The crates of this workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The names of all crates that `package` is built from, itself left out; tests do not count.
    pub(crate) fn closure(&self, package: &Package) -> BTreeSet<&str> {
        let names: BTreeMap<&str, &str> =
            self.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
        let nodes: BTreeMap<&str, &Node> =
            self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut seen = BTreeSet::from([package.id.as_str()]);
        let mut open = vec![package.id.as_str()];
        let mut closure = BTreeSet::new();
        while let Some(node) = open.pop().and_then(|id| nodes.get(id)) {
            for dependency in &node.deps {
                let built = dependency.dep_kinds.iter().any(|k| k.kind.as_deref() != Some(DEV));
                if built && seen.insert(&dependency.pkg) {
                    open.push(&dependency.pkg);
                    closure.extend(names.get(dependency.pkg.as_str()));
                }
            }
        }
        closure
    }
}

/// For tests: the dependencies of a crate, each with its kind.
#[cfg(test)]
pub(crate) type Edges<'a> = &'a [(&'a str, Option<&'a str>)];

/// For tests: the metadata of a workspace of these crates, each with its name, its folder and its dependencies.
#[cfg(test)]
pub(crate) fn sample(crates: &[(&str, &str, Edges<'_>)]) -> Metadata {
    use serde_json::json;

    let packages: Vec<_> = crates
        .iter()
        .map(|(name, folder, dependencies)| {
            let dependencies: Vec<_> = dependencies
                .iter()
                .map(|(name, kind)| json!({"name": name, "req": "*", "kind": kind, "source": null}))
                .collect();
            json!({
                "id": name, "name": name, "version": "0.1.0", "license": "MIT",
                "manifest_path": format!("/checkout/{folder}/Cargo.toml"), "dependencies": dependencies,
            })
        })
        .collect();
    let nodes: Vec<_> = crates
        .iter()
        .map(|(name, _, dependencies)| {
            let deps: Vec<_> = dependencies
                .iter()
                .map(|(name, kind)| json!({"pkg": name, "dep_kinds": [{"kind": kind}]}))
                .collect();
            json!({"id": name, "deps": deps})
        })
        .collect();
    let members: Vec<_> = crates.iter().map(|(name, _, _)| name).collect();
    let document =
        json!({"packages": packages, "workspace_members": members, "resolve": {"nodes": nodes}});
    serde_json::from_value(document).expect("the sample has the form of cargo metadata")
}
