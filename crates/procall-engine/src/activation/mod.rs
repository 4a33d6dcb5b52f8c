//! Services whose workers the engine starts itself: when it starts, or when somebody calls them.

mod attached;
mod idle;
mod spec;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use procall::{Error, ErrorCode, Executed};
use procall_pool::Pool;
use tokio::sync::{Notify, watch as channel};
use tokio::task::JoinHandle;

pub use spec::{Program, ServiceSpec, StartWhen};
pub(crate) use watch::Watch;
pub use watch::{ServiceNews, ServiceState};

use crate::core::{Core, Phase};
use crate::workers::Seen;
use attached::Attached;

/// How long workers without calls may take to exit.
const EXIT: Duration = Duration::from_secs(5);
/// The same while nobody waits for their end.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The services of an engine, in the order in which they were named.
#[derive(Debug, Default)]
pub(crate) struct Activation {
    services: Vec<(channel::Sender<bool>, JoinHandle<()>)>,
}

impl Activation {
    /// Knows the services from now on, and starts those that start with the engine.
    pub(crate) fn start(core: &Arc<Core>, specs: Vec<ServiceSpec>, watch: &Watch) -> Self {
        let mut services = Vec::new();
        for (index, spec) in specs.into_iter().enumerate() {
            let wake = Arc::new(Notify::new());
            let seen = Seen::new(&*spec.name);
            core.declare(&seen, &spec.name, &spec.methods, wake.clone());
            let (stop, told) = channel::channel(false);
            let service = Service {
                core: core.clone(),
                index,
                spec,
                wake,
                watch: watch.clone(),
                seen,
                failures: 0,
            };
            services.push((stop, tokio::spawn(service.run(told))));
        }
        Self { services }
    }

    /// Stops the services, the last one first, and waits until nothing of their workers is left.
    pub(crate) async fn stop(mut self) {
        for (stop, task) in self.services.drain(..).rev() {
            // One that has ended needs no telling; its panic was told already.
            let _ = stop.send(true);
            let _ = task.await;
        }
    }
}

impl Drop for Activation {
    /// Dropped without a stop, the pools end with their tasks.
    fn drop(&mut self) {
        self.services.iter().for_each(|(_, task)| task.abort());
    }
}

/// One service and whoever starts it.
struct Service {
    core: Arc<Core>,
    index: usize,
    spec: ServiceSpec,
    wake: Arc<Notify>,
    watch: Watch,
    /// What is known of its workers, and the pool while there is one.
    seen: Seen,
    /// Starts in a row that failed.
    failures: u32,
}

/// Why a service does not run any longer.
enum Over {
    Told,
    Idle,
    Broken(Error),
}

impl Drop for Service {
    /// The pool ends with its task, although others know of it.
    fn drop(&mut self) {
        self.seen.show(None);
    }
}

