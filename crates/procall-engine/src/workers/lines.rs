//! The lines of a service's workers, kept for `procall logs`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt};
use procall::Stream;
use procall::schemars::{self, JsonSchema};
use procall_pool::{Outlet, OutputLine};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Lines that are kept of all workers of a service, the newest; each has 8 KiB at most.
const KEPT: usize = 1_000;
/// Lines that may wait for one who follows; then the oldest are dropped, and he is told how many.
const BEHIND: usize = 1_024;

/// A line that a worker printed, as it travels and as `procall logs --json` prints it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LogLine {
    /// Such as `calc/1`.
    pub worker: String,
    /// Its process.
    pub pid: u32,
    /// `stdout` or `stderr`.
    pub outlet: String,
    /// The line without its end, at most 8 KiB.
    pub text: String,
    /// The next line goes on where this one stops.
    pub unfinished: bool,
    /// The call that printed it, by its number on the worker's connection, where that is certain.
    pub call: Option<u64>,
    /// The method of that call.
    pub method: Option<String>,
    /// That call's number at the engine, as `procall calls` and its log have it; for services that an engine starts.
    pub engine_call: Option<u64>,
    /// Lines that were dropped before this one because the reader was too slow; then there is no text.
    pub missed: u64,
}

/// The last lines, and those who follow. Clones share them.
///
/// ```
/// use procall_engine::workers::Lines;
///
/// let lines = Lines::default();
/// let last_five = lines.read(None, 5, false);
/// # drop(last_five);
/// ```
#[derive(Debug, Clone)]
pub struct Lines {
    kept: Arc<Mutex<VecDeque<Arc<LogLine>>>>,
    followers: broadcast::Sender<Arc<LogLine>>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { kept: Arc::default(), followers: broadcast::channel(BEHIND).0 }
    }
}

impl Lines {
    /// A worker printed a line.
    pub fn hear(&self, line: &OutputLine) {
        let line = Arc::new(LogLine {
            worker: line.worker.to_string(),
            pid: line.pid,
            outlet: match line.outlet {
                Outlet::Stdout => "stdout",
                Outlet::Stderr => "stderr",
            }
            .to_owned(),
            text: line.text.clone(),
            unfinished: line.unfinished,
            call: line.call,
            method: line.method.as_deref().map(str::to_owned),
            engine_call: line.engine_call,
            missed: 0,
        });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(line.clone());
        // Under the lock, so that whoever begins to follow gets each line once. Nobody follows: nobody needs it.
        let _ = self.followers.send(line);
    }

    /// At most so many of the last lines of one worker or all, oldest first, and what comes if the reader wants to follow.
    pub fn read(&self, worker: Option<String>, last: u32, follow: bool) -> Stream<LogLine> {
        let wanted = move |line: &LogLine| {
            worker.as_deref().is_none_or(|worker| line.worker == worker || line.missed > 0)
        };
        let (first, following) = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let last = usize::try_from(last).unwrap_or(usize::MAX);
            let mut first: Vec<LogLine> = kept
                .iter()
                .rev()
                .map(|line| LogLine::clone(line))
                .filter(&wanted)
                .take(last)
                .collect();
            first.reverse();
            (first, follow.then(|| self.followers.subscribe()))
        };
        let coming = stream::unfold(following, |following| async move {
            let mut following = following?;
            let line = match following.recv().await {
                Ok(line) => LogLine::clone(&line),
                Err(RecvError::Lagged(missed)) => LogLine { missed, ..LogLine::default() },
                Err(RecvError::Closed) => return None,
            };
            Some((line, Some(following)))
        });
        let coming = coming.filter(move |line| std::future::ready(wanted(line)));
        Stream::new(stream::iter(first).chain(coming).map(Ok))
    }
}
