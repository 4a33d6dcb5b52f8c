//! What a pool's handles, its leases and the supervisor share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use procall::{Arena, Connection, Error, Heartbeat, Hub, Meter, Metrics, RetryBudgets};

use crate::dispatch::{Author, Before, Busyness, Dispatch, Gate, Seat};
use crate::info::{Health, WorkerInfo, WorkerState};
use crate::output::{Audience, Event, Happening, Outlet, OutputLine, Ring};
use crate::policy::{DispatchPolicy, RecyclePolicy, RestartPolicy};
use crate::supervisor::Supervisor;

/// What of a pool's settings is needed while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) concurrency: Option<u32>,
    pub(crate) ready_timeout: std::time::Duration,
    pub(crate) finish_timeout: std::time::Duration,
    pub(crate) stop_timeout: std::time::Duration,
    pub(crate) restart: RestartPolicy,
    pub(crate) heartbeat: Option<Heartbeat>,
    pub(crate) dispatch: DispatchPolicy,
    pub(crate) recycle: RecyclePolicy,
    /// Workers that are kept at least; the rest come and go with the load.
    pub(crate) min_workers: usize,
    pub(crate) idle_timeout: std::time::Duration,
    /// Whether long messages are to travel compressed.
    pub(crate) compression: bool,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) id: u64,
    pub(crate) settings: Settings,
    pub(crate) dispatch: Dispatch,
    /// Counts the calls of the pool, on whichever connection they are.
    pub(crate) meter: Arc<Meter>,
    pub(crate) budgets: RetryBudgets,
    /// Where large arrays lie that its workers are lent.
    pub(crate) arena: Arena,
    pub(crate) audience: Arc<Audience>,
    pub(crate) supervisor: Arc<Supervisor>,
    rings: Vec<Mutex<Ring>>,
    hubs: Mutex<Vec<Hub>>,
    /// The task that turns one of them.
    #[cfg(feature = "tokio")]
    task: Mutex<Option<tokio::task::AbortHandle>>,
}

