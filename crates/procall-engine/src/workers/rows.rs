//! One row for each worker.

use procall::schemars::{self, JsonSchema};
use procall::{Error, ErrorCode};
use procall_pool::{Outlet, Pool, WorkerInfo, WorkerState};
use serde::{Deserialize, Serialize};

/// Lines of standard error that are told of a worker that is down.
const LAST_WORDS: usize = 20;

/// One worker, as it travels and as `procall ps --json` prints it. Times are in milliseconds.
///
/// ```
/// use procall_engine::workers::WorkerRow;
///
/// let row: WorkerRow = serde_json::from_str(r#"{"name": "calc/1", "state": "ready"}"#).unwrap();
/// assert_eq!((row.calls, row.pid), (0, None));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WorkerRow {
    /// Such as `calc/1`.
    pub name: String,
    /// The service it belongs to.
    pub service: String,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// `starting`, `ready`, `busy`, `draining`, `backoff`, `failed` or `stopped`.
    pub state: String,
    /// Calls it was given, across its restarts.
    pub calls: u64,
    /// Calls it works on.
    pub in_flight: u32,
    /// How often it was started again.
    pub restarts: u64,
    /// How its last process ended.
    pub last_exit: Option<String>,
    /// The last time from ping to pong.
    pub round_trip_ms: Option<f64>,
    /// Since its present process was ready.
    pub uptime_ms: Option<u64>,
    /// Its resident memory in bytes.
    pub memory: Option<u64>,
    /// Why it stays down; only of a failed one.
    pub reason: Option<String>,
    /// The last lines it wrote to standard error; only of one that is down.
    pub stderr: Vec<String>,
}

/// Starts a pool's worker of this name anew, or all of them, one after the other, so that no call is lost; the names of those.
///
/// # Errors
///
/// NOT_FOUND with the names there are, and what a start of the pool says.
///
/// ```no_run
/// # async fn f(pool: procall_pool::Pool) -> Result<(), procall::Error> {
/// let names = procall_engine::workers::restart(&pool, None).await?;
/// println!("{} are new", names.join(", "));
/// # Ok(()) }
/// ```
pub async fn restart(pool: &Pool, worker: Option<&str>) -> Result<Vec<String>, Error> {
    let workers = pool.workers();
    let Some(name) = worker else {
        pool.restart_all().await?;
        return Ok(workers.iter().map(|worker| worker.name.to_string()).collect());
    };
    let found = workers.iter().find(|worker| *worker.name == *name).ok_or_else(|| {
        let names = workers.iter().map(|worker| &*worker.name);
        Error::new(ErrorCode::NotFound, format!("this pool has no worker \"{name}\""))
            .with_candidates(names.map(str::to_owned).collect())
    })?;
    pool.restart(found.index).await?;
    Ok(vec![name.to_owned()])
}

/// The rows of a pool's workers.
pub(super) fn of(service: &str, pool: &Pool, failed: &[Option<String>]) -> Vec<WorkerRow> {
    let row = |worker: WorkerInfo| {
        let down = matches!(worker.state, WorkerState::Failed | WorkerState::Backoff);
        let stderr = if down { last_words(pool, worker.index) } else { Vec::new() };
        let reason = failed.get(worker.index).cloned().flatten();
        WorkerRow {
            name: worker.name.to_string(),
            service: service.to_owned(),
            pid: worker.pid,
            state: worker.state.to_string(),
            calls: worker.calls,
            in_flight: worker.in_flight,
            restarts: worker.restarts,
            last_exit: worker.last_exit,
            round_trip_ms: worker.round_trip.map(|time| time.as_secs_f64() * 1000.0),
            uptime_ms: worker
                .uptime
                .map(|uptime| u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX)),
            memory: worker.memory,
            reason: reason.filter(|_| worker.state == WorkerState::Failed),
            stderr,
        }
    };
    pool.workers().into_iter().map(row).collect()
}

fn last_words(pool: &Pool, index: usize) -> Vec<String> {
    let lines = pool.output_lines(index, LAST_WORDS * 4);
    let stderr: Vec<String> = lines
        .into_iter()
        .filter(|line| line.outlet == Outlet::Stderr)
        .map(|line| line.text)
        .collect();
    stderr[stderr.len().saturating_sub(LAST_WORDS)..].to_vec()
}
