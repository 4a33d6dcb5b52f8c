//! A place of its own for each test, and processes that end with it.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

/// Long enough for anything on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Lines that a test may be behind; then the command waits.
const AHEAD: usize = 1 << 16;

/// A folder to work in and a runtime directory that nobody else knows.
pub(crate) struct Home {
    folder: TempDir,
}

/// What a command that has ended left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// What it printed, when it ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    #[track_caller]
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// The error it printed with `--json`.
    #[track_caller]
    pub(crate) fn error(&self) -> serde_json::Value {
        let last = self.err.lines().last().unwrap_or_default();
        serde_json::from_str::<serde_json::Value>(last).unwrap()["error"].clone()
    }
}

/// The program of `examples/cli_worker.rs`, which `cargo test` builds along.
fn worker() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples").join("cli_worker");
    assert!(
        program.is_file(),
        "{} is missing: `cargo build --examples` makes it",
        program.display()
    );
    program
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink(worker(), folder.path().join("calc")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn sockets(&self) -> PathBuf {
        self.path().join("procall")
    }

    /// The command with these arguments.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_procall"));
        command
            .args(args)
            .current_dir(self.path())
            .env("XDG_RUNTIME_DIR", self.path())
            .env_remove("NO_COLOR")
            .env_remove("MODE")
            .env_remove("PROCALL_ENGINE")
            .env_remove("PROCALL_LISTEN")
            .stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    pub(crate) fn procall(&self, args: &[&str]) -> Ended {
        ended(&mut self.command(args))
    }

    /// The same with something on standard input.
    pub(crate) fn procall_with(&self, args: &[&str], input: &str) -> Ended {
        let file = self.path().join("stdin");
        std::fs::write(&file, input).unwrap();
        ended(self.command(args).stdin(std::fs::File::open(file).unwrap()))
    }

    /// A named pipe.
    pub(crate) fn fifo(&self) -> Fifo {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let path = self.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        Fifo { path }
    }

    /// Starts something that goes on.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::new(&mut self.command(args))
    }

    /// Starts workers, and waits until they can be called.
    pub(crate) fn run(&self, args: &[&str]) -> Running {
        let running = self.start(&[&["run", "./calc"], args].concat());
        running.expect("procall call calc.add");
        running
    }

    /// Starts an engine, and waits until it listens: itself, and its address for peers without a Unix socket.
    pub(crate) fn engine(&self, args: &[&str]) -> (Running, String) {
        let engine = self.start(&[&["serve", "--listen", "tcp:127.0.0.1:0"], args].concat());
        let line = engine.expect("listening at tcp:");
        let address = line.rsplit(' ').next().unwrap().to_owned();
        (engine, address)
    }

    /// Starts the worker by hand, and waits until it is with the engine.
    pub(crate) fn worker(&self, mode: &str) -> Running {
        let mut command = Command::new(self.path().join("calc"));
        command.env("XDG_RUNTIME_DIR", self.path()).env("MODE", mode).stdin(Stdio::null());
        command.env_remove("PROCALL_ENGINE").env_remove("PROCALL_LISTEN");
        let worker = Running::new(&mut command);
        worker.expect("registered with engine");
        worker
    }

    /// Who is connected to the engine, by `ps --json`.
    pub(crate) fn peers(&self) -> Vec<serde_json::Value> {
        let object = self.procall(&["ps", "--json"]).json();
        object["engines"][0]["peers"].as_array().unwrap().clone()
    }

    /// The rows of `ps --json`.
    pub(crate) fn workers(&self) -> Vec<serde_json::Value> {
        self.procall(&["ps", "--json"]).json()["workers"].as_array().unwrap().clone()
    }

    pub(crate) fn pid(&self, index: usize) -> u32 {
        u32::try_from(self.workers()[index]["pid"].as_u64().unwrap()).unwrap()
    }
}