impl Core {
    pub(crate) fn new(
        name: &str,
        workers: usize,
        queue: usize,
        settings: Settings,
        audience: Arc<Audience>,
        supervisor: Arc<Supervisor>,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let seat = |number| {
            let needed = number <= settings.min_workers;
            let busyness = if needed { Busyness::Starting } else { Busyness::Spare };
            Seat::new(format!("{name}/{number}").into(), busyness)
        };
        let seats = (1..=workers).map(seat).collect();
        let elastic = settings.min_workers < workers;
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            dispatch: Dispatch::new(seats, queue, settings.dispatch, elastic),
            settings,
            meter: Arc::default(),
            budgets: RetryBudgets::default(),
            arena: Arena::new(),
            audience,
            supervisor,
            rings: (0..workers).map(|_| Mutex::default()).collect(),
            hubs: Mutex::default(),
            #[cfg(feature = "tokio")]
            task: Mutex::default(),
        })
    }

    /// Whether a worker can be lent memory.
    pub(crate) fn lends(&self) -> bool {
        let connections: Vec<_> =
            self.dispatch.lock().seats.iter().filter_map(Seat::connection).collect();
        connections.iter().any(|connection| connection.arena().is_some())
    }

    /// Takes no more calls. A gate never opens again.
    pub(crate) fn close_gate(&self, to: Gate) {
        let mut state = self.dispatch.lock();
        if state.gate != Gate::Closed {
            state.gate = to;
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.dispatch.lock().gate != Gate::Open
    }

    /// A call has left the queue, which may have been the last that a drain waits for.
    pub(crate) fn nudge_drain(&self) {
        if self.is_draining() {
            self.supervisor.nudge(self.id, 0);
        }
    }

    pub(crate) fn ring(&self, index: usize) -> Option<MutexGuard<'_, Ring>> {
        self.rings.get(index).map(|ring| ring.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// See [`Seat::before_reading`].
    pub(crate) fn before_reading(&self, index: usize) -> Option<Before> {
        self.dispatch.lock().seats.get(index)?.before_reading()
    }

    /// See [`Seat::author`].
    pub(crate) fn author(
        &self,
        index: usize,
        outlet: Outlet,
        before: Before,
        emptied: bool,
    ) -> Option<Author> {
        self.dispatch.lock().seats.get_mut(index)?.author(outlet, before, emptied)
    }

    pub(crate) fn line(&self, index: usize, line: OutputLine) {
        let line = Arc::new(line);
        if let Some(mut ring) = self.ring(index) {
            ring.push(line.clone());
        }
        self.audience.line(&line);
    }

    pub(crate) fn last_words(&self, index: usize, pid: u32) -> String {
        /// Lines that go with an error.
        const LINES: usize = 20;
        self.ring(index).map(|ring| ring.last_words(pid, LINES)).unwrap_or_default()
    }

    pub(crate) fn event(&self, index: usize, happening: Happening) {
        let pid = self.dispatch.lock().seats.get(index).and_then(|seat| seat.pid);
        self.event_of(index, pid, happening);
    }

    pub(crate) fn event_of(&self, index: usize, pid: Option<u32>, happening: Happening) {
        let worker = match self.dispatch.lock().seats.get(index) {
            Some(seat) => seat.name.clone(),
            None => return,
        };
        self.audience.event(Event { worker, index, pid, happening });
    }

    /// Has a hub read every connection, those to come included.
    pub(crate) fn attach(&self, hub: &Hub) -> Result<(), Error> {
        // Held until all are attached: a worker that becomes ready meanwhile waits for its turn below.
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        let present: Vec<Connection> =
            self.dispatch.lock().seats.iter().filter_map(Seat::connection).collect();
        for connection in present {
            hub.attach(&connection)?;
        }
        hubs.push(hub.clone());
        Ok(())
    }

    /// Does `publish` once every hub reads the connection, so that no hub misses it.
    pub(crate) fn publish(&self, connection: &Connection, publish: impl FnOnce()) {
        let hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        for hub in hubs.iter() {
            // Out of descriptors: the standby thread still reads it, a little later.
            let _ = hub.attach(connection);
        }
        publish();
    }

    /// No hub is held by a pool that has stopped.
    pub(crate) fn detach(&self) {
        self.hubs.lock().unwrap_or_else(PoisonError::into_inner).clear();
        #[cfg(feature = "tokio")]
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn drive_with(&self, task: tokio::task::AbortHandle) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Takes no more calls and ends all there are, on this thread.
    pub(crate) fn close(&self) {
        let connections: Vec<Connection> = {
            let mut state = self.dispatch.lock();
            state.gate = Gate::Closed;
            state.seats.iter().filter_map(Seat::connection).collect()
        };
        self.flush(&Error::new(procall::ErrorCode::Closed, "the pool was closed"));
        for connection in connections {
            connection.close();
        }
    }

    pub(crate) fn workers(&self) -> Vec<WorkerInfo> {
        let state = self.dispatch.lock();
        let used = state.seats.iter().enumerate().filter(|(_, seat)| seat.is_in_use());
        let workers = used.map(|(index, seat)| {
            let state = match seat.busyness() {
                Busyness::Starting => WorkerState::Starting,
                Busyness::Ready if seat.in_flight() > 0 => WorkerState::Busy,
                Busyness::Ready => WorkerState::Ready,
                Busyness::Draining => WorkerState::Draining,
                Busyness::Backoff => WorkerState::Backoff,
                Busyness::Failed => WorkerState::Failed,
                Busyness::Stopped | Busyness::Spare => WorkerState::Stopped,
            };
            let info = WorkerInfo {
                index,
                name: seat.name.clone(),
                pid: seat.pid,
                state,
                calls: seat.calls,
                in_flight: seat.in_flight(),
                restarts: seat.restarts,
                last_exit: seat.last_exit.clone(),
                uptime: seat.since().map(|since| since.elapsed()),
                round_trip: None,
                memory: None,
            };
            (info, seat.connection())
        });
        let workers: Vec<_> = workers.collect();
        drop(state);
        // A connection's lock is not taken under the pool's.
        let complete = |(mut info, connection): (WorkerInfo, Option<Connection>)| {
            info.round_trip = connection.and_then(|connection| connection.round_trip());
            info.memory = info.pid.and_then(crate::spawn::resident_memory);
            info
        };
        workers.into_iter().map(complete).collect()
    }

    /// What was counted of the pool's calls.
    pub(crate) fn metrics(&self) -> Metrics {
        let mut metrics = self.meter.metrics();
        metrics.retries = self.budgets.retries();
        let state = self.dispatch.lock();
        metrics.queue_depth = state.queue.len();
        metrics.restarts = state.seats.iter().map(|seat| seat.restarts).sum();
        metrics
    }

    /// Whether all is well, and if not, what is not.
    pub(crate) fn health(&self) -> Health {
        let state = self.dispatch.lock();
        let used: Vec<&Seat> = state.seats.iter().filter(|seat| seat.is_in_use()).collect();
        let ready = used.iter().filter(|seat| seat.is_routed()).count();
        let problem = |seat: &&Seat| {
            let what = match seat.busyness() {
                Busyness::Failed => format!("has failed: {}", seat.reason()),
                Busyness::Backoff => {
                    let how = seat.last_exit.as_deref().unwrap_or("could not be started");
                    format!("{how} and will be started again")
                }
                Busyness::Ready if !seat.is_routed() => "does not answer".to_owned(),
                _ => return None,
            };
            Some(format!("{} {what}", seat.name))
        };
        let problems = used.iter().filter_map(problem).collect();
        Health { open: state.gate == Gate::Open, ready, workers: used.len(), problems }
    }
}
