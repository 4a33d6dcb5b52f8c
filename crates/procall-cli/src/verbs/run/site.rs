//! One file that runs: its pool, and the service in front of it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use procall::transport::Address;
use procall::{Channel, Error, ErrorCode, MethodInfo, Server, Service, surroundings};
use procall_pool::{Event, Happening, Outlet, Pool, WorkerInfo, WorkerState};
use rustix::process::{Signal, getpid, kill_process};

use super::lines::Lines;
use crate::failure::Failure;
use crate::workers::{self, WorkerRow};

/// Lines of standard error that are told of a worker that is down.
const LAST_WORDS: usize = 20;

/// What of a worker is known from its events alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts(Arc<Mutex<Vec<Fact>>>);

/// One file's workers as they are seen from outside: what is known of them, and what they print.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) facts: Facts,
    pub(super) lines: Lines,
}

#[derive(Debug, Clone, Default)]
struct Fact {
    failed: Option<String>,
}

impl Facts {
    fn lock(&self) -> MutexGuard<'_, Vec<Fact>> {
        // Nothing under the lock panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hear(&self, event: &Event) {
        let mut facts = self.lock();
        if facts.len() <= event.index {
            facts.resize(event.index + 1, Fact::default());
        }
        let fact = &mut facts[event.index];
        match &event.happening {
            Happening::Started => fact.failed = None,
            Happening::Failed { reason } => fact.failed = Some(reason.clone()),
            _ => {}
        }
    }

    fn of(&self, index: usize) -> Fact {
        self.lock().get(index).cloned().unwrap_or_default()
    }
}

pub(super) struct Site {
    /// The name the service is found by.
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) pool: Pool,
    address: Address,
    seen: Seen,
}

impl Site {
    /// A pool, and the name under which it is to be found: the given one, else the one its workers registered.
    pub(super) fn new(
        file: PathBuf,
        pool: Pool,
        seen: Seen,
        name: Option<&str>,
    ) -> Result<Self, Failure> {
        let registered = Channel::registration(&pool).map(|known| known.name.clone());
        let stem = || file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = match name {
            Some(name) => name.to_owned(),
            None => registered.filter(|name| !name.is_empty()).unwrap_or_else(stem),
        };
        let address = surroundings::address_of(&name)?;
        Ok(Self { name, file, pool, address, seen })
    }

    /// Puts a service in front of the pool.
    pub(super) fn bind(&self) -> Result<Server, Failure> {
        Server::bind(&self.address, self.service()?)
            .map_err(|error| super::taken(&self.name, &error).unwrap_or_else(|| error.into()))
    }

    /// The pool's methods, and what may be asked of the pool itself.
    pub(super) fn service(&self) -> Result<Service, Failure> {
        let service = Service::relay(&*self.name, Arc::new(self.pool.clone()))?;
        let (name, pool, facts) = (self.name.clone(), self.pool.clone(), self.seen.facts.clone());
        let (restarting, draining) = (self.pool.clone(), self.pool.clone());
        let lines = self.seen.lines.clone();
        Ok(service
            .method(workers::METHOD, move || rows(&name, &pool, &facts))
            .async_method(workers::RESTART, move |worker: Option<String>| {
                restart(restarting.clone(), worker)
            })
            .params(workers::RESTART, &["worker"])
            .async_method(workers::DRAIN, move || {
                let pool = draining.clone();
                async move { pool.drain().await }
            })
            .try_method(workers::STOP, || {
                // As if somebody had done it from a terminal: everything that runs here heeds it.
                kill_process(getpid(), Signal::TERM).map_err(|error| {
                    Error::new(ErrorCode::Internal, format!("no signal can be sent: {error}"))
                })
            })
            .stream_method(
                workers::LOGS,
                move |worker: Option<String>, last: Option<u32>, follow: Option<bool>| {
                    lines.read(worker, last.unwrap_or(u32::MAX), follow.unwrap_or(false))
                },
            )
            .params(workers::LOGS, &["worker", "last", "follow"]))
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn methods(&self) -> Vec<MethodInfo> {
        let full = |mut method: MethodInfo| {
            if !method.name.contains('.') {
                method.name = format!("{}.{}", self.name, method.name);
            }
            method
        };
        self.pool.methods().into_iter().map(full).collect()
    }

    pub(super) fn in_flight(&self) -> u32 {
        let queued = u32::try_from(self.pool.queued()).unwrap_or(u32::MAX);
        self.pool
            .workers()
            .iter()
            .map(|worker| worker.in_flight)
            .sum::<u32>()
            .saturating_add(queued)
    }
}

/// Starts a worker anew, or all; the names of those.
async fn restart(pool: Pool, worker: Option<String>) -> Result<Vec<String>, Error> {
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
    Ok(vec![name])
}

/// What `procall.workers` answers.
fn rows(service: &str, pool: &Pool, facts: &Facts) -> Vec<WorkerRow> {
    let row = |worker: WorkerInfo| {
        let fact = facts.of(worker.index);
        let down = matches!(worker.state, WorkerState::Failed | WorkerState::Backoff);
        let stderr = if down { last_words(pool, worker.index) } else { Vec::new() };
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
            reason: fact.failed.filter(|_| worker.state == WorkerState::Failed),
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
