//! What an engine is told of a service that it is to start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use procall::{Error, ErrorCode};
use procall_pool::{
    Happening, OnCancel, Outlet, Pool, PoolBuilder, RecyclePolicy, RestartPolicy, WorkerState,
};
use tokio::sync::Notify;

use super::EXIT;
use super::watch::Watch;
use crate::workers::Seen;

/// Lines of standard error that are told of workers that failed.
const LAST_WORDS: usize = 20;

/// A service whose workers the engine starts: what a `[service.NAME]` of `procall.toml` says.
///
/// ```
/// use procall_engine::{Program, ServiceSpec, StartWhen};
///
/// let calc = ServiceSpec {
///     workers: Some(2),
///     start: StartWhen::Call,
///     ..ServiceSpec::new("calc", Program::File("calc.py".into()))
/// };
/// assert_eq!(calc.idle_timeout, None);
/// ```
#[derive(Debug, Clone)]
pub struct ServiceSpec {
    /// Its name: methods without a dot are put under it, and its workers are called `name/1`, `name/2` and so on.
    pub name: String,
    /// What serves it.
    pub program: Program,
    /// Further arguments, none if not said otherwise. There is no shell: they arrive as they are.
    pub args: Vec<String>,
    /// What runs the file instead of what its extension says; only for [`Program::File`].
    pub interpreter: Option<String>,
    /// Variables of the workers' environment, beside the engine's own.
    pub env: Vec<(String, String)>,
    /// The workers' working directory; the engine's own without it.
    pub cwd: Option<PathBuf>,
    /// How many processes; as many as the engine may use processors without it.
    pub workers: Option<usize>,
    /// How many of them are there always: others are started when calls wait, and end when they have nothing to do for 60 s. All, without it.
    pub min_workers: Option<usize>,
    /// A worker with more resident memory than so many bytes is replaced; never without it.
    pub memory: Option<u64>,
    /// A worker is replaced after so many calls; never without it.
    pub max_calls: Option<u64>,
    /// Calls that one worker gets at once, instead of what it registered.
    pub concurrency: Option<u32>,
    /// A worker that hangs for so long is replaced, as by [`PoolBuilder::hang_timeout`]; never without it.
    pub hang_timeout: Option<Duration>,
    /// What happens to a worker that goes on with a call that was cancelled; nothing if not said otherwise.
    pub on_cancel: OnCancel,
    /// After which time [`OnCancel::Kill`] replaces it; 5 s if not said otherwise.
    pub cancel_grace: Duration,
    /// When workers that have gone are started again; its pauses are also those before a service that did not start is tried again.
    pub restart: RestartPolicy,
    /// When it starts: with the engine if not said otherwise.
    pub start: StartWhen,
    /// What it is for, instead of what its workers say.
    pub description: String,
    /// Methods that are known to be there before it ever ran, with or without the service's name; a call to any name under the service's own
    /// starts it anyway.
    pub methods: Vec<String>,
    /// It is stopped when nobody has called it for so long, and the next call starts it again; it runs on without it.
    pub idle_timeout: Option<Duration>,
}

/// What serves a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A file, run by what fits its extension, as by [`Pool::spawn`].
    File(PathBuf),
    /// A program and its arguments, as by [`Pool::command`].
    Command(Vec<String>),
}

/// When a service starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartWhen {
    /// With the engine.
    #[default]
    Boot,
    /// When it is called first.
    Call,
}

impl ServiceSpec {
    /// A service with everything else as it is if not said otherwise.
    pub fn new(name: impl Into<String>, program: Program) -> Self {
        Self {
            name: name.into(),
            program,
            args: Vec::new(),
            interpreter: None,
            env: Vec::new(),
            cwd: None,
            workers: None,
            min_workers: None,
            memory: None,
            max_calls: None,
            concurrency: None,
            hang_timeout: None,
            on_cancel: OnCancel::default(),
            cancel_grace: PoolBuilder::CANCEL_GRACE,
            restart: RestartPolicy::default(),
            start: StartWhen::default(),
            description: String::new(),
            methods: Vec::new(),
            idle_timeout: None,
        }
    }

