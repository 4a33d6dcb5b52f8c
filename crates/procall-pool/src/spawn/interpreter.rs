//! What runs a file, by its extension and its surroundings.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use procall::Error;

use super::program::{Meant, executable, find, refused};
use super::search::{is_executable, on_path, variable};

type Environment = [(OsString, OsString)];
type Found = (PathBuf, Vec<OsString>);

/// Node runs TypeScript with a flag from the first of these versions on, and without one from the others on, each in its own line.
const STRIPS_TYPES: Version = (22, 6);
const STRIPS_BY_ITSELF: [Version; 2] = [(22, 18), (23, 6)];

type Version = (u32, u32);

/// The program and first arguments for a file with the interpreter that was named.
pub(super) fn named(
    interpreter: &OsStr,
    script: PathBuf,
    env: &Environment,
) -> Result<Found, Error> {
    let folder = Path::new(interpreter);
    let is_path = interpreter.as_bytes().contains(&b'/');
    if folder.is_dir() && (is_path || on_path(interpreter, env).is_none()) {
        let python = std::path::absolute(folder).unwrap_or_default().join("bin").join("python");
        if !is_executable(&python) {
            return Err(refused(format!(
                "the interpreter {} is a folder without bin/python; give a program, or the folder of a virtual environment",
                folder.display()
            )));
        }
        return Ok((python, vec![script.into()]));
    }
    let program = find(interpreter, env, None, Meant::Interpreter)?;
    let is_node = program.file_name().is_some_and(|name| name == "node" || name == "nodejs");
    if is_node && is_typescript(&script) {
        return match typescript_flags(&script, &program) {
            Some(flags) => Ok((program, with(flags, script))),
            None => Err(no_typescript(&script)),
        };
    }
    Ok((program, vec![script.into()]))
}

/// The program and first arguments for a file of which nothing is said: by its extension.
pub(super) fn fitting(
    script: PathBuf,
    default_python: Option<&OsStr>,
    env: &Environment,
) -> Result<Found, Error> {
    match extension(&script).as_deref() {
        Some("py") => Ok((python(&script, default_python, env)?, vec![script.into()])),
        Some("js" | "mjs" | "cjs") => Ok((node(env)?, vec![script.into()])),
        _ if is_typescript(&script) => typescript(script, env),
        _ => Ok((executable(script)?, Vec::new())),
    }
}

fn extension(script: &Path) -> Option<String> {
    script.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase())
}

fn is_typescript(script: &Path) -> bool {
    matches!(extension(script).as_deref(), Some("ts" | "mts" | "cts"))
}

/// The active virtual environment, else the one of the script's own project, else `default`, else Python on PATH.
fn python(script: &Path, default: Option<&OsStr>, env: &Environment) -> Result<PathBuf, Error> {
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
    let mut own = script.ancestors().skip(1).map(|folder| folder.join(".venv"));
    if let Some(venv) = own.find(|venv| is_environment(venv, script)) {
        return Ok(venv.join("bin").join("python"));
    }
    if let Some(default) = default {
        return find(default, env, None, Meant::Interpreter);
    }
    ["python3", "python"].iter().find_map(|name| on_path(OsStr::new(name), env)).ok_or_else(|| {
        refused("a .py worker needs python3, which is not on PATH; install Python, activate its environment, or name an interpreter".to_owned())
    })
}

/// Whether this is a virtual environment of ours, or of whoever wrote the script: in a folder such as `/tmp` anybody may lay one out for others.
fn is_environment(venv: &Path, script: &Path) -> bool {
    let owner = |path: &Path| std::fs::metadata(path).ok().map(|found| found.uid());
    let Some(uid) = owner(venv) else { return false };
    let trusted = uid == 0
        || uid == rustix::process::geteuid().as_raw()
        || owner(script).is_some_and(|writer| writer == uid);
    trusted && is_executable(&venv.join("bin").join("python"))
}

fn node(env: &Environment) -> Result<PathBuf, Error> {
    on_path(OsStr::new("node"), env).ok_or_else(|| {
        refused("a JavaScript worker needs node, which is not on PATH; install Node.js, or name an interpreter".to_owned())
    })
}

