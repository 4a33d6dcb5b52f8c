//! One pool: its workers, and what was asked of it as a whole.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procall::{Error, ErrorCode};

use super::leaving::Then;
use super::watch::Watch;
use super::worker::{Scene, Stage, Worker};
use crate::core::Core;
use crate::dispatch::Gate;
use crate::output::Outlet;
use crate::policy::Cause;
use crate::spawn::Launch;
use crate::step::Outcome;

/// How long the end of a pool waits for slow callbacks to have heard the last lines.
const LAST_WORDS: Duration = Duration::from_millis(250);
const LAST_WORDS_LOOK: Duration = Duration::from_millis(5);

pub(super) struct Room {
    pub(super) core: Arc<Core>,
    launch: Launch,
    pub(super) workers: Vec<Worker>,
    /// Who waits for the first start.
    starting: Option<Outcome>,
    /// Goes since the pool was started and none was ready.
    unready: u32,
    /// Restarts that were asked for; the first is under way.
    orders: VecDeque<Order>,
    draining: Vec<Outcome>,
    pub(super) stopping: Option<Stopping>,
}

/// Workers to be restarted one after the other.
struct Order {
    left: VecDeque<usize>,
    current: Option<usize>,
    /// Whoever waits for it, and nobody for one that the pool gave itself.
    done: Option<Outcome>,
    /// Why the pool wants it, and of which process.
    cause: Option<(u64, Cause)>,
}

pub(super) struct Stopping {
    finish_by: Instant,
    exit: Duration,
    done: Vec<Outcome>,
    /// The workers were told.
    dismissed: bool,
    /// All are gone; callbacks may take until then.
    over: Option<Instant>,
}

impl Room {
    pub(super) fn open(
        core: Arc<Core>,
        launch: Launch,
        done: Outcome,
        watch: &mut Watch,
        now: Instant,
    ) -> Self {
        let names: Vec<Arc<str>> =
            core.dispatch.lock().seats.iter().map(|seat| seat.name.clone()).collect();
        let workers = names
            .into_iter()
            .enumerate()
            .map(|(index, name)| {
                let needed = index < core.settings.min_workers;
                let stage = if needed { Stage::Stopped } else { Stage::Spare };
                Worker::new(index, name, core.supervisor.waker(core.id, index), stage)
            })
            .collect();
        let mut room = Self {
            core,
            launch,
            workers,
            starting: Some(done),
            unready: 0,
            orders: VecDeque::new(),
            draining: Vec::new(),
            stopping: None,
        };
        room.each(watch, now, |worker, scene| {
            if matches!(worker.stage, Stage::Stopped) {
                worker.start(scene);
            }
        });
        room
    }

    pub(super) fn id(&self) -> u64 {
        self.core.id
    }

    /// Whether nothing is left of it.
    pub(super) fn is_over(&self) -> bool {
        self.stopping
            .as_ref()
            .is_some_and(|stopping| stopping.done.is_empty() && stopping.over.is_some())
    }

