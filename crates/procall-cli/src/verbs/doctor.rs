//! `procall doctor`: whether this machine has what Procall needs, and what to do where it has not.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use clap::Args;
use procall::{Error, ErrorCode, surroundings};
use rustix::fs::MemfdFlags;
use rustix::process::{Resource, getrlimit};
use serde_json::json;
use tokio::process::Command;

use crate::directory::Directory;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::style::Style;
use crate::{exit, output, plain};
use procall_engine::StrayCounts;

/// Descriptors below which an engine with many peers runs out.
const FEW: u64 = 1_024;
/// How long an interpreter may take to import the package.
const IMPORT: Duration = Duration::from_secs(20);
/// A clock before this is wrong: 2024.
const PAST: Duration = Duration::from_secs(1_704_067_200);

const EXAMPLES: &str = "Examples:
  procall doctor
  procall doctor --json";

/// Check what Procall needs of this machine; exit code 1 when something is wrong.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Doctor {}

/// How something that was looked at is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// Not there, which not everybody needs.
    Note,
    Wrong,
}

/// Something that was looked at.
#[derive(Debug, serde::Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do; empty when nothing is.
    fix: String,
}

impl Doctor {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let mut checks = vec![version(), directory()];
        checks.extend(services().await);
        checks.push(descriptors());
        checks.push(clock());
        checks.push(memfd());
        let python = python();
        let run = "import procall; print(procall.__version__)";
        checks.push(package("Python package", &python, "-c", run, "pip install procall").await);
        let run = "import('procall').then(p => console.log(p.version ?? 'without a version'))";
        checks.push(package("Node package", "node", "-e", run, "npm install procall").await);
        let wrong = checks.iter().filter(|check| check.verdict == Verdict::Wrong).count();
        if style.json {
            let object = json!({ "ok": wrong == 0, "checks": checks });
            output::json(&object.to_string(), style)?;
        } else {
            checks.iter().try_for_each(|check| show(check, style))?;
        }
        match wrong {
            0 => Ok(()),
            many => Err(Failure::new(
                ErrorCode::Unavailable,
                match many {
                    1 => "something is wrong here".to_owned(),
                    many => format!("{many} things are wrong here"),
                },
            )
            .exit(exit::FOUND_WRONG)
            .fix("do what stands at each of them, then procall doctor again")),
        }
    }
}

fn show(check: &Check, style: &Style) -> Result<(), Failure> {
    let verdict = match check.verdict {
        Verdict::Ok => "ok   ".to_owned(),
        Verdict::Note => style.out.dim("note "),
        Verdict::Wrong => style.out.bad("WRONG"),
    };
    output::line(&format!("{verdict}  {:<17}  {}", check.check, plain::line(&check.found)))?;
    match &*check.fix {
        "" => Ok(()),
        fix => output::line(&format!(
            "       {:<17}  {} {}",
            "",
            style.out.dim("fix"),
            plain::line(fix)
        )),
    }
}

fn fine(check: &'static str, found: impl Into<String>) -> Check {
    Check { check, verdict: Verdict::Ok, found: found.into(), fix: String::new() }
}

fn note(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { check, verdict: Verdict::Note, found: found.into(), fix: fix.into() }
}

fn wrong(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { check, verdict: Verdict::Wrong, found: found.into(), fix: fix.into() }
}

fn version() -> Check {
    let program = std::env::current_exe();
    let program = program.map_or_else(|_| String::new(), |path| format!(", {}", path.display()));
    fine("version", format!("{}{program}", env!("CARGO_PKG_VERSION")))
}

/// The runtime directory: its mode, its owner, and those of what it lies in.
fn directory() -> Check {
    const CHECK: &str = "runtime directory";
    match surroundings::services() {
        Err(error) => of_error(CHECK, &error),
        Ok(found) => {
            let left: Vec<String> = found
                .iter()
                .filter(|found| !found.answers)
                .map(|found| found.address.to_string().trim_start_matches("unix:").to_owned())
                .collect();
            let running = found.len() - left.len();
            match left.is_empty() {
                true => fine(CHECK, format!("this user's alone; services that run: {running}")),
                false => note(
                    CHECK,
                    format!("sockets that processes left which were killed: {}", left.len()),
                    format!(
                        "the next start under the same name replaces them; or rm {}",
                        left.join(" ")
                    ),
                ),
            }
        }
    }
}

fn of_error(check: &'static str, error: &Error) -> Check {
    wrong(check, error.message(), error.code().fix())
}

