//! What one can know of a worker.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use procall::Metrics;

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerState {
    /// Its process was started; it has not registered or not answered yet.
    Starting,
    /// It waits for calls.
    Ready,
    /// It has calls in hand.
    Busy,
    /// It finishes what it has and takes no more.
    Draining,
    /// It has gone and will be started again after a pause.
    Backoff,
    /// It has gone too often and stays down until somebody restarts it.
    Failed,
    /// It was stopped on purpose.
    Stopped,
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Backoff => "backoff",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        })
    }
}

/// What is known of one worker.
///
/// ```no_run
/// # fn f(pool: procall_pool::Pool) {
/// for worker in pool.workers() {
///     println!("{} {} {} calls", worker.name, worker.state, worker.calls);
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its place in the pool, from 0.
    pub index: usize,
    /// Its name, such as `calc/2`.
    pub name: Arc<str>,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: WorkerState,
    /// Calls it was given, across its restarts.
    pub calls: u64,
    /// Calls it is busy with, those that nobody waits for any more included.
    pub in_flight: u32,
    /// How often it was started again.
    pub restarts: u64,
    /// How its last process ended, such as `was killed by SIGKILL`.
    pub last_exit: Option<String>,
    /// How long its present process has been ready.
    pub uptime: Option<Duration>,
    /// The last measured time from ping to pong.
    pub round_trip: Option<Duration>,
    /// Its resident memory in bytes; behind a launcher, that of the launcher.
    pub memory: Option<u64>,
}

/// What is known of a pool.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// What was counted of its calls.
    pub metrics: Metrics,
    /// Whether it is well.
    pub health: Health,
    /// Each of its workers.
    pub workers: Vec<WorkerInfo>,
}

/// Whether a pool is well.
///
/// ```no_run
/// # fn f(pool: procall_pool::Pool) {
/// let health = pool.health();
/// if !health.is_healthy() {
///     eprintln!("{health}");
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The pool takes calls: it is not draining, stopping or closed.
    pub open: bool,
    /// Workers that calls go to.
    pub ready: usize,
    /// Workers in all.
    pub workers: usize,
    /// What is wrong, one sentence a worker, such as `calc/2 does not answer`.
    pub problems: Vec<String>,
}

impl Health {
    /// Whether it takes calls and has workers to give them to, some of which may be in trouble; see [`problems`](Self::problems).
    pub fn is_healthy(&self) -> bool {
        self.open && self.ready > 0
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} workers are ready", self.ready, self.workers)?;
        if !self.open {
            f.write_str("; the pool takes no calls")?;
        }
        self.problems.iter().try_for_each(|problem| write!(f, "; {problem}"))
    }
}
