//! What a `procall run` tells of its workers: the method `procall.workers`.

use procall::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};

/// The method's name.
pub(crate) const METHOD: &str = "procall.workers";

/// One worker, as it travels and as `--json` prints it. Times are in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(default)]
pub(crate) struct WorkerRow {
    /// Such as `calc/1`.
    pub(crate) name: String,
    /// The service it belongs to.
    pub(crate) service: String,
    pub(crate) pid: Option<u32>,
    /// starting, ready, busy, draining, backoff, failed or stopped.
    pub(crate) state: String,
    /// Calls it was given, across its restarts.
    pub(crate) calls: u64,
    pub(crate) in_flight: u32,
    pub(crate) restarts: u64,
    /// How its last process ended.
    pub(crate) last_exit: Option<String>,
    pub(crate) round_trip_ms: Option<f64>,
    /// Since its present process was ready.
    pub(crate) uptime_ms: Option<u64>,
    /// Its resident memory in bytes.
    pub(crate) memory: Option<u64>,
    /// Why it stays down; only of a failed one.
    pub(crate) reason: Option<String>,
    /// The last lines it wrote to standard error; only of one that is down.
    pub(crate) stderr: Vec<String>,
}

/// Starts one worker anew, or all of them, one after the other: `worker`, none for all. Its answer is the names of those.
pub(crate) const RESTART: &str = "procall.restart";
/// Gives the pool no new calls, and answers when those there are have ended.
pub(crate) const DRAIN: &str = "procall.drain";
/// Ends the `procall run`, as SIGTERM does.
pub(crate) const STOP: &str = "procall.stop";
/// The lines that workers printed: `worker`, none for all; how many of the `last`; whether to `follow`. A stream of [`LogLine`].
pub(crate) const LOGS: &str = "procall.logs";

/// A line that a worker printed, as it travels and as `--json` prints it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(default)]
pub(crate) struct LogLine {
    /// Such as `calc/1`.
    pub(crate) worker: String,
    pub(crate) pid: u32,
    /// stdout or stderr.
    pub(crate) outlet: String,
    pub(crate) text: String,
    /// The next line goes on where this one stops.
    pub(crate) unfinished: bool,
    /// The call that printed it, where that is certain.
    pub(crate) call: Option<u64>,
    pub(crate) method: Option<String>,
    /// Lines that were dropped before this one because the reader was too slow; then there is no text.
    pub(crate) missed: u64,
}
