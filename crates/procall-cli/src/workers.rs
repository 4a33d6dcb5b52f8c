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
