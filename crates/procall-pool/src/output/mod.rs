//! What workers print, and what happens to them: kept, bounded, and told to whoever listens.

mod audience;
mod cutter;
mod event;
mod pipe;
mod ring;
mod show;

use std::fmt;
use std::sync::Arc;

use procall::CallId;

pub use audience::Events;
pub(crate) use audience::{Audience, OnEvent, OnOutput};
pub(crate) use cutter::MAX_LINE;
pub use event::{Event, Happening};
pub(crate) use pipe::{Gulp, LAST_GULPS, Pipe};
pub(crate) use ring::MAX_BYTES as MAX_KEPT;
pub(crate) use ring::Ring;
pub(crate) use show::show;

/// Which of a worker's two streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlet {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line that a worker printed.
///
/// ```no_run
/// # use procall_pool::Pool;
/// let pool = Pool::spawn("calc.py").on_output(|line| eprintln!("{line}")).start().wait()?;
/// # Ok::<(), procall::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLine {
    /// The worker's name, such as `calc/1`.
    pub worker: Arc<str>,
    /// Its process id.
    pub pid: u32,
    /// Where it came from.
    pub outlet: Outlet,
    /// The line without its end, at most 8 KiB as the worker printed it; what is not UTF-8 is replaced, which can make it longer.
    pub text: String,
    /// The line was longer: the next one goes on where this one stops.
    pub unfinished: bool,
    /// The call that printed it, by its number on the worker's connection, when that is known: no other call was running at the worker, nor
    /// had one run since its output was last read to the end. Threads that outlive their call, and notifications, speak for whoever is
    /// running.
    pub call: Option<CallId>,
    /// The method of that call, as its caller named it.
    pub method: Option<Arc<str>>,
    /// The number that an engine gave that call, where it came from a service that the engine starts itself.
    pub engine_call: Option<u64>,
}

impl fmt::Display for OutputLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {}", self.worker, self.text)
    }
}
