//! The processes of a cell: started, placed, waited for, and all of them ended.
//!
//! Each program runs in a process group of its own and dies with this process.
//! What its own children leave behind comes to this process, which ends that too.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use procall_bench_load::Task;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, getpid, getppid, getrlimit,
    kill_process, kill_process_group, pidfd_open, set_child_subreaper,
    set_parent_process_death_signal, setrlimit, waitpid,
};

use crate::cells::Program;
use crate::placement::{self, Placement};
use crate::programs;

type Failure = Box<dyn std::error::Error>;

/// A program that has not begun to serve by then will not.
const START: Duration = Duration::from_secs(60);

/// A program that was asked to end has so long for it.
const STOP: Duration = Duration::from_secs(2);

/// What runs now, so that an interruption ends it.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn running() -> std::sync::MutexGuard<'static, Vec<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether somebody asked for an end.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Acquire)
}

/// Makes this process the one that orphans of its children come to, and lets Ctrl-C end the running cell first.
pub(crate) fn prepare() -> Result<(), Failure> {
    set_child_subreaper(Some(getpid()))?;
    // A thousand connections need more descriptors than most shells allow at first.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, prepared) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};

            let signals = signal(SignalKind::interrupt())
                .and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
            let (mut interrupt, mut terminate) = match signals {
                Ok(signals) => {
                    let _ = ready.send(Ok(()));
                    signals
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                INTERRUPTED.store(true, Ordering::Release);
                for &group in running().iter() {
                    // It may have ended at this moment.
                    let _ = kill_process_group(group, Signal::KILL);
                }
            }
        });
    });
    Ok(prepared.recv()??)
}

/// The role in which this program becomes another: it takes its place and sees to its end.
pub(crate) fn become_program(args: &[String]) -> Failure {
    let placed = || -> Result<Command, Failure> {
        let [parent, cpu, program, rest @ ..] = args else {
            return Err("a parent, a CPU and a program are needed".into());
        };
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before that was set.
        if getppid().map(|pid| pid.as_raw_nonzero().to_string()) != Some(parent.clone()) {
            return Err("the benchmark is gone".into());
        }
        if let Ok(cpu) = cpu.parse() {
            placement::pin(cpu)?;
        }
        let mut command = Command::new(program);
        command.args(rest);
        Ok(command)
    };
    match placed() {
        Ok(mut command) => format!("{} cannot be started: {}", args[2], command.exec()).into(),
        Err(error) => error,
    }
}

/// Where the processes of a cell run, and how those of ours talk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    pub(crate) placement: Placement,
    pub(crate) transport: &'static str,
}

/// A running program, which ends with this value.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    group: Pid,
}

