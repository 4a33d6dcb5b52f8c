//! What a pool is to be, before it is.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use procall::{Error, ErrorCode, Heartbeat};

use crate::core::{Core, Settings};
use crate::output::{Audience, Event, OnEvent, OnOutput, OutputLine, show};
use crate::policy::{DispatchPolicy, OnCancel, RecyclePolicy, RestartPolicy};
use crate::pool::Pool;
use crate::spawn::{self, OwnTransport, Wanted};
use crate::step::{Step, step};
use crate::supervisor::{Command, Supervisor};
use crate::transport::Transport;
use procall::transport::shm::Choice;

/// Most workers of one pool.
const MAX_WORKERS: usize = 1024;

/// Times are no longer than this, 136 years, so that a clock can count to their end.
pub(crate) const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

/// A pool that is being described. Made by [`Pool::spawn`] or [`Pool::command`], ended by [`PoolBuilder::start`].
///
/// ```no_run
/// use std::time::Duration;
/// use procall_pool::Pool;
///
/// let pool = Pool::spawn("model.py").workers(1).ready_timeout(Duration::from_secs(120)).start().wait()?;
/// # Ok::<(), procall::Error>(())
/// ```
#[must_use = "a pool does nothing before `start`"]
pub struct PoolBuilder {
    wanted: Wanted,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
    name: Option<String>,
    workers: Option<RangeInclusive<usize>>,
    queue: usize,
    settings: Settings,
    on_output: Option<OnOutput>,
    show_output: Option<bool>,
    on_event: Option<OnEvent>,
    transport: Option<OwnTransport>,
    choice: Option<Choice>,
}

impl PoolBuilder {
    /// Calls that wait for the workers of a pool, if not said otherwise, 256; then OVERLOADED.
    pub const QUEUE: usize = 256;
    /// How long a worker may take to be ready, if not said otherwise, 30 s; then SPAWN_FAILED.
    pub const READY_TIMEOUT: Duration = Duration::from_secs(30);
    /// How long a handler may go on with a call that was cancelled before [`OnCancel::Kill`] ends its worker, if not said otherwise, 5 s.
    pub const CANCEL_GRACE: Duration = Duration::from_secs(5);
    /// Bytes of its output that are kept of each worker, 10 MiB; then the oldest go.
    pub const OUTPUT_KEPT: usize = crate::output::MAX_KEPT;
    /// Longest line of its output in bytes, 8 KiB; what is longer becomes several.
    pub const OUTPUT_LINE: usize = crate::output::MAX_LINE;

