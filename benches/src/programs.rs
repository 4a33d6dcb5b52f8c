//! How each program is started, and whether it can be.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use procall_bench_load::Task;

use crate::cells::Program;

/// The folder of the scripts.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The interpreter of an environment of this checkout, or the one that is installed.
pub(crate) fn python(environment: &str) -> PathBuf {
    let own = root().join(environment).join("bin/python");
    if own.exists() { own } else { "python3".into() }
}

/// Where the programs of the peers' own workspace are, beside this one.
fn built(name: &str) -> std::io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(format!("procall-peer-{name}")))
}

/// The program and its arguments for a task.
pub(crate) fn command_line(program: Program, task: &Task) -> std::io::Result<Vec<OsString>> {
    let mut line: Vec<OsString> = match program {
        Program::Own(role) => vec![std::env::current_exe()?.into(), role.into()],
        Program::Python(script) => vec![python(".venv").into(), scripts().join(script).into()],
        Program::Node(script) => vec!["node".into(), scripts().join(script).into()],
        Program::Peer(name) => vec![built(name)?.into(), task.role.as_str().into()],
        Program::PeerPython(script, _) => vec![
            python(".venv-bench").into(),
            scripts().join(script).into(),
            task.role.as_str().into(),
        ],
        Program::PeerNode(script, _) => {
            vec!["node".into(), scripts().join(script).into(), task.role.as_str().into()]
        }
    };
    line.push(task.path.as_str().into());
    line.push(task.window.as_millis().to_string().into());
    line.push(task.workload.to_string().into());
    Ok(line)
}

/// Whether a service says `ready`; one of ours in Python or Node is ready when its socket is.
pub(crate) fn says_ready(program: Program) -> bool {
    match program {
        Program::Python(script) | Program::Node(script) => script.contains("bare"),
        _ => true,
    }
}

/// Looks once at each thing that has to be installed.
#[derive(Debug, Default)]
pub(crate) struct Installed(HashMap<Program, Option<String>>);

impl Installed {
    /// Why a program cannot run, if so.
    pub(crate) fn missing(&mut self, program: Program) -> Option<String> {
        self.0.entry(program).or_insert_with(|| look(program)).clone()
    }
}

fn look(program: Program) -> Option<String> {
    match program {
        Program::Own(_) => None,
        Program::Python(_) => said(
            Command::new(python(".venv")).args(["-c", "import procall"]),
            "run `make RELEASE=1 build-python`",
        ),
        Program::Node(_) if !root().join("bindings/node/dist/index.mjs").exists() => {
            Some("not installed: run `make RELEASE=1 build-node`".to_owned())
        }
        Program::Node(_) | Program::PeerNode(_, "") => {
            said(Command::new("node").args(["-e", "0"]), "install Node")
        }
        Program::Peer("nats") if which("nats-server").is_none() => {
            Some("not installed: there is no nats-server (Debian: nats-server)".to_owned())
        }
        Program::Peer(name) => match built(name) {
            Ok(path) if path.exists() => None,
            _ => Some(format!("not built: {}", note("rust").unwrap_or_else(|| PREPARE.to_owned()))),
        },
        Program::PeerPython(_, "") => {
            said(Command::new(python(".venv-bench")).args(["-c", "0"]), "install Python")
        }
        Program::PeerPython(_, module) => {
            let import = format!("import {module}");
            said(
                Command::new(python(".venv-bench")).args(["-c", &import]),
                &note(module).unwrap_or_else(|| PREPARE.to_owned()),
            )
        }
        Program::PeerNode(_, package) => {
            let import = format!(
                "import({package:?}).catch(e => {{ console.error(e.message); process.exit(1) }})"
            );
            said(
                Command::new("node").args(["-e", &import]).current_dir(scripts()),
                &note("node").unwrap_or_else(|| PREPARE.to_owned()),
            )
        }
    }
}

const PREPARE: &str = "run `make bench-peers`";

/// What `make bench-peers` wrote of something that it could not install.
fn note(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(scripts().join(format!(".failed/{name}"))).ok()?;
    text.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
}

/// `None` if the command succeeds.
fn said(command: &mut Command, otherwise: &str) -> Option<String> {
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
            Some(format!("not installed: {} ({otherwise})", last.trim()))
        }
        Err(error) => Some(format!("not installed: {error} ({otherwise})")),
    }
}

fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.exists())
}