/// Whether what runs answers, and is of this version.
async fn services() -> Vec<Check> {
    const CHECK: &str = "services";
    let directory = match Directory::survey(None).await {
        Ok(directory) => directory,
        // The runtime directory is told of already; an engine that was named is not.
        Err(error) => return vec![of_error(CHECK, &error)],
    };
    let mut checks: Vec<Check> = directory
        .silent
        .iter()
        .map(|(name, error)| {
            wrong(
                CHECK,
                format!("{name}: {}", error.message()),
                "look whether its process hangs; if so, end it by a signal and start it again",
            )
        })
        .collect();
    let own = format!("rust/{}", env!("CARGO_PKG_VERSION"));
    for engine in &directory.engines {
        checks.extend(strays(engine).await);
        let said = engine.client.connection().peer().map(|peer| peer.runtime).unwrap_or_default();
        let what = format!("{} answers: {} peers, {said}", engine.name, engine.peers.len());
        checks.push(match said == own {
            true => fine("engine", what),
            false => note("engine", what, format!("this command is {own}: install the same version, then procall stop, procall serve")),
        });
    }
    if directory.engines.is_empty() {
        checks.push(note(
            "engine",
            "none runs, which only processes need that do not start each other",
            "procall serve",
        ));
    }
    checks
}

/// What JSON peers of an engine sent that nobody had asked for, or did not get.
async fn strays(engine: &Engine) -> Option<Check> {
    // An older engine does not count them.
    let found: StrayCounts = engine.client.call("procall.engine.strays", ()).await.ok()?;
    let StrayCounts { unasked, late, dropped } = found;
    if found == StrayCounts::default() {
        return None;
    }
    Some(note(
        "JSON peers",
        format!(
            "{}: answers to calls that nobody had made {unasked}, answers that came too late {late}, notifications that were dropped {dropped}",
            engine.name
        ),
        "look for a client that answers twice or under a wrong id, that takes longer than its callers wait, or that reads too slowly",
    ))
}

/// How many files and sockets a process may have open.
fn descriptors() -> Check {
    const CHECK: &str = "open files";
    let limit = getrlimit(Resource::Nofile);
    let shown = |limit: Option<u64>| limit.map_or_else(|| "no limit".to_owned(), |n| n.to_string());
    let found = format!("{}, can be raised to {}", shown(limit.current), shown(limit.maximum));
    match limit.current {
        Some(current) if current < FEW => wrong(
            CHECK,
            found,
            format!(
                "ulimit -n {FEW} before the start of an engine or pool; LimitNOFILE= of systemd"
            ),
        ),
        _ => fine(CHECK, found),
    }
}

fn clock() -> Check {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    match now < PAST {
        true => wrong(
            "clock",
            "it says a time before 2024",
            "set the clock; tokens and logs tell nonsense without it",
        ),
        false => fine("clock", "plausible"),
    }
}

fn memfd() -> Check {
    match rustix::fs::memfd_create("procall-doctor", MemfdFlags::CLOEXEC) {
        Ok(_) => fine("memfd", "available"),
        Err(error) => wrong(
            "memfd",
            format!("memory cannot be shared between processes: {error}"),
            "a seccomp filter forbids memfd_create; allow it, or use a kernel from 3.17 on",
        ),
    }
}

/// The interpreter that workers would get.
fn python() -> String {
    let active = std::env::var_os("VIRTUAL_ENV").map(std::path::PathBuf::from);
    let beside = std::env::current_dir().ok().map(|folder| folder.join(".venv"));
    let found = active.into_iter().chain(beside).map(|folder| folder.join("bin/python"));
    let found = found.into_iter().find(|path| path.exists());
    found.map_or_else(|| "python3".to_owned(), |path| path.display().to_string())
}

/// Whether an interpreter finds the package.
async fn package(check: &'static str, program: &str, flag: &str, code: &str, fix: &str) -> Check {
    let ran =
        Command::new(program).args([flag, code]).stdin(Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(IMPORT, ran).await {
        Ok(Ok(output)) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let own = env!("CARGO_PKG_VERSION");
            let found = format!("{version}, with {program}");
            match version == own || version.starts_with("without") {
                true => fine(check, found),
                false => {
                    note(check, found, format!("this command is {own}: {fix} of the same version"))
                }
            }
        }
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let last = said
                .lines()
                .rev()
                .find(|line| line.contains("Error"))
                .unwrap_or("it cannot be imported");
            note(
                check,
                format!("{program}: {}", last.trim()),
                format!("{fix}   if workers in it are wanted"),
            )
        }
        Ok(Err(error)) => note(
            check,
            format!("{program} cannot be started: {error}"),
            format!("install it, then {fix}   if workers in it are wanted"),
        ),
        Err(_) => wrong(
            check,
            format!("{program} does not import it within {IMPORT:?}"),
            "look what hangs: run the import by hand",
        ),
    }
}
