//! The handle of a pool.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use procall::{
    Arena, Channel, Error, ErrorCode, Hub, MethodInfo, Metrics, Registration, Request,
    RetryBudgets, Started,
};

use crate::builder::{FOREVER, PoolBuilder};
use crate::core::Core;
use crate::dispatch::Gate;
use crate::info::{Health, Stats, WorkerInfo};
use crate::output::{Events, OutputLine};
use crate::spawn::Wanted;
use crate::step::{Step, step};
use crate::supervisor::Command;

/// How long workers may take to exit when a pool is closed or dropped without having been stopped.
const SHORT: Duration = Duration::from_millis(500);
/// How long a drop waits for that: killing takes a moment too.
const PATIENCE: Duration = Duration::from_secs(2);

/// A supervised set of worker processes. Clones share it; when the last one is dropped, the workers are stopped.
///
/// See the [crate documentation](crate) for what holds of it.
///
/// ```no_run
/// use procall_pool::Pool;
///
/// # async fn f() -> Result<(), procall::Error> {
/// let pool = Pool::spawn("calc.py").workers(4).start().await?;
/// for method in pool.methods() {
///     println!("{}", method.name);
/// }
/// pool.stop().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Pool {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    core: Arc<Core>,
}

impl Pool {
    /// A pool of processes that run this file: Python and JavaScript by their interpreters, TypeScript by tsx or a Node that can, everything
    /// else by itself.
    pub fn spawn(file: impl Into<PathBuf>) -> PoolBuilder {
        PoolBuilder::new(Wanted::File { file: file.into(), interpreter: None, python: None })
    }

    /// A pool of processes that run this command. There is no shell: the arguments arrive as they are.
    ///
    /// ```no_run
    /// use procall_pool::Pool;
    ///
    /// let pool = Pool::command(["uv", "run", "calc.py"]).start().wait()?;
    /// # Ok::<(), procall::Error>(())
    /// ```
    pub fn command<A: Into<OsString>>(argv: impl IntoIterator<Item = A>) -> PoolBuilder {
        PoolBuilder::new(Wanted::Argv(argv.into_iter().map(Into::into).collect()))
    }

    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { handle: Arc::new(Handle { core }) }
    }

    fn core(&self) -> &Arc<Core> {
        &self.handle.core
    }

    /// Starts a call on an idle worker, or queues it for the next one.
    ///
    /// The error is NO_WORKER when all workers have failed, OVERLOADED when the queue is full, UNAVAILABLE when the pool is draining and
    /// CLOSED when it was stopped; the call then never left this process.
    pub fn start_call(&self, request: Request<'_>) -> Result<Started, Error> {
        self.core().start_call(request)
    }

    /// The methods that the workers serve.
    pub fn methods(&self) -> Vec<MethodInfo> {
        Channel::registration(self)
            .map(|registration| registration.methods.clone())
            .unwrap_or_default()
    }

    /// What is known of each worker.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        self.core().workers()
    }

    /// Starts a call on each worker, in the order of the workers: each with its name, and the error where it could not be started.
    /// Those that are busy get theirs when they have room. [`broadcast`](Self::broadcast) is the typed form.
    pub fn start_on_all(&self, request: &Request<'_>) -> Vec<(Arc<str>, Result<Started, Error>)> {
        self.core().start_on_all(request)
    }

    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.core().names()
    }

    /// What was counted of the pool's calls since it was started.
    ///
    /// ```no_run
    /// # fn f(pool: procall_pool::Pool) {
    /// let metrics = pool.metrics();
    /// println!("{} calls, {:.1} % good, p99 {:?}", metrics.total_requests, metrics.success_rate() * 100.0, metrics.latency.p99);
    /// # }
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.core().metrics()
    }

    /// Whether the pool takes calls and has workers for them, and what is wrong.
    pub fn health(&self) -> Health {
        self.core().health()
    }

    /// All there is to know at once: the counts, the health, and each worker.
    ///
    /// ```no_run
    /// # fn f(pool: procall_pool::Pool) {
    /// let stats = pool.stats();
    /// println!("{}; {} calls wait", stats.health, stats.metrics.queue_depth);
    /// # }
    /// ```
    pub fn stats(&self) -> Stats {
        Stats { metrics: self.metrics(), health: self.health(), workers: self.workers() }
    }

    /// Calls that wait for a worker.
    pub fn queued(&self) -> usize {
        self.core().dispatch.lock().queue.len()
    }

    /// Starts one worker anew: it finishes its calls first, unless that takes longer than the finish time-out. A failed one is started
    /// again, and its past is forgotten. The step is done when the worker is ready.
    pub fn restart(&self, index: usize) -> Step {
        let workers = self.core().places();
        if !workers.contains(&index) {
            let message = format!(
                "there is no worker {index}: this pool has {}, counted from 0",
                workers.len()
            );
            return Step::failed(Error::new(ErrorCode::InvalidArgument, message));
        }
        self.ask(|pool, done| Command::Restart { pool, workers: vec![index], done })
    }

    /// Starts all workers anew, one after the other, so that no call is lost.
    pub fn restart_all(&self) -> Step {
        let workers = self.core().places();
        self.ask(|pool, done| Command::Restart { pool, workers, done })
    }

    /// Takes no more calls. The step is done when those there are, the queued ones included, have ended. The workers live on.
    pub fn drain(&self) -> Step {
        self.core().close_gate(Gate::Draining);
        self.ask(|pool, done| Command::Drain { pool, done })
    }

    /// Drains the pool, then ends its workers: their channels are closed, then they are asked by SIGTERM, then killed.
    /// The step is done when nothing of them is left.
    pub fn stop(&self) -> Step {
        let settings = &self.core().settings;
        self.stop_within(settings.finish_timeout, settings.stop_timeout)
    }

    /// The same with other times: for the calls to finish, and for the workers to exit. A second stop can only make the first one shorter.
    pub fn stop_within(&self, finish: Duration, exit: Duration) -> Step {
        self.core().close_gate(Gate::Draining);
        let (finish, exit) = (finish.min(FOREVER), exit.min(FOREVER));
        self.ask(|pool, done| Command::Stop { pool, finish, exit, done })
    }

    fn ask(&self, command: impl FnOnce(u64, crate::step::Outcome) -> Command) -> Step {
        let (step, done) = step(());
        self.core().supervisor.command(command(self.core().id, done));
        step
    }

    /// Whether the pool takes calls: it is not draining, stopping or closed.
    pub fn is_open(&self) -> bool {
        !self.core().is_draining()
    }

    /// Subscribes to what happens to the workers from now on.
    pub fn events(&self) -> Events {
        self.core().audience.subscribe()
    }

    /// The last lines that a worker printed, at most `count`, oldest first. Up to 10 MiB are kept a worker, across its restarts.
    pub fn output_lines(&self, index: usize, count: usize) -> Vec<OutputLine> {
        self.core().ring(index).map(|ring| ring.last(count)).unwrap_or_default()
    }

    /// Has a hub read the connections of all workers, now and later, so that an event loop which watches the hub hears of every reply.
    pub fn attach(&self, hub: &Hub) -> Result<(), Error> {
        self.core().attach(hub)
    }

    /// Ends the pool at once: calls that wait or run end with CLOSED, the workers are ended without waiting for them here.
    pub fn close(&self) {
        self.handle.close();
    }
}

