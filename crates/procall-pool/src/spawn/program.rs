//! What to run for a given file: its interpreter by extension, else the file itself.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use procall::{Error, ErrorCode};

use super::Launch;
use super::search::{is_executable, on_path, variable};

/// What the user asked to run.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// A file, to be run by what fits its extension.
    File { file: PathBuf, interpreter: Option<OsString> },
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
            (find(program, env)?, rest.to_vec())
        }
        Wanted::File { file, interpreter } => {
            let script = existing(file)?;
            match interpreter {
                Some(interpreter) => (find(interpreter, env)?, vec![script.into()]),
                None => interpreted(script, env)?,
            }
        }
    };
    let args = first.into_iter().chain(args.iter().cloned()).collect();
    Ok(Launch { program, args, env: env.to_vec(), cwd: cwd.map(Path::to_owned), transport: None })
}

fn refused(message: String) -> Error {
    Error::new(ErrorCode::SpawnFailed, message)
}

/// The file's full path, so that another working directory of the worker does not change what is meant.
fn existing(file: &Path) -> Result<PathBuf, Error> {
    let full = std::path::absolute(file).map_err(|error| {
        refused(format!("\"{}\" is no path", file.display())).with_source(error)
    })?;
    if full.is_file() {
        return Ok(full);
    }
    let what = if full.is_dir() { "is a directory" } else { "does not exist" };
    Err(refused(format!(
        "{} {what}; give the path of the worker's file, or use Pool::command for a command",
        full.display()
    )))
}

fn find(program: &OsStr, env: &[(OsString, OsString)]) -> Result<PathBuf, Error> {
    if program.as_encoded_bytes().contains(&b'/') {
        return executable(existing(Path::new(program))?);
    }
    on_path(program, env).ok_or_else(|| {
        refused(format!(
            "there is no program \"{}\" on PATH; install it, or give its full path",
            program.to_string_lossy()
        ))
    })
}

fn executable(file: PathBuf) -> Result<PathBuf, Error> {
    if is_executable(&file) {
        return Ok(file);
    }
    Err(refused(format!(
        "{0} is not executable; run `chmod +x {0}`, or name its interpreter with .interpreter(..)",
        file.display()
    )))
}

fn interpreted(
    script: PathBuf,
    env: &[(OsString, OsString)],
) -> Result<(PathBuf, Vec<OsString>), Error> {
    let extension =
        script.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        // Unbuffered, so that what a worker prints is seen while it matters.
        Some("py") => Ok((python(env)?, vec!["-u".into(), script.into()])),
        Some("js" | "mjs" | "cjs") => Ok((node(env)?, vec![script.into()])),
        Some("ts" | "mts") => typescript(script, env),
        _ => Ok((executable(script)?, Vec::new())),
    }
}

fn python(env: &[(OsString, OsString)]) -> Result<PathBuf, Error> {
    if let Some(venv) = variable("VIRTUAL_ENV", env) {
        let python = Path::new(&venv).join("bin").join("python");
        if is_executable(&python) {
            return Ok(python);
        }
        let message = format!(
            "VIRTUAL_ENV names {}, which has no bin/python; unset it or make the environment anew",
            venv.display()
        );
        return Err(refused(message));
    }
    on_path(OsStr::new("python3"), env)
        .ok_or_else(|| refused("a .py worker needs python3, which is not on PATH; install Python or activate its environment".to_owned()))
}

fn node(env: &[(OsString, OsString)]) -> Result<PathBuf, Error> {
    on_path(OsStr::new("node"), env).ok_or_else(|| {
        refused("a JavaScript worker needs node, which is not on PATH; install Node.js".to_owned())
    })
}

/// tsx of the script's own project, else tsx on PATH, else a Node that strips types by itself.
fn typescript(
    script: PathBuf,
    env: &[(OsString, OsString)],
) -> Result<(PathBuf, Vec<OsString>), Error> {
    let loader = script
        .ancestors()
        .map(|folder| folder.join("node_modules").join("tsx").join("dist").join("loader.mjs"))
        .find(|loader| loader.is_file());
    if let Some(loader) = loader {
        let mut import = OsString::from("file://");
        import.push(loader);
        return Ok((node(env)?, vec!["--import".into(), import, script.into()]));
    }
    if let Some(tsx) = on_path(OsStr::new("tsx"), env) {
        return Ok((tsx, vec![script.into()]));
    }
    let node = node(env)?;
    if strips_types(&node) {
        return Ok((node, vec!["--experimental-strip-types".into(), script.into()]));
    }
    Err(refused(format!(
        "{} needs something that runs TypeScript: `npm install tsx` in its project, or use Node 22.6 or newer",
        script.display()
    )))
}

fn strips_types(node: &Path) -> bool {
    let told =
        Command::new(node).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    told.ok()
        .and_then(|output| version(&String::from_utf8_lossy(&output.stdout)))
        .is_some_and(|version| version >= (22, 6))
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(file: &Path, env: &[(&str, &Path)]) -> Result<Launch, Error> {
        let env: Vec<_> = env.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        launch(&Wanted::File { file: file.to_owned(), interpreter: None }, &[], &env, None)
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
    fn python_comes_from_the_active_environment() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("calc.py");
        std::fs::write(&script, "").unwrap();
        let python = program(folder.path(), "venv/bin/python");
        let launch = run(&script, &[("VIRTUAL_ENV", &folder.path().join("venv"))]).unwrap();
        assert_eq!(launch.program, python);
        assert_eq!(launch.args, [OsStr::new("-u"), script.as_os_str()]);

        let error = run(&script, &[("VIRTUAL_ENV", Path::new("/nonexistent"))]).unwrap_err();
        assert!(error.message().contains("has no bin/python"), "{error}");
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
    fn typescript_takes_what_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("src").join("a.ts");
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(&script, "").unwrap();
        let bin = folder.path().join("bin");
        let node = program(&bin, "node");
        let error = run(&script, &[("PATH", &bin)]).unwrap_err();
        assert!(error.message().contains("npm install tsx"), "Node 20 is too old: {error}");

        let tsx = program(&bin, "tsx");
        assert_eq!(run(&script, &[("PATH", &bin)]).unwrap().program, tsx);

        program(folder.path(), "node_modules/tsx/dist/loader.mjs");
        let launch = run(&script, &[("PATH", &bin)]).unwrap();
        assert_eq!(launch.program, node);
        assert_eq!(launch.args[0], "--import");
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
        assert!(error.message().contains("does not exist"), "{error}");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("v22.11.0\n"), Some((22, 11)));
        assert!(version("v22.11.0") >= Some((22, 6)));
        assert_eq!(version("nonsense"), None);
    }
}