/// What the command prints on a terminal, all of its output.
pub(crate) fn on_a_terminal(home: &Home, args: &[&str], name: &str, value: &str) -> String {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let path = ptsname(&ours, Vec::new()).unwrap();
    let path = PathBuf::from(path.to_str().unwrap());
    let theirs = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut command = home.command(args);
    let err = theirs.try_clone().unwrap();
    command.env("TERM", "xterm").env(name, value).stdout(theirs).stderr(err);
    let status = command.status().unwrap();
    assert!(status.success());
    // Until the last name of the other end is closed.
    drop(command);
    let (mut printed, mut ours) = (Vec::new(), std::fs::File::from(ours));
    // A terminal without a writer is an error, after all that was written.
    let _ = ours.read_to_end(&mut printed);
    String::from_utf8(printed).unwrap()
}

/// Runs a command to its end.
pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code().expect("it is not killed"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) struct Fifo {
    path: PathBuf,
}

impl Fifo {
    pub(crate) fn text(&self) -> String {
        format!("fifo={}", self.path.display())
    }

    /// Lets whoever waits for it go on.
    pub(crate) fn release(&self) {
        std::fs::OpenOptions::new().write(true).open(&self.path).unwrap();
    }
}

/// A command that goes on. Killed with its test.
pub(crate) struct Running {
    child: Child,
    /// Lines of both outputs: the name of the output, and the line.
    lines: Receiver<(&'static str, String)>,
}

impl Running {
    pub(crate) fn new(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = sync_channel(AHEAD);
        let read = |name, from: Box<dyn Read + Send>| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(from).lines() {
                    // A test that has ended reads no more.
                    if sender.send((name, line.unwrap())).is_err() {
                        return;
                    }
                }
            });
        };
        read("out", Box::new(child.stdout.take().unwrap()));
        read("err", Box::new(child.stderr.take().unwrap()));
        Self { child, lines }
    }

    /// Waits for a line with this in it, on either output.
    #[track_caller]
    pub(crate) fn expect(&self, part: &str) -> String {
        self.expect_on(part).1
    }

    /// Waits for a line with one of these in it; gives which.
    #[track_caller]
    pub(crate) fn expect_any(&self, parts: &[&str]) -> usize {
        loop {
            let line = self.expect("");
            if let Some(found) = parts.iter().position(|part| line.contains(part)) {
                return found;
            }
        }
    }

    /// Whether such a line is among those that have come and were not looked at yet.
    pub(crate) fn has(&self, part: &str) -> bool {
        self.lines.try_iter().any(|(_, line)| line.contains(part))
    }

    #[track_caller]
    pub(crate) fn expect_on(&self, part: &str) -> (&'static str, String) {
        let until = Instant::now() + LONG;
        let mut seen = String::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((name, line)) if line.contains(part) => return (name, line),
                Ok((_, line)) => seen += &format!("{line}\n"),
                Err(RecvTimeoutError::Timeout) => panic!("no \"{part}\" came, only:\n{seen}"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without \"{part}\", after:\n{seen}")
                }
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        pidfd_send_signal(hold(self.child.id()), signal).unwrap();
    }

    /// Waits for its end: its exit code, and what it printed that was not waited for.
    pub(crate) fn end(mut self) -> (i32, String) {
        let status: ExitStatus = self.child.wait().unwrap();
        let lines: Vec<String> = self.lines.iter().map(|(_, line)| line).collect();
        (status.code().unwrap_or(-1), lines.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process as a descriptor, which never means another one.
pub(crate) fn hold(pid: u32) -> OwnedFd {
    pidfd_open(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), PidfdFlags::empty()).unwrap()
}

pub(crate) fn kill(process: &OwnedFd) {
    pidfd_send_signal(process, Signal::KILL).unwrap();
}

/// Waits until a process has ended.
#[track_caller]
pub(crate) fn gone(process: &OwnedFd) {
    let timeout = Timespec::try_from(LONG).unwrap();
    let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout)).unwrap();
    assert!(ended > 0, "the process lives on");
}
