//! What to run: a command, or a file and what runs it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use procall::{Error, ErrorCode};

use super::search::{is_executable, on_path, variable};
use super::{Launch, interpreter};

const UNBUFFERED: &str = "PYTHONUNBUFFERED";

/// What the user asked to run.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// A file, to be run by what fits its extension.
    File {
        file: PathBuf,
        interpreter: Option<OsString>,
        /// Runs `.py` files for which nothing else speaks.
        python: Option<OsString>,
    },
    /// A command and its first arguments.
    Argv(Vec<OsString>),
}

impl Wanted {
    /// What to call the pool when nobody says.
    pub(crate) fn name(&self) -> String {
        let path = match self {
            Self::File { file, .. } => file.clone(),
            Self::Argv(argv) => argv.first().map(PathBuf::from).unwrap_or_default(),
        };
        path.file_stem()
            .map_or_else(|| "pool".to_owned(), |stem| stem.to_string_lossy().into_owned())
    }
}

/// Finds everything that is needed, so that most mistakes are told before anything runs.
pub(crate) fn launch(
    wanted: &Wanted,
    args: &[OsString],
    env: &[(OsString, OsString)],
    cwd: Option<&Path>,
) -> Result<Launch, Error> {
    if let Some(cwd) = cwd.filter(|cwd| !cwd.is_dir()) {
        return Err(refused(format!("the working directory {} does not exist", cwd.display())));
    }
    let (program, first) = match wanted {
        Wanted::Argv(argv) => {
            let (program, rest) = argv.split_first().ok_or_else(|| {
                refused("the command is empty: give at least a program".to_owned())
            })?;
            // As exec has it: from the folder that the worker works in, where its other arguments are meant too.
            (find(program, env, cwd, Meant::Program)?, rest.to_vec())
        }
        Wanted::File { file, interpreter, python } => {
            let script = existing(file, None, Meant::File)?;
            match interpreter {
                Some(interpreter) => interpreter::named(interpreter, script, env)?,
                None => interpreter::fitting(script, python.as_deref(), env)?,
            }
        }
    };
    let args = first.into_iter().chain(args.iter().cloned()).collect();
    let mut env = env.to_vec();
    // What a Python worker prints is seen while it matters, however it was started.
    if variable(UNBUFFERED, &env).is_none() {
        env.push((UNBUFFERED.into(), "1".into()));
    }
    Ok(Launch { program, args, env, cwd: cwd.map(Path::to_owned), transport: None, choice: None })
}

pub(super) fn refused(message: String) -> Error {
    Error::new(ErrorCode::SpawnFailed, message)
}

/// What a path was given as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meant {
    /// The worker's file.
    File,
    /// The first word of a command.
    Program,
    /// What runs the worker's file.
    Interpreter,
}

impl Meant {
    fn fix(self) -> &'static str {
        match self {
            Self::File => {
                "give the path of the worker's file, or start the pool from a command instead"
            }
            Self::Program => {
                "give the path of a program, as seen from the working directory of the worker, or its name on PATH"
            }
            Self::Interpreter => {
                "give the path of the interpreter, its name on PATH, or the folder of a virtual environment"
            }
        }
    }
}

/// The file's full path, seen from `folder` or from here.
fn existing(file: &Path, folder: Option<&Path>, meant: Meant) -> Result<PathBuf, Error> {
    let seen = folder.map_or_else(|| file.to_owned(), |folder| folder.join(file));
    let full = std::path::absolute(seen).map_err(|error| {
        refused(format!("\"{}\" is no path", file.display())).with_source(error)
    })?;
    if full.is_file() {
        return Ok(full);
    }
    let what = if full.is_dir() { "is a directory" } else { "does not exist" };
    let which = if matches!(meant, Meant::Interpreter) { "the interpreter " } else { "" };
    Err(refused(format!("{which}{} {what}; {}", full.display(), meant.fix())))
}

/// A program: by its name on PATH, or by its path as seen from `folder` or from here.
pub(super) fn find(
    program: &OsStr,
    env: &[(OsString, OsString)],
    folder: Option<&Path>,
    meant: Meant,
) -> Result<PathBuf, Error> {
    if program.as_encoded_bytes().contains(&b'/') {
        return executable(existing(Path::new(program), folder, meant)?);
    }
    on_path(program, env).ok_or_else(|| {
        refused(format!(
            "there is no program \"{}\" on PATH; install it, or give its full path",
            program.to_string_lossy()
        ))
    })
}

pub(super) fn executable(file: PathBuf) -> Result<PathBuf, Error> {
    if is_executable(&file) {
        return Ok(file);
    }
    Err(refused(format!(
        "{0} is not executable; run `chmod +x {0}`, or name the interpreter that runs it",
        file.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(file: &Path, env: &[(&str, &Path)]) -> Result<Launch, Error> {
        let env: Vec<_> = env.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let wanted = Wanted::File { file: file.to_owned(), interpreter: None, python: None };
        launch(&wanted, &[], &env, None)
    }

    fn program(folder: &Path, name: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "#!/bin/sh\necho v20.1.0\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    #[test]
    fn a_missing_interpreter_is_told_before_anything_runs() {
        let folder = tempfile::tempdir().unwrap();
        for (name, needs) in [
            ("a.py", "python3"),
            ("a.js", "node"),
            ("a.mjs", "node"),
            ("a.cjs", "node"),
            ("a.ts", "node"),
        ] {
            let script = folder.path().join(name);
            std::fs::write(&script, "").unwrap();
            let empty = [("PATH", folder.path()), ("VIRTUAL_ENV", Path::new(""))];
            let error = run(&script, &empty).unwrap_err();
            assert_eq!(error.code(), ErrorCode::SpawnFailed);
            assert!(error.message().contains(needs), "{name}: {error}");
        }
    }

    #[test]
    fn other_files_run_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let worker = program(folder.path(), "worker");
        assert_eq!(run(&worker, &[]).unwrap().program, worker);

        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let error = run(&plain, &[]).unwrap_err();
        assert!(error.message().contains("chmod +x"), "{error}");
        let error = run(&folder.path().join("absent"), &[]).unwrap_err();
        assert!(error.message().contains("absent does not exist; give the path of"), "{error}");
    }

    #[test]
    fn a_command_is_seen_from_where_the_worker_works_and_a_file_from_here() {
        let folder = tempfile::tempdir().unwrap();
        let worker = program(folder.path(), "bin/worker");
        let from = |folder: &Path, program: &str| {
            launch(&Wanted::Argv(vec![program.into()]), &[], &[], Some(folder))
        };
        assert_eq!(from(folder.path(), "bin/worker").unwrap().program, worker);
        assert!(from(folder.path(), "./bin/worker").is_ok());
        assert_eq!(from(Path::new("/"), worker.to_str().unwrap()).unwrap().program, worker);
        let error = from(&folder.path().join("bin"), "bin/worker").unwrap_err();
        assert!(error.message().contains("bin/bin/worker does not exist"), "{error}");
        assert!(error.message().contains("working directory of the worker"), "{error}");

        let file = Wanted::File { file: "bin/worker".into(), interpreter: None, python: None };
        let error = launch(&file, &[], &[], Some(folder.path())).unwrap_err();
        assert!(!error.message().contains(folder.path().to_str().unwrap()), "{error}");
    }
}