/// Node with the tsx of the script's own project, else tsx on PATH, else a Node that strips types by itself.
fn typescript(script: PathBuf, env: &Environment) -> Result<Found, Error> {
    if tsx_loader(&script).is_none()
        && let Some(tsx) = on_path(OsStr::new("tsx"), env)
    {
        return Ok((tsx, vec![script.into()]));
    }
    let node = node(env)?;
    match typescript_flags(&script, &node) {
        Some(flags) => Ok((node, with(flags, script))),
        None => Err(no_typescript(&script)),
    }
}

fn no_typescript(script: &Path) -> Error {
    refused(format!(
        "{} needs something that runs TypeScript: `npm install tsx` in its project, or use Node 22.6 or newer",
        script.display()
    ))
}

fn with(mut flags: Vec<OsString>, script: PathBuf) -> Vec<OsString> {
    flags.push(script.into());
    flags
}

/// What Node has to be told before a TypeScript file; `None` when it cannot run it.
fn typescript_flags(script: &Path, node: &Path) -> Option<Vec<OsString>> {
    if let Some(loader) = tsx_loader(script) {
        return Some(vec!["--import".into(), file_url(&loader)]);
    }
    let version = version_of(node)?;
    let by_itself = STRIPS_BY_ITSELF.iter().any(|first| version.0 == first.0 && version >= *first)
        || version.0 > STRIPS_BY_ITSELF[1].0;
    if by_itself {
        return Some(Vec::new());
    }
    (version >= STRIPS_TYPES).then(|| vec!["--experimental-strip-types".into()])
}

/// What makes tsx part of Node, as far up from the script, or from where a link to it leads, as Node itself would look.
fn tsx_loader(script: &Path) -> Option<PathBuf> {
    let real = std::fs::canonicalize(script).ok();
    let places = [Some(script), real.as_deref()];
    let mut folders = places.into_iter().flatten().flat_map(|place| place.ancestors().skip(1));
    folders.find_map(|folder| {
        let loader = folder.join("node_modules").join("tsx").join("dist").join("loader.mjs");
        loader.is_file().then_some(loader)
    })
}

