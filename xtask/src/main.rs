//! The repository's own checks and generators. `cargo xtask` lists them.

mod duplicates;
mod edges;
mod failures;
mod files;
mod r#gen;
mod leftovers;
mod licences;
mod metadata;
mod paths;
mod registry;
mod sizes;
mod spdx;
mod text;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

/// One verb of `cargo xtask`.
struct Verb {
    name: &'static str,
    about: &'static str,
    run: Run,
}

/// Takes the root of the checkout and the arguments after the verb.
/// What it finds is a list of complaints, each of which names its own fix.
type Run = fn(&Path, &[String]) -> Result<Vec<String>, Box<dyn Error>>;

const VERBS: &[Verb] = &[
    Verb {
        name: "gen",
        about: "write the files generated from spec/errors.toml; with --check, only compare",
        run: r#gen::run,
    },
    Verb { name: "edges", about: "crates depend on each other only downhill", run: edges::run },
    Verb {
        name: "licences",
        about: "dependencies are permissively licensed, pinned and explained",
        run: licences::run,
    },
    Verb {
        name: "sizes",
        about: "source files stay small; long ones are explained in xtask/sizes.toml",
        run: sizes::run,
    },
    Verb {
        name: "paths",
        about: "ARCHITECTURE.md names what exists, and no file names one machine",
        run: paths::run,
    },
    Verb {
        name: "failures",
        about: "the tests that docs/src/failures.md names are there",
        run: failures::run,
    },
    Verb {
        name: "leftovers",
        about: "no unfinished code and no test that is not run",
        run: leftovers::run,
    },
    Verb {
        name: "duplicates",
        about: "the same dozen lines do not stand twice; exceptions in xtask/duplicates.toml",
        run: duplicates::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map(String::as_str).unwrap_or_default();
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        eprintln!("usage: cargo xtask VERB");
        for verb in VERBS {
            eprintln!("  {:<12}{}", verb.name, verb.about);
        }
        return ExitCode::from(2);
    };
    match (verb.run)(root(), &arguments[1..]) {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            for complaint in &complaints {
                eprintln!("{name}: {complaint}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The checkout: the directory above this crate.
fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("the crate xtask lies in the checkout")
}