impl Service {
    async fn run(mut self, mut told: channel::Receiver<bool>) {
        let stop = async move {
            // Nobody to tell it any more means the same.
            let _ = told.wait_for(|stop| *stop).await;
        };
        let mut stop = std::pin::pin!(stop);
        let mut wanted = self.spec.start == StartWhen::Boot;
        loop {
            if !wanted {
                tokio::select! {
                    () = self.wanted() => {}
                    () = &mut stop => return,
                }
            }
            if self.core.starting(&self.spec.name) {
                self.failures = 0;
            }
            self.tell(&ServiceState::Starting);
            let started = tokio::select! {
                started = self.start() => started,
                // Dropping a start undoes it.
                () = &mut stop => return,
            };
            let broken = match started {
                Ok((pool, attached, trouble)) => {
                    self.failures = 0;
                    let over = tokio::select! {
                        over = self.serve(&pool, &attached, &trouble) => over,
                        () = &mut stop => Over::Told,
                    };
                    let why = match &over {
                        Over::Told => "the engine stops",
                        Over::Idle => "nobody called it",
                        Over::Broken(_) => "its workers have failed",
                    };
                    self.phase(Phase::Stopping, &ServiceState::Stopping { why });
                    attached.end(&self.core, &pool).await;
                    self.seen.show(None);
                    match over {
                        Over::Told => return self.phase(Phase::Asleep, &ServiceState::Asleep),
                        Over::Idle => None,
                        Over::Broken(error) => Some(error),
                    }
                }
                Err(error) => Some(error),
            };
            match broken {
                None => {
                    self.phase(Phase::Asleep, &ServiceState::Asleep);
                    wanted = self.core.is_wanted(&self.spec.name);
                }
                Some(error) => {
                    let pause = self.failed(error);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.wanted_anew() => {}
                        () = &mut stop => return,
                    }
                    // Calls that wait for longer than this are why it is tried again; without any, the next one will be.
                    wanted =
                        self.spec.start == StartWhen::Boot || self.core.is_wanted(&self.spec.name);
                    if !wanted {
                        self.core.set_phase(&self.spec.name, Phase::Asleep);
                    }
                }
            }
        }
    }

    /// Waits until a call waits for it.
    async fn wanted(&self) {
        while !self.core.is_wanted(&self.spec.name) {
            self.wake.notified().await;
        }
    }

    /// Waits until somebody wants it before its pause is over.
    async fn wanted_anew(&self) {
        while !self.core.is_wanted_anew(&self.spec.name) {
            self.wake.notified().await;
        }
    }

    async fn start(&self) -> Result<(Pool, Attached, Arc<Notify>), Error> {
        let trouble = Arc::new(Notify::new());
        let pool =
            self.spec.pool(self.index, (&self.watch, &self.seen), trouble.clone()).start().await?;
        match Attached::new(&self.core, &self.spec, &pool).await {
            Ok(attached) => {
                self.seen.show(Some(pool.clone()));
                self.core.awake(&self.spec.name);
                let state = ServiceState::Running {
                    methods: attached.methods.clone(),
                    workers: pool.workers().len(),
                };
                self.tell(&state);
                Ok((pool, attached, trouble))
            }
            Err(error) => {
                // It was not stopped before, so it can be.
                let _ = pool.stop_within(Duration::ZERO, AT_ONCE).await;
                Err(error)
            }
        }
    }

    /// Looks on while it runs.
    async fn serve(&self, pool: &Pool, attached: &Attached, trouble: &Notify) -> Over {
        let idle = async {
            match self.spec.idle_timeout {
                Some(timeout) => idle::wait(&self.core, attached.number, timeout).await,
                None => std::future::pending().await,
            }
        };
        let broken = async {
            loop {
                trouble.notified().await;
                if let Some(error) = spec::broken(pool) {
                    return error;
                }
            }
        };
        tokio::select! {
            () = idle => Over::Idle,
            error = broken => Over::Broken(error),
        }
    }

    /// Tells those who wait why it does not run; gives the pause before it is tried again.
    fn failed(&mut self, error: Error) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let doubled = self.spec.restart.backoff.saturating_mul(1 << (self.failures - 1).min(16));
        let pause = doubled.min(self.spec.restart.max_backoff);
        let name = &self.spec.name;
        let message = format!("{name} does not run: {}", error.message());
        let mut why = Error::new(ErrorCode::NoWorker, message).with_executed(Executed::No);
        if let Some(words) = error.trace() {
            why = why.with_trace(words);
        }
        self.core.not_started(name, &why.with_retry_after(pause), Instant::now() + pause);
        self.tell(&ServiceState::Failed { why: error, again: pause });
        pause
    }

    fn phase(&self, phase: Phase, state: &ServiceState) {
        self.core.set_phase(&self.spec.name, phase);
        self.tell(state);
    }

    fn tell(&self, state: &ServiceState) {
        self.watch.tell(&self.core, self.index, &self.spec.name, state);
    }
}