    /// What is wrong about it that shows before anything runs.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::invalid(format!("service {}: {what}", self.name)));
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if self.name.is_empty() || self.name.len() > 255 || self.name.chars().any(odd) {
            return Err(Error::invalid(format!(
                "\"{}\" cannot name a service",
                self.name.escape_debug()
            )));
        }
        if self.name == "procall" || self.name.starts_with("procall.") {
            return wrong("names that begin with \"procall.\" are the engine's own".to_owned());
        }
        if let (OnCancel::Kill, Some(calls @ 2..)) = (self.on_cancel, self.concurrency) {
            return wrong(format!(
                "on_cancel = \"kill\" is for workers that take one call at a time, and these take {calls}"
            ));
        }
        match (self.min_workers, self.workers()) {
            (_, 0) | (Some(0), _) => wrong("a service has at least 1 worker".to_owned()),
            (Some(min), max) if min > max => {
                wrong(format!("min_workers is {min}, more than its {max} workers"))
            }
            _ => Ok(()),
        }
    }

    /// The most workers that it can have.
    fn workers(&self) -> usize {
        self.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into))
    }

    /// The pool, not started yet. `trouble` hears of workers that stay down.
    pub(super) fn pool(
        &self,
        index: usize,
        (watch, seen): (&Watch, &Seen),
        trouble: Arc<Notify>,
    ) -> PoolBuilder {
        let mut pool = match &self.program {
            Program::File(file) => Pool::spawn(file),
            Program::Command(argv) => Pool::command(argv),
        };
        if let Some(interpreter) = &self.interpreter {
            pool = pool.interpreter(interpreter);
        }
        if let Some(cwd) = &self.cwd {
            pool = pool.cwd(cwd);
        }
        for (name, value) in &self.env {
            pool = pool.env(name, value);
        }
        if let Some(calls) = self.concurrency {
            pool = pool.concurrency(calls);
        }
        let most = self.workers();
        let (output, event) = (watch.clone(), watch.clone());
        let (lines, facts) = (seen.clone(), seen.clone());
        pool.name(&self.name)
            .args(&self.args)
            .elastic(self.min_workers.unwrap_or(most)..=most)
            .recycle(RecyclePolicy { max_calls: self.max_calls, max_memory: self.memory })
            .hang_timeout(self.hang_timeout)
            .on_cancel(self.on_cancel)
            .cancel_grace(self.cancel_grace)
            .restart(self.restart.clone())
            .stop_timeout(EXIT)
            .on_output(move |line| {
                lines.hear_line(line);
                output.output(index, line);
            })
            .on_event(move |news| {
                facts.hear(news);
                event.event(index, news);
                if matches!(news.happening, Happening::Failed { .. }) {
                    trouble.notify_one();
                }
            })
    }

    /// Calls that the pool works on at once.
    pub(super) fn slots(&self, each: u32) -> u32 {
        u32::try_from(self.workers()).unwrap_or(u32::MAX).saturating_mul(each.max(1))
    }
}

/// Why a pool serves nobody any more, if it is so: all of its workers stay down.
pub(super) fn broken(pool: &Pool) -> Option<Error> {
    let workers = pool.workers();
    if workers.iter().any(|worker| worker.state != WorkerState::Failed) {
        return None;
    }
    let lines = workers.first().map(|worker| pool.output_lines(worker.index, LAST_WORDS));
    let words: Vec<String> = lines
        .into_iter()
        .flatten()
        .filter(|line| line.outlet == Outlet::Stderr)
        .map(|line| line.text)
        .collect();
    let message = format!("all of its workers have failed: {}", pool.health().problems.join("; "));
    Some(Error::new(ErrorCode::SpawnFailed, message).with_trace(words.join("\n")))
}
