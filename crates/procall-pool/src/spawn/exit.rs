//! How a process ended, in words.

use std::fmt;
use std::os::fd::BorrowedFd;

use rustix::process::{WaitId, WaitIdOptions, waitid};

/// How a worker's process ended.
///
/// ```
/// use procall_pool::Exit;
///
/// assert_eq!(Exit::Code(3).to_string(), "exited with code 3");
/// assert_eq!(Exit::Signal(9).to_string(), "was killed by SIGKILL");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It ended by itself, with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It is gone, and something else in this program has taken its status.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => match name(*signal) {
                Some(name) => write!(f, "was killed by {name}"),
                None => write!(f, "was killed by signal {signal}"),
            },
            Self::Unknown => {
                f.write_str("is gone; another part of this program took its exit status")
            }
        }
    }
}

/// Names that are the same on every Linux architecture Rust supports, MIPS aside.
fn name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// Whether this process is an own child that nobody has reaped, be it dead or alive: the only kind that may be signalled by number.
pub(super) fn is_own(pidfd: BorrowedFd<'_>) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::PidFd(pidfd), look).is_ok()
}

/// Takes the status of a child; `None` while it lives.
pub(super) fn reap(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    loop {
        match waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(None) => return None,
            Ok(Some(status)) => {
                let code = status.exit_status().map(Exit::Code);
                return Some(
                    code.or(status.terminating_signal().map(Exit::Signal)).unwrap_or(Exit::Unknown),
                );
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Some(Exit::Unknown),
        }
    }
}