    fn each(
        &mut self,
        watch: &mut Watch,
        now: Instant,
        mut act: impl FnMut(&mut Worker, &mut Scene<'_>),
    ) {
        for worker in &mut self.workers {
            act(worker, &mut Scene { core: &self.core, launch: &self.launch, watch, now });
        }
    }

    pub(super) fn one(
        &mut self,
        index: usize,
        watch: &mut Watch,
        now: Instant,
        act: impl FnOnce(&mut Worker, &mut Scene<'_>),
    ) {
        if let Some(worker) = self.workers.get_mut(index) {
            act(worker, &mut Scene { core: &self.core, launch: &self.launch, watch, now });
        }
    }

    // ---- what happens

    pub(super) fn handle_nudge(&mut self, index: usize, watch: &mut Watch, now: Instant) {
        self.one(index, watch, now, Worker::look);
    }

    pub(super) fn handle_output(
        &mut self,
        index: usize,
        outlet: Outlet,
        watch: &mut Watch,
        now: Instant,
    ) {
        self.one(index, watch, now, |worker, scene| worker.handle_output(scene, outlet));
    }

    pub(super) fn handle_exit(&mut self, index: usize, watch: &mut Watch, now: Instant) {
        let closing = self.stopping.as_ref().is_some_and(|stopping| stopping.dismissed);
        let mut unready = false;
        self.one(index, watch, now, |worker, scene| {
            unready = worker.process.as_ref().is_some_and(|process| !process.was_ready);
            worker.handle_exit(scene);
            if closing && worker.process.is_none() && !matches!(worker.stage, Stage::Stopped) {
                worker.be_stopped(scene);
            }
        });
        self.unready += u32::from(unready);
    }

    /// Does what is due; returns when to come back.
    pub(super) fn handle_time(&mut self, watch: &mut Watch, now: Instant) -> Option<Instant> {
        // First, since a queue that this empties may be what a drain waits for.
        let queue_due = self.core.expire(now);
        let mut due = None;
        self.each(watch, now, Worker::handle_time);
        self.go_on_starting();
        self.go_on_restarting(watch, now);
        self.go_on_draining();
        let scale_due = self.go_on_scaling(watch, now);
        let stop_due = self.go_on_stopping(watch, now);
        self.each(watch, now, |worker, scene| {
            due = [due, worker.due(scene)].into_iter().flatten().min();
        });
        [due, queue_due, scale_due, stop_due].into_iter().flatten().min()
    }

    // ---- what was asked for

    /// Tells who started the pool how it went.
    fn go_on_starting(&mut self) {
        if self.starting.is_none() {
            return;
        }
        let there = |worker: &Worker| matches!(worker.stage, Stage::Ready | Stage::Spare);
        if self.workers.iter().all(there) {
            self.finish_start(Ok(()));
            return;
        }
        let limit = self.core.settings.restart.max_unready.max(1);
        let none_ready = !self.workers.iter().any(|worker| matches!(worker.stage, Stage::Ready));
        let hopeless = none_ready && self.unready >= limit;
        let lost = self.workers.iter().find(|worker| {
            matches!(worker.stage, Stage::Failed)
                || worker.unfit
                || (hopeless && worker.failure.is_some())
        });
        if let Some(worker) = lost {
            let error =
                worker.failure.clone().unwrap_or_else(|| self.launch.failed("it was never ready"));
            let message = format!("{} (command: `{}`)", error.message(), self.launch.words());
            let mut told = Error::new(ErrorCode::SpawnFailed, message).with_worker(&*worker.name);
            if let Some(trace) = error.trace() {
                told = told.with_trace(trace);
            }
            self.finish_start(Err(told));
        }
    }

    fn finish_start(&mut self, outcome: Result<(), Error>) {
        if let Some(starting) = self.starting.take() {
            starting.set(outcome);
        }
    }

    pub(super) fn restart(&mut self, workers: Vec<usize>, done: Outcome) {
        if self.stopping.is_some() {
            // Dropped, `done` says so. A worker that came back now would never be told to go.
            return;
        }
        let (done, cause) = (Some(done), None);
        self.orders.push_back(Order { left: workers.into(), current: None, done, cause });
    }

    /// Has a worker replaced: one that is stuck at once, others when it is their turn, so that no more than one is away.
    pub(super) fn replace(
        &mut self,
        index: usize,
        generation: u64,
        cause: Cause,
        watch: &mut Watch,
        now: Instant,
    ) {
        if self.stopping.is_some() {
            return;
        }
        if cause == Cause::Overrun {
            return self.replace_now(index, generation, cause, watch, now);
        }
        let cause = Some((generation, cause));
        self.orders.push_back(Order { left: [index].into(), current: None, done: None, cause });
    }

    fn replace_now(
        &mut self,
        index: usize,
        generation: u64,
        cause: Cause,
        watch: &mut Watch,
        now: Instant,
    ) {
        let current = self.core.dispatch.lock().seats.get(index).map(|seat| seat.generation);
        if current == Some(generation) {
            self.one(index, watch, now, |worker, scene| {
                if matches!(worker.stage, Stage::Ready) {
                    worker.be_replaced(scene, cause);
                }
            });
        }
    }

    fn go_on_restarting(&mut self, watch: &mut Watch, now: Instant) {
        let settings = &self.core.settings;
        let (finish, exit) = (settings.finish_timeout, settings.stop_timeout);
        while let Some(order) = self.orders.front_mut() {
            if let Some(worker) = order.current.and_then(|index| self.workers.get(index)) {
                match &worker.stage {
                    Stage::Ready => order.current = None,
                    // The load went down meanwhile.
                    Stage::Spare => order.current = None,
                    Stage::Failed | Stage::Stopped => {
                        let error = worker.failure.clone();
                        let error = error.unwrap_or_else(|| {
                            Error::new(ErrorCode::Closed, "the worker was stopped")
                        });
                        if let Some(done) = self.orders.pop_front().and_then(|order| order.done) {
                            done.set(Err(error));
                        }
                        continue;
                    }
                    _ => return,
                }
            }
            match order.left.pop_front() {
                Some(index) => {
                    order.current = Some(index);
                    if let Some((generation, cause)) = order.cause {
                        self.replace_now(index, generation, cause, watch, now);
                        continue;
                    }
                    self.one(index, watch, now, |worker, scene| {
                        worker.history.forget();
                        worker.dismiss(scene, Then::Restart, finish, exit);
                    });
                }
                None => {
                    if let Some(done) = self.orders.pop_front().and_then(|order| order.done) {
                        done.set(Ok(()));
                    }
                }
            }
        }
    }

    pub(super) fn drain(&mut self, done: Outcome) {
        self.draining.push(done);
    }

    fn go_on_draining(&mut self) {
        if !self.draining.is_empty() && self.core.dispatch.lock().is_idle() {
            self.draining.drain(..).for_each(|done| done.set(Ok(())));
        }
    }

    pub(super) fn stop(&mut self, finish: Duration, exit: Duration, done: Outcome, now: Instant) {
        // Whoever waits for a start or a restart now waits in vain.
        self.starting = None;
        self.orders.clear();
        match &mut self.stopping {
            Some(stopping) => {
                stopping.finish_by = stopping.finish_by.min(now + finish);
                // Told again, they get the shorter time.
                stopping.dismissed &= stopping.exit <= exit;
                stopping.exit = stopping.exit.min(exit);
                stopping.done.push(done);
            }
            None => {
                let (dismissed, over) = (false, None);
                self.stopping = Some(Stopping {
                    finish_by: now + finish,
                    exit,
                    done: vec![done],
                    dismissed,
                    over,
                });
            }
        }
    }

    fn go_on_stopping(&mut self, watch: &mut Watch, now: Instant) -> Option<Instant> {
        let stopping = self.stopping.as_mut()?;
        let idle = self.core.dispatch.lock().is_idle();
        if !stopping.dismissed {
            if !idle && now < stopping.finish_by {
                return Some(stopping.finish_by);
            }
            stopping.dismissed = true;
            let exit = stopping.exit;
            self.core.close_gate(Gate::Closed);
            self.core.flush(&Error::new(
                ErrorCode::Unavailable,
                "the pool was stopped before a worker was free",
            ));
            self.each(watch, now, |worker, scene| {
                if !matches!(worker.stage, Stage::Stopped) {
                    worker.dismiss(scene, Then::Stop, Duration::ZERO, exit);
                }
            });
        }
        if !self
            .workers
            .iter()
            .all(|worker| matches!(worker.stage, Stage::Stopped) && worker.process.is_none())
        {
            return None;
        }
        self.core.audience.close();
        self.core.detach();
        let stopping = self.stopping.as_mut()?;
        let over = *stopping.over.get_or_insert(now + LAST_WORDS);
        if !self.core.audience.is_quiet() && now < over {
            return Some(now + LAST_WORDS_LOOK);
        }
        self.draining.drain(..).for_each(|done| done.set(Ok(())));
        stopping.done.drain(..).for_each(|done| done.set(Ok(())));
        None
    }
}