impl Running {
    fn start(program: Program, task: &Task, around: Surroundings) -> Result<Self, Failure> {
        if interrupted() {
            return Err("interrupted".into());
        }
        let (caller, partner) = around.placement.cpus();
        let cpu = if task.serves() { partner } else { caller };
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("become")
            .arg(std::process::id().to_string())
            .arg(cpu.map_or("any".to_owned(), |cpu| cpu.to_string()));
        command.args(programs::command_line(program, task)?);
        let directory = Path::new(&task.path).parent().ok_or("a path without a folder")?;
        // Nothing of the user's own comes into a cell, and nothing of a cell is left behind.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PROCALL_") {
                command.env_remove(name);
            }
        }
        command.env("PROCALL_TRANSPORT", around.transport);
        command.env("XDG_RUNTIME_DIR", directory).env("TMPDIR", directory);
        command.env(placement::PARTNER, partner.map_or(String::new(), |cpu| cpu.to_string()));
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let group = Pid::from_child(&child);
        running().push(group);
        Ok(Self { child, group })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn stdout(&mut self) -> Result<ChildStdout, Failure> {
        Ok(self.child.stdout.take().ok_or("the output was taken before")?)
    }

    /// Why it failed: the end of what it wrote.
    fn last_words(&mut self) -> String {
        self.end();
        // Whatever else holds the pipe would keep it from ending.
        sweep();
        let mut words = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // Words that are not text are none.
            let _ = stderr.read_to_string(&mut words);
        }
        words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("").trim().to_owned()
    }

    /// Asks it to end, since some leave files behind when they are killed; then makes sure.
    fn end(&mut self) {
        if let (Ok(None), Ok(ended)) =
            (self.child.try_wait(), pidfd_open(self.group, PidfdFlags::empty()))
        {
            // It may end by itself at this moment.
            let _ = kill_process(self.group, Signal::TERM);
            let _ = wait_readable(&ended, STOP);
        }
        let _ = kill_process_group(self.group, Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
        running().retain(|&group| group != self.group);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts a service and waits until it can be called.
pub(crate) fn serve(
    program: Program,
    task: &Task,
    around: Surroundings,
) -> Result<Running, Failure> {
    let mut server = Running::start(program, task, around)?;
    if programs::says_ready(program) {
        let mut stdout = BufReader::new(server.stdout()?);
        let mut line = String::new();
        if wait_readable(stdout.get_ref(), START)? {
            stdout.read_line(&mut line)?;
        }
        if line.trim() != "ready" {
            return Err(format!("the service does not begin: {}", server.last_words()).into());
        }
        // What it prints from now on is read by nobody, and must not fill up.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        drain(&mut server);
        return Ok(server);
    }
    let deadline = Instant::now() + START;
    while UnixStream::connect(&task.path).is_err() {
        if Instant::now() > deadline || server.child.try_wait()?.is_some() {
            return Err(format!("the service does not listen: {}", server.last_words()).into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    drain(&mut server);
    Ok(server)
}

fn drain(server: &mut Running) {
    if let Some(mut stderr) = server.child.stderr.take() {
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    }
}

/// Runs a caller to its end and returns what it printed.
pub(crate) fn call(
    program: Program,
    task: &Task,
    around: Surroundings,
    limit: Duration,
) -> Result<String, Failure> {
    let mut caller = Running::start(program, task, around)?;
    let mut stdout = caller.stdout()?;
    let mut stderr = caller.child.stderr.take().ok_or("the output was taken before")?;
    let printed = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let said = std::thread::spawn(move || {
        let mut text = String::new();
        // Words that are not text are none.
        let _ = stderr.read_to_string(&mut text);
        text
    });
    let ended = pidfd_open(caller.group, PidfdFlags::empty())?;
    let in_time = wait_readable(&ended, limit)?;
    let status = if in_time { Some(caller.child.wait()?) } else { None };
    caller.end();
    // A grandchild in a group of its own may hold the pipes.
    sweep();
    let printed = printed.join().map_err(|_| "its output could not be read")??;
    let said = said.join().unwrap_or_default();
    if interrupted() {
        return Err("interrupted".into());
    }
    match status {
        Some(status) if status.success() => Ok(printed),
        Some(status) => {
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
            Err(format!("the caller ended with {status}: {}", last.trim()).into())
        }
        None => Err(format!("the caller had not ended after {} s", limit.as_secs()).into()),
    }
}

fn wait_readable(fd: &impl std::os::fd::AsFd, limit: Duration) -> Result<bool, Failure> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&left)) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends whatever is left of a cell: orphans come to this process.
pub(crate) fn sweep() {
    loop {
        let own = running().clone();
        let left: Vec<Pid> = children().into_iter().filter(|pid| !own.contains(pid)).collect();
        if left.is_empty() {
            return;
        }
        for pid in left {
            // It may have ended by itself; then there is only its status to take.
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
    }
}

fn children() -> Vec<Pid> {
    let mut children = Vec::new();
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return children };
    for thread in threads.flatten() {
        // The thread may have ended meanwhile.
        let list = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
        children.extend(pids.filter_map(Pid::from_raw));
    }
    children
}
