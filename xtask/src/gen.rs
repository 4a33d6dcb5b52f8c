//! `gen`: writes every file that is generated from the error registry, or checks that they are fresh.

mod markdown;
mod python;
mod rust;
mod typescript;

use std::error::Error;
use std::fs;
use std::path::Path;

use crate::registry::{self, Registry};

/// How to make the generated files again; every one of them says so in its first line.
const COMMAND: &str = "cargo xtask gen";

/// One generated file: its path from the root of the checkout, and what writes it.
pub(crate) struct Output {
    pub(crate) path: &'static str,
    render: fn(&Registry) -> String,
}

/// All generated files.
pub(crate) const OUTPUTS: &[Output] = &[
    Output { path: "crates/procall-proto/src/code.rs", render: rust::render },
    Output { path: "bindings/python/procall/_codes.py", render: python::render },
    Output { path: "bindings/node/src/codes.ts", render: typescript::render },
    Output { path: "docs/src/errors.md", render: markdown::render },
];

/// Writes the generated files; with `--check`, complains about those that are stale and writes nothing.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: cargo xtask gen [--check]".into()),
    };
    let registry = Registry::read(root)?;
    let mut complaints = Vec::new();
    for output in OUTPUTS {
        let path = root.join(output.path);
        let fresh = (output.render)(&registry);
        let present = fs::read_to_string(&path).unwrap_or_default();
        if present == fresh {
            continue;
        }
        if check {
            complaints.push(stale(output.path));
        } else {
            write(&path, &fresh).map_err(|e| format!("{}: {e}", output.path))?;
            println!("wrote {}", output.path);
        }
    }
    Ok(complaints)
}

/// The first line of a generated file, without its comment sign.
fn notice() -> String {
    format!("Generated from {} by `{COMMAND}`; do not edit.", registry::PATH)
}

fn stale(path: &str) -> String {
    format!("{path} is not what {} says; run `{COMMAND}` and commit what it writes", registry::PATH)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_output_says_where_it_comes_from_and_holds_every_code() {
        let registry = Registry::read(crate::root()).expect("the registry reads");
        for output in OUTPUTS {
            let text = (output.render)(&registry);
            let first = text.lines().next().unwrap_or_default();
            assert!(first.contains(&notice()), "{}: {first}", output.path);
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{}", output.path);
            for code in &registry.codes {
                assert!(text.contains(&code.name), "{} in {}", code.name, output.path);
            }
        }
    }

    #[test]
    fn check_names_the_fix_and_writes_nothing() {
        let folder = std::env::temp_dir().join(format!("procall-xtask-gen-{}", std::process::id()));
        fs::create_dir_all(folder.join("spec")).expect("a fresh folder");
        fs::copy(crate::root().join(registry::PATH), folder.join(registry::PATH)).expect("a copy");

        let check = ["--check".to_owned()];
        let complaints = run(&folder, &check).expect("the registry reads");
        assert_eq!(complaints.len(), OUTPUTS.len());
        assert!(complaints[0].contains("run `cargo xtask gen`"), "{}", complaints[0]);
        assert!(!folder.join("docs").exists());

        assert!(run(&folder, &[]).expect("it writes").is_empty());
        assert!(run(&folder, &check).expect("it compares").is_empty());
        fs::remove_dir_all(&folder).expect("the folder goes");
    }
}
