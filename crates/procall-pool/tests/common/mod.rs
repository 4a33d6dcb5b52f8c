//! What the tests have in common.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use procall::{CallOptions, Deadline, Encoding, Error, Request, Started};
use procall_pool::{Event, Events, Happening, Pool, PoolBuilder, WorkerState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Long enough for anything on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The program of `examples/test_worker.rs`.
pub(crate) fn program() -> PathBuf {
    example("test_worker")
}

/// A program of `examples/`, which `cargo test` builds along.
pub(crate) fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(
        program.is_file(),
        "{} is missing: `cargo build --examples` makes it",
        program.display()
    );
    program
}

/// A pool of one test worker, whose lines are kept and not shown.
pub(crate) fn pool() -> PoolBuilder {
    Pool::command([program()]).workers(1).name("test").show_output(false)
}

pub(crate) fn request<'a>(method: &'a str, body: &'a str) -> Request<'a> {
    Request::new(method, Encoding::Raw, body.as_bytes())
}

pub(crate) fn within<'a>(millis: u64, method: &'a str, body: &'a str) -> Request<'a> {
    let deadline = Deadline::After(Duration::from_millis(millis));
    request(method, body).with_options(CallOptions { deadline, ..CallOptions::default() })
}

pub(crate) fn start(pool: &Pool, method: &str, body: &str) -> Started {
    pool.start_call(request(method, body)).unwrap()
}

pub(crate) fn call(pool: &Pool, method: &str, body: &str) -> Result<String, Error> {
    let reply = pool.start_call(request(method, body))?.wait()?;
    Ok(String::from_utf8(reply.bytes).unwrap())
}

pub(crate) fn text(started: Started) -> String {
    String::from_utf8(started.wait().unwrap().bytes).unwrap()
}

/// Waits for something to happen.
pub(crate) fn expect(events: &Events, mut wanted: impl FnMut(&Event) -> bool) -> Event {
    let until = Instant::now() + LONG;
    loop {
        let left = until.checked_duration_since(Instant::now()).expect("it happens in time");
        let event = events.next(Some(left)).expect("it happens");
        if wanted(&event) {
            return event;
        }
    }
}

pub(crate) fn expect_ready(events: &Events) {
    expect(events, |event| event.happening == Happening::Ready);
}

pub(crate) fn pid(pool: &Pool, index: usize) -> u32 {
    pool.workers()[index].pid.unwrap()
}

pub(crate) fn state(pool: &Pool, index: usize) -> WorkerState {
    pool.workers()[index].state
}

/// A process as a descriptor, which never means another one.
pub(crate) fn hold(pid: u32) -> OwnedFd {
    pidfd_open(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), PidfdFlags::empty()).unwrap()
}

pub(crate) fn kill(process: &OwnedFd) {
    pidfd_send_signal(process, Signal::KILL).unwrap();
}

/// A worker that stands still while it reads this, from the moment [`Gate::begun`] returns until that is dropped.
pub(crate) struct Gate {
    folder: tempfile::TempDir,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gate = Self { folder };
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, gate.path(), rustix::fs::FileType::Fifo, mode, 0)
            .unwrap();
        gate
    }

    pub(crate) fn path(&self) -> String {
        self.folder.path().join("gate").to_str().unwrap().to_owned()
    }

    /// Waits until somebody has opened it for reading.
    pub(crate) fn begun(&self) -> std::fs::File {
        std::fs::OpenOptions::new().write(true).open(self.path()).unwrap()
    }
}

/// A host of two workers that take messages, in a process of its own.
pub(crate) struct Host {
    process: std::process::Child,
    /// Where its files would lie.
    folder: tempfile::TempDir,
    workers: Vec<u32>,
}

impl Host {
    /// Starts one whose workers come over this transport.
    pub(crate) fn start(transport: Option<&str>) -> Self {
        use std::io::BufRead;
        let folder = tempfile::tempdir().unwrap();
        let mut process = std::process::Command::new(example("message_worker"))
            .env("MODE", "host")
            .env("TRANSPORT", transport.unwrap_or_default())
            .envs(["TMPDIR", "XDG_RUNTIME_DIR"].map(|name| (name, folder.path())))
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(process.stdout.take().unwrap()).lines();
        let workers: Vec<u32> = lines
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .map(|pid| pid.parse().unwrap())
            .collect();
        assert_eq!(workers.len(), 2);
        Self { process, folder, workers }
    }

    pub(crate) fn workers(&self) -> Vec<OwnedFd> {
        self.workers.iter().copied().map(hold).collect()
    }

    /// Kills it; no file of it may be left then.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let left: Vec<_> = std::fs::read_dir(self.folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Waits until a process has ended; false when it takes too long.
pub(crate) fn is_gone(process: impl AsFd, timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).unwrap();
    poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)).unwrap() > 0
}

/// How many entries a folder of `/proc/self` has.
pub(crate) fn count(folder: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{folder}")).unwrap().count()
}
