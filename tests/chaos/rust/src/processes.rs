//! Processes that scenarios start, signal and look at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use procall::{AsChannel as _, Client};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::Failure;
use crate::ledger::{FOLDER, Ledger};
use crate::load::{Work, call};
use crate::scenarios::Setting;

/// Nobody waits longer for what is to happen soon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// SIGKILL to a process that was started here. It may have ended by itself.
pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

pub(crate) fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Nanoseconds since 1970, as workers write them down.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A number from `/proc/PID/status`, such as `VmRSS` in KiB, or `Threads`.
pub(crate) fn status(pid: u32, name: &str) -> Result<i64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| format!("/proc/{pid}/status has no {name}").into())
}

/// What a process holds: descriptors, memfds among them, and threads.
pub(crate) fn held(pid: u32) -> Result<[i64; 3], Failure> {
    let (mut descriptors, mut memfds) = (0, 0);
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        descriptors += 1;
        // One that was closed meanwhile points nowhere.
        let target = fs::read_link(entry?.path()).unwrap_or_default();
        memfds += i64::from(target.to_string_lossy().starts_with("/memfd:"));
    }
    Ok([descriptors, memfds, status(pid, "Threads")?])
}

/// Waits until something is so; says whether it came to be.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    true
}

/// Calls until one is answered. What comes of the others is not of this load.
pub(crate) async fn until_served(client: &Client, probes: &Ledger) -> Result<(), Failure> {
    let channel = client.as_channel();
    let work = Work { deadline: Duration::from_secs(1), ..Work::default() };
    let begun = Instant::now();
    loop {
        match call(&channel, "chaos.work", probes, work).await {
            Ok(()) => return Ok(()),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// An engine in a process of its own. It ends with its owner.
pub(crate) fn engine(setting: &Setting, address: &str) -> Result<Child, Failure> {
    let mut command = Command::new(setting.program("chaos-engine")?);
    command.arg(address).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    Ok(command.spawn()?)
}

/// A worker in a process of its own, which registers with an engine. It ends with its owner.
pub(crate) fn worker(
    setting: &Setting,
    language: &str,
    engine: &str,
    ledger: &Ledger,
    env: &[(&str, &str)],
) -> Result<Child, Failure> {
    let mut worker = program(setting.worker(language)?);
    if language == "rust" {
        worker.arg(engine);
    }
    worker.env("PROCALL_ENGINE", engine).env(FOLDER, ledger.folder()).envs(env.iter().copied());
    Ok(worker.kill_on_drop(true).spawn()?)
}

/// What runs a file of its language.
pub(crate) fn program(file: PathBuf) -> Command {
    let interpreter = match file.extension().and_then(|extension| extension.to_str()) {
        Some("py") => "python",
        Some("mjs") => "node",
        _ => return Command::new(file),
    };
    let mut command = Command::new(interpreter);
    command.arg(file);
    command
}

/// An engine in a process of its own, a worker that is registered there, and a client.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) engine: Child,
    pub(crate) worker: Child,
    pub(crate) client: Client,
    pub(crate) address: String,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn new(
        setting: &Setting,
        language: &str,
        ledger: &Ledger,
    ) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let address = format!("unix:{}", folder.path().join("engine.sock").display());
        let engine = engine(setting, &address)?;
        let worker = worker(setting, language, &address, ledger, &[])?;
        let client = Client::connect(&address).await?;
        until_served(&client, &ledger.beside()?).await?;
        Ok(Self { engine, worker, client, address, _folder: folder })
    }

    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        self.client.close();
        self.worker.kill().await?;
        self.engine.kill().await?;
        Ok(())
    }
}
