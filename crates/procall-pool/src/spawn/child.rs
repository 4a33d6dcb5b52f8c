//! A worker's process: started, signalled without ever hitting a stranger, reaped.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use procall::surroundings::{CHANNEL, DIAL, TOKEN, TRANSPORT};
use procall::transport::unix::UnixLink;
use procall::transport::{LinkOptions, fd};
use procall::{Error, ErrorCode};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use super::exit::{Exit, is_own, reap};
use super::{Launch, Ways, lifeline};

/// Lowest number of a worker's channel: launchers reuse and close low numbers.
const LOWEST: i32 = 64;

/// A child process that has not been reaped.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    /// It is our child and was not reaped, so its number, and that of its group, cannot mean anybody else.
    own: bool,
    /// Our ends of the channels that tell it whether we live, where its calls come another way.
    lifelines: Vec<OwnedFd>,
}

/// What there is once a child was started.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) child: Child,
    /// Our end of the inherited channel.
    pub(crate) link: UnixLink,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// Starts a worker that may come by `ways`. Only from a thread that never ends: the child dies with it.
pub(crate) fn spawn(launch: &Launch, ways: &Ways) -> Result<Spawned, Error> {
    let scarce = |error: std::io::Error| {
        launch.failed("this process has no descriptors to spare for it").with_source(error)
    };
    let options = LinkOptions { choice: launch.choice, ..LinkOptions::default() };
    let (link, theirs) = UnixLink::pair_for_child(&options).map_err(scarce)?;
    let channel =
        rustix::io::fcntl_dupfd_cloexec(&theirs, LOWEST).map_err(|error| scarce(error.into()))?;
    drop(theirs);
    let (device, inode) = fd::identity(channel.as_fd()).map_err(scarce)?;

    let mut command = Command::new(&launch.program);
    command.args(&launch.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove(DIAL).env_remove(TOKEN);
    match launch.choice {
        Some(choice) => command.env(TRANSPORT, choice.name()),
        None => &mut command,
    };
    command.envs(launch.env.iter().map(|(name, value)| (name, value)));
    command.env(CHANNEL, format!("{}:{device}:{inode}", channel.as_raw_fd()));
    if let Some(dial) = &ways.dial {
        command.env(DIAL, dial.path());
    }
    if let Some(token) = &ways.token {
        command.env(TOKEN, token.text());
    }
    if let Some(own) = &ways.own {
        command.envs(own.env.iter().map(|(name, value)| (name, value)));
    }
    if let Some(cwd) = &launch.cwd {
        command.current_dir(cwd);
    }
    lifeline::tie(&mut command, channel.as_raw_fd());

    let mut started = command.spawn().map_err(|error| launch.not_started(error))?;
    drop(channel);
    let (Some(stdout), Some(stderr)) = (started.stdout.take(), started.stderr.take()) else {
        return Err(Error::new(ErrorCode::Internal, "a child was started without its pipes"));
    };
    let (stdout, stderr) = (OwnedFd::from(stdout), OwnedFd::from(stderr));
    for pipe in [&stdout, &stderr] {
        rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK).map_err(|error| scarce(error.into()))?;
    }
    let child = Child::adopt(started.id()).map_err(scarce)?;
    Ok(Spawned { child, link, stdout, stderr })
}

impl Child {
    fn adopt(id: u32) -> std::io::Result<Self> {
        let pid = i32::try_from(id)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(std::io::ErrorKind::InvalidData)?;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => {
                // Where the host ignores SIGCHLD, the kernel reaps by itself and the number may mean somebody else already.
                let own = is_own(pidfd.as_fd());
                Ok(Self { pid, pidfd, own, lifelines: Vec::new() })
            }
            Err(error) => {
                // Without a pidfd nobody would see it die. It was started a moment ago and not reaped, so the number is still its own.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
                Err(error.into())
            }
        }
    }

    /// Keeps these open for as long as the process lives: at their end it would end itself.
    pub(crate) fn keep(&mut self, lifelines: Vec<OwnedFd>) {
        self.lifelines = lifelines;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Readable once the process has ended.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Signals the whole process group. Safe at any time before [`Child::reap`] gave a status: until then the group's number is taken.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.own {
            // Nobody left in the group is as good as everybody told.
            let _ = kill_process_group(self.pid, signal);
        } else {
            let _ = pidfd_send_signal(&self.pidfd, signal);
        }
    }

    /// Once the process has ended: ends what is left of its group, then takes its status. `None` while it lives.
    pub(crate) fn reap(&mut self) -> Option<Exit> {
        let look = rustix::process::WaitIdOptions::EXITED
            | rustix::process::WaitIdOptions::NOHANG
            | rustix::process::WaitIdOptions::NOWAIT;
        match rustix::process::waitid(rustix::process::WaitId::PidFd(self.pidfd.as_fd()), look) {
            Ok(None) => return None,
            // Still a zombie, which keeps the number: its grandchildren can be reached without hitting a stranger.
            Ok(Some(_)) => self.signal(Signal::KILL),
            Err(_) => {}
        }
        let exit = reap(self.pidfd.as_fd());
        self.own = self.own && exit.is_none();
        exit
    }
}

impl Drop for Child {
    /// Only reached with a living child when something failed half-way: no process is left behind for that.
    fn drop(&mut self) {
        if self.own {
            self.signal(Signal::KILL);
            let _ = rustix::process::waitid(
                rustix::process::WaitId::PidFd(self.pidfd.as_fd()),
                rustix::process::WaitIdOptions::EXITED,
            );
        }
    }
}