fn file_url(file: &Path) -> OsString {
    let mut url = String::from("file://");
    for &byte in file.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b'@' => {
                url.push(byte.into());
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url.into()
}

fn version_of(node: &Path) -> Option<Version> {
    let told =
        Command::new(node).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    version(&String::from_utf8_lossy(&told.ok()?.stdout))
}

fn version(text: &str) -> Option<Version> {
    let mut parts = text.trim().trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder with files and programs in it, and nothing of this machine's on PATH.
    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn file(&self, name: &str) -> PathBuf {
            let file = self.path(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "").unwrap();
            file
        }

        /// A program that tells this version.
        fn program(&self, name: &str, version: &str) -> PathBuf {
            let file = self.file(name);
            std::fs::write(&file, format!("#!/bin/sh\necho {version}\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
            file
        }

        fn env(&self, venv: &str) -> Vec<(OsString, OsString)> {
            let venv = if venv.is_empty() { PathBuf::new() } else { self.path(venv) };
            let path = self.path("bin");
            vec![("PATH".into(), path.into()), ("VIRTUAL_ENV".into(), venv.into())]
        }

        fn fitting(&self, script: &str, venv: &str) -> Result<Found, Error> {
            fitting(self.path(script), None, &self.env(venv))
        }
    }

    fn args(found: &Found) -> Vec<String> {
        found.1.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn python_comes_from_where_it_is_most_wanted() {
        let place = Place::new();
        let script = place.file("project/src/calc.py");
        let missing = place.fitting("project/src/calc.py", "").unwrap_err();
        assert!(missing.message().contains("needs python3"), "{missing}");

        let on_path = place.program("bin/python", "3");
        assert_eq!(place.fitting("project/src/calc.py", "").unwrap().0, on_path);
        let on_path = place.program("bin/python3", "3");
        let found = place.fitting("project/src/calc.py", "").unwrap();
        assert_eq!(found, (on_path, vec![script.clone().into()]));

        let hosts = place.program("host/python", "3");
        let found = fitting(script.clone(), Some(hosts.as_os_str()), &place.env("")).unwrap();
        assert_eq!(found.0, hosts);

        let project = place.program("project/.venv/bin/python", "3");
        assert_eq!(place.fitting("project/src/calc.py", "").unwrap().0, project);
        let found = fitting(script.clone(), Some(hosts.as_os_str()), &place.env("")).unwrap();
        assert_eq!(found.0, project);
        let nearer = place.program("project/src/.venv/bin/python", "3");
        assert_eq!(place.fitting("project/src/calc.py", "").unwrap().0, nearer);

        let active = place.program("active/bin/python", "3");
        assert_eq!(place.fitting("project/src/calc.py", "active").unwrap().0, active);
        let gone = place.fitting("project/src/calc.py", "gone").unwrap_err();
        assert!(gone.message().contains("has no bin/python"), "{gone}");
    }

    #[test]
    fn an_interpreter_is_a_program_a_path_or_a_virtual_environment() {
        let place = Place::new();
        let script = place.file("calc.py");
        let env = place.env("");
        let named = |name: &str| named(OsStr::new(name), script.clone(), &env);
        let program = place.program("bin/pypy", "3");
        assert_eq!(named("pypy").unwrap(), (program.clone(), vec![script.clone().into()]));
        assert_eq!(named(program.to_str().unwrap()).unwrap().0, program);
        let python = place.program("venv/bin/python", "3");
        assert_eq!(named(place.path("venv").to_str().unwrap()).unwrap().0, python);

        let error = named(place.path("bin").to_str().unwrap()).unwrap_err();
        assert!(error.message().contains("a folder without bin/python"), "{error}");
        let error = named("nothing").unwrap_err();
        assert!(error.message().contains("no program \"nothing\" on PATH"), "{error}");
        let error = named(place.path("gone/python").to_str().unwrap()).unwrap_err();
        assert!(error.message().starts_with("the interpreter /"), "{error}");
        assert!(error.message().contains("does not exist; give the path of the inter"), "{error}");
    }

    #[test]
    fn typescript_takes_what_there_is() {
        let place = Place::new();
        let script = place.file("project/src/a.ts");
        let node = place.program("bin/node", "v20.1.0");
        let error = place.fitting("project/src/a.ts", "").unwrap_err();
        assert!(error.message().contains("npm install tsx"), "Node 20 is too old: {error}");

        let tsx = place.program("bin/tsx", "4");
        let found = place.fitting("project/src/a.ts", "").unwrap();
        assert_eq!(found, (tsx, vec![script.clone().into()]));

        place.file("project/node_modules/tsx/dist/loader.mjs");
        let found = place.fitting("project/src/a.ts", "").unwrap();
        assert_eq!(found.0, node);
        assert_eq!(args(&found)[0], "--import");
        assert!(args(&found)[1].ends_with("/project/node_modules/tsx/dist/loader.mjs"));

        // As Node does, a link is followed to where its packages are.
        std::os::unix::fs::symlink(&script, place.path("link.ts")).unwrap();
        assert_eq!(args(&place.fitting("link.ts", "").unwrap())[0], "--import");
    }

    #[test]
    fn node_strips_types_as_far_as_its_version_does() {
        let flag = "--experimental-strip-types";
        for (version, flags) in [
            ("v20.19.0", None),
            ("v22.5.9", None),
            ("v22.6.0", Some(vec![flag])),
            ("v22.17.1", Some(vec![flag])),
            ("v22.18.0", Some(vec![])),
            ("v23.5.0", Some(vec![flag])),
            ("v23.6.0", Some(vec![])),
            ("v24.0.0", Some(vec![])),
            ("nonsense", None),
        ] {
            let place = Place::new();
            let node = place.program("bin/node", version);
            let script = place.file("a.mts").to_string_lossy().into_owned();
            let named = named(node.as_os_str(), script.clone().into(), &place.env(""));
            for found in [place.fitting("a.mts", ""), named] {
                match &flags {
                    Some(flags) => {
                        assert_eq!(args(&found.unwrap()), [&flags[..], &[&*script]].concat());
                    }
                    None => assert!(found.unwrap_err().message().contains("npm install tsx")),
                }
            }
        }
    }

    #[test]
    fn paths_become_addresses_that_node_reads_back() {
        assert_eq!(file_url(Path::new("/a b/#1/ü%.mjs")), "file:///a%20b/%231/%C3%BC%25.mjs");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("v22.11.0\n"), Some((22, 11)));
        assert!(version("v22.11.0") >= Some((22, 6)));
        assert_eq!(version("nonsense"), None);
    }
}