impl Channel for Pool {
    fn start(&self, request: Request<'_>) -> Result<Started, Error> {
        self.start_call(request)
    }

    fn notify(&self, request: Request<'_>) -> Result<(), Error> {
        self.core().notify(request)
    }

    fn registration(&self) -> Option<Arc<Registration>> {
        self.core().dispatch.lock().registration.clone()
    }

    fn metrics(&self) -> Metrics {
        Self::metrics(self)
    }

    fn retry_budgets(&self) -> Option<&RetryBudgets> {
        Some(&self.core().budgets)
    }

    fn arena(&self) -> Option<Arena> {
        self.core().lends().then(|| self.core().arena.clone())
    }

    fn is_lost(&self) -> bool {
        !self.is_open()
    }

    fn close(&self) {
        Self::close(self);
    }
}

impl Handle {
    fn close(&self) -> Option<Step> {
        if !self.core.supervisor.is_here() {
            // A forked child: the workers are its parent's.
            return None;
        }
        self.core.close();
        let (step, done) = step(());
        let pool = self.core.id;
        self.core.supervisor.command(Command::Stop {
            pool,
            finish: Duration::ZERO,
            exit: SHORT,
            done,
        });
        Some(step)
    }
}

impl Drop for Handle {
    /// Waits until the workers are gone, two seconds at most: a program that ends right after this leaves nothing behind.
    fn drop(&mut self) {
        if let Some(mut step) = self.close()
            && !self.core.supervisor.is_current_thread()
        {
            // Whoever is still there then is killed by the supervisor, or by the end of this process.
            let _ = step.wait_at_most(PATIENCE);
        }
    }
}