    pub(crate) fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            name: None,
            workers: None,
            queue: Self::QUEUE,
            settings: Settings {
                concurrency: None,
                ready_timeout: Self::READY_TIMEOUT,
                finish_timeout: Duration::from_secs(10),
                stop_timeout: Duration::from_secs(5),
                restart: RestartPolicy::default(),
                heartbeat: Some(Heartbeat::default()),
                dispatch: DispatchPolicy::default(),
                recycle: RecyclePolicy::default(),
                on_cancel: OnCancel::default(),
                cancel_grace: Self::CANCEL_GRACE,
                hang_timeout: None,
                min_workers: 1,
                idle_timeout: Duration::from_secs(60),
                compression: false,
            },
            on_output: None,
            show_output: None,
            on_event: None,
            transport: None,
            choice: None,
        }
    }

    /// Adds an argument. There is no shell: it arrives as it is.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the workers' environment, which is otherwise this process's own.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The workers' working directory; this process's own without it.
    ///
    /// The program and the arguments of [`Pool::command`] are seen from there, as a shell would have it in that folder. The file of
    /// [`Pool::spawn`], an interpreter's path and this folder itself are seen from where this process is.
    pub fn cwd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cwd = Some(folder.into());
        self
    }

    /// What runs the file, instead of what its extension says: a name on PATH, a path, or the folder of a virtual environment of Python.
    /// A `.ts` file that is given to Node still gets what Node needs for it.
    pub fn interpreter(mut self, program: impl Into<OsString>) -> Self {
        if let Wanted::File { interpreter, .. } = &mut self.wanted {
            *interpreter = Some(program.into());
        }
        self
    }

    /// What runs a `.py` file when no virtual environment is active and none lies beside the file: a name on PATH, or a path. Without it, `python3`.
    ///
    /// ```
    /// use procall_pool::Pool;
    ///
    /// let builder = Pool::spawn("calc.py").default_python("/usr/bin/python3.13");
    /// # let _ = builder;
    /// ```
    pub fn default_python(mut self, program: impl Into<OsString>) -> Self {
        if let Wanted::File { python, .. } = &mut self.wanted {
            *python = Some(program.into());
        }
        self
    }

    /// The pool's name: its workers are called `name/1`, `name/2` and so on. Without it, the name of the file or program.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How many processes; without it as many as this process may use processors (its affinity and cgroup are taken into account). More cost memory each; for a model on one GPU ask for 1.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers..=workers);
        self
    }

    /// An elastic pool: the smaller number of processes is always there. Another one is started when a call has waited for 50 ms, up to the
    /// larger number, and ended again when it has had nothing to do for the [`idle_timeout`](Self::idle_timeout).
    ///
    /// ```no_run
    /// use procall_pool::Pool;
    ///
    /// let pool = Pool::spawn("calc.py").elastic(1..=8).start().wait()?;
    /// # Ok::<(), procall::Error>(())
    /// ```
    pub fn elastic(mut self, workers: RangeInclusive<usize>) -> Self {
        self.workers = Some(workers);
        self
    }

    /// How long a worker beyond the smallest number of an elastic pool may be idle, 60 s.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.idle_timeout = timeout.min(FOREVER);
        self
    }

    /// Which of several workers with room gets the next call; an idle one first by default.
    pub fn dispatch(mut self, policy: DispatchPolicy) -> Self {
        self.settings.dispatch = policy;
        self
    }

    /// When a worker is replaced by a new process although nothing is wrong with it; never by default.
    pub fn recycle(mut self, policy: RecyclePolicy) -> Self {
        self.settings.recycle = policy;
        self
    }

    /// Bounds the calls that wait for a worker, 256. The next one is refused with OVERLOADED and a time after which to try again.
    /// A longer queue hides bursts and makes callers wait longer before they learn of a real overload.
    pub fn queue(mut self, calls: usize) -> Self {
        self.queue = calls;
        self
    }

    /// Calls that one worker gets at once, instead of what it registered; one when it says nothing.
    pub fn concurrency(mut self, calls: u32) -> Self {
        self.settings.concurrency = Some(calls);
        self
    }

    /// How long a worker may take from its start, or from the last line it printed, until it is ready: 30 s.
    /// Then it is killed, and that counts as an exit. Raise it for workers that load a model without printing.
    pub fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.settings.ready_timeout = timeout.min(FOREVER);
        self
    }

    /// How long calls may take to finish when the pool or a worker is stopped or restarted, 10 s. Those that take longer are ended.
    pub fn finish_timeout(mut self, timeout: Duration) -> Self {
        self.settings.finish_timeout = timeout.min(FOREVER);
        self
    }

    /// How long a worker without calls may take to exit, 5 s. Its channel is closed first; it is asked by SIGTERM after a tenth of this
    /// time, and killed at the end of it.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.settings.stop_timeout = timeout.min(FOREVER);
        self
    }

    /// Whether and when a worker that has gone is started again.
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.settings.restart = policy;
        self
    }

    /// When workers are asked for a sign of life: every 5 s, or never with `None`. One that does not answer gets no new calls until it
    /// does; it is not killed for that. Death is seen without heartbeats.
    pub fn heartbeat(mut self, heartbeat: Option<Heartbeat>) -> Self {
        self.settings.heartbeat = heartbeat;
        self
    }

    /// What happens to a worker that goes on with a call which its caller gave up, once the [`cancel_grace`](Self::cancel_grace) is over;
    /// nothing by default.
    ///
    /// With [`OnCancel::Kill`] its workers take one call at a time: another [`concurrency`](Self::concurrency) is refused, and so is a worker
    /// that registers for more, unless `concurrency(1)` is said here.
    pub fn on_cancel(mut self, then: OnCancel) -> Self {
        self.settings.on_cancel = then;
        self
    }

    /// How long a handler may take to heed a cancel, 5 s; then [`OnCancel::Kill`] replaces its worker. Without that it says nothing.
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.settings.cancel_grace = grace.min(FOREVER);
        self
    }

    /// Replaces a worker that hangs: for so long it has not answered a ping, and for so long it has been busy with a call whose deadline has
    /// passed, or that was cancelled. Never with `None`, which is the default. Neither of the two alone ends a worker.
    ///
    /// The ping is a call of `procall.ping`, which is answered by whatever thread of the worker takes calls. A worker of Python without threads
    /// answers none while a handler runs, one with async handlers none while its loop is blocked. Before it is ended, a worker of Python or
    /// Node is asked where it is; its stack comes as lines on standard error, and with the WORKER_LOST of the calls that are lost with it.
    /// Make it longer than the longest work for which nobody waits any more and which should be finished all the same.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use procall_pool::Pool;
    ///
    /// let pool = Pool::spawn("model.py").hang_timeout(Some(Duration::from_secs(60))).start().wait()?;
    /// # Ok::<(), procall::Error>(())
    /// ```
    pub fn hang_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.settings.hang_timeout = timeout.map(|timeout| timeout.min(FOREVER));
        self
    }

    /// Has the workers come over a transport of your own; see [`Transport`].
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(OwnTransport(Arc::new(transport)));
        self
    }

    /// How to talk to the workers: in shared memory, over Unix sockets, or what both sides can. Without it, as
    /// `PROCALL_TRANSPORT` says, which says sockets unless it is set. The workers are told the same by that variable.
    ///
    /// Where a [`transport`](Self::transport) of your own is given, this is about what it falls back to.
    ///
    /// ```no_run
    /// use procall::transport::shm::Choice;
    /// use procall_pool::Pool;
    ///
    /// let pool = Pool::spawn("calc.py").talk_by(Choice::Unix).start().wait()?;
    /// # Ok::<(), procall::Error>(())
    /// ```
    pub fn talk_by(mut self, choice: Choice) -> Self {
        self.choice = Some(choice);
        self
    }

    /// Whether long messages travel compressed between the pool and its workers: off if not said otherwise. The workers are told by the
    /// variable `PROCALL_COMPRESSION`. On one machine it costs more than it saves; it is for workers behind a
    /// [`transport`](Self::transport) of your own.
    ///
    /// ```no_run
    /// use procall_pool::Pool;
    ///
    /// let pool = Pool::spawn("calc.py").compression(true).start().wait()?;
    /// # Ok::<(), procall::Error>(())
    /// ```
    pub fn compression(mut self, compression: bool) -> Self {
        self.settings.compression = compression;
        let said = if compression { "1" } else { "0" };
        self.env(procall::surroundings::COMPRESSION, said)
    }

    /// Whether what workers print goes to this process's standard error, each line with its worker's name before it, in colour on a terminal
    /// unless `NO_COLOR` is set: yes, unless [`on_output`](Self::on_output) takes the lines. Either way the last ones are kept, for errors and
    /// for [`Pool::output_lines`].
    ///
    /// ```no_run
    /// # use procall_pool::Pool;
    /// let quiet = Pool::spawn("calc.py").show_output(false).start().wait()?;
    /// # Ok::<(), procall::Error>(())
    /// ```
    pub fn show_output(mut self, show: bool) -> Self {
        self.show_output = Some(show);
        self
    }

    /// Called with every line that a worker prints, on a thread of its own. When it is slow, the oldest of 4,096 waiting lines are dropped;
    /// the worker never waits for it.
    pub fn on_output(mut self, call: impl FnMut(&OutputLine) + Send + 'static) -> Self {
        self.on_output = Some(Box::new(call));
        self
    }

    /// Called with everything that happens to a worker, on the same thread as [`PoolBuilder::on_output`].
    pub fn on_event(mut self, call: impl FnMut(&Event) + Send + 'static) -> Self {
        self.on_event = Some(Box::new(call));
        self
    }

    /// Starts the workers. The step is done when all of them are ready; it fails with SPAWN_FAILED when one of them fails, with its
    /// reason and its last words. Dropped before, it stops them again.
    ///
    /// Inside a tokio runtime, a task of that runtime reads the workers' connections from then on.
    pub fn start(self) -> Step<Pool> {
        self.try_start().unwrap_or_else(Step::failed)
    }

    fn try_start(self) -> Result<Step<Pool>, Error> {
        let (min, max) = match &self.workers {
            Some(workers) => (*workers.start(), *workers.end()),
            None => {
                let all = std::thread::available_parallelism().map_or(1, Into::into);
                (all, all)
            }
        };
        if min == 0 || max > MAX_WORKERS || min > max {
            let found = if min == max { format!("{min}") } else { format!("{min} to {max}") };
            let message = format!("a pool has 1 to {MAX_WORKERS} workers, not {found}");
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        if self.settings.recycle.max_calls == Some(0) {
            let message =
                "a worker cannot be recycled after 0 calls; leave max_calls out for never";
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        check_ends(&self.settings)?;
        let mut launch = spawn::launch(&self.wanted, &self.args, &self.env, self.cwd.as_deref())?;
        launch.transport = self.transport;
        launch.choice = self.choice;
        if self.settings.hang_timeout.is_some() {
            launch.trace_interrupts();
        }
        let name = self.name.unwrap_or_else(|| self.wanted.name());
        let supervisor = Supervisor::current()?;
        let shown = self.show_output.unwrap_or(self.on_output.is_none());
        let on_output: Option<OnOutput> = match (shown, self.on_output) {
            (false, on_output) => on_output,
            (true, None) => Some(Box::new(show())),
            (true, Some(mut call)) => {
                let mut show = show();
                Some(Box::new(move |line| {
                    show(line);
                    call(line);
                }))
            }
        };
        let audience = Audience::new(on_output, self.on_event).map_err(|error| {
            Error::new(ErrorCode::SpawnFailed, "there is no thread left for the pool's callbacks")
                .with_source(error)
        })?;
        let settings = Settings { min_workers: min, ..self.settings };
        let core = Core::new(&name, max, self.queue, settings, audience, supervisor);
        #[cfg(feature = "tokio")]
        crate::driver::drive(&core);
        let (step, done) = step(Pool::new(core.clone()));
        core.supervisor.command(Command::Start {
            core: core.clone(),
            launch: Box::new(launch),
            done,
        });
        Ok(step)
    }
}

/// What can be wrong with how workers are ended.
fn check_ends(settings: &Settings) -> Result<(), Error> {
    if settings.hang_timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            "a worker cannot hang for no time at all; leave hang_timeout out for never",
        ));
    }
    match settings.concurrency {
        Some(calls) if calls > 1 && settings.on_cancel == OnCancel::Kill => {
            let message = format!(
                "on_cancel = \"kill\" is for workers that take one call at a time, and these take {calls}: the other calls would be lost; make concurrency 1, or leave on_cancel out"
            );
            Err(Error::new(ErrorCode::InvalidArgument, message))
        }
        _ => Ok(()),
    }
}

impl std::fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("wanted", &self.wanted)
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}
