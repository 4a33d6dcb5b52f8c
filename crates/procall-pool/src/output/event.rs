//! What happens to workers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Something that happened to a worker.
///
/// ```
/// use procall_pool::{Event, Happening};
///
/// let event = Event { worker: "calc/1".into(), index: 0, pid: Some(4131), happening: Happening::Ready };
/// assert_eq!(event.to_string(), "calc/1 (pid 4131) is ready");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The worker's name, such as `calc/1`.
    pub worker: Arc<str>,
    /// Its place in the pool, from 0.
    pub index: usize,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// What happened.
    pub happening: Happening,
}

/// What happened to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// Its process was started.
    Started,
    /// It registered and answered: calls go to it now.
    Ready,
    /// It missed its heartbeats: no new calls go to it.
    Suspected,
    /// It answers again.
    Recovered,
    /// It takes no new calls and finishes those it has.
    Draining,
    /// It works, and is replaced by a new process once it has finished what it has.
    Replacing {
        /// Such as `it has served 10000 calls`.
        reason: String,
    },
    /// It has ended; the words say how.
    Exited {
        /// Such as `was killed by SIGKILL`.
        reason: String,
    },
    /// It will be started again.
    Restarting {
        /// After this pause.
        pause: Duration,
    },
    /// It stays down until somebody restarts it.
    Failed {
        /// Why.
        reason: String,
    },
    /// It was stopped on purpose.
    Stopped,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.worker)?;
        if let Some(pid) = self.pid {
            write!(f, " (pid {pid})")?;
        }
        f.write_str(" ")?;
        match &self.happening {
            Happening::Started => f.write_str("was started"),
            Happening::Ready => f.write_str("is ready"),
            Happening::Suspected => f.write_str("does not answer"),
            Happening::Recovered => f.write_str("answers again"),
            Happening::Draining => f.write_str("takes no new calls"),
            Happening::Replacing { reason } => write!(f, "is replaced: {reason}"),
            Happening::Exited { reason } => f.write_str(reason),
            Happening::Restarting { pause } => write!(f, "will be started again in {pause:?}"),
            Happening::Failed { reason } => write!(f, "failed: {reason}"),
            Happening::Stopped => f.write_str("was stopped"),
        }
    }
}
