//! Which worker gets which call.
//!
//! An idle worker gets a call at once: the caller claims a slot under the pool's lock and starts the call on that worker's connection.
//! With none free, the call waits in a bounded queue, and whoever frees a slot hands it over.
//! A slot is free when the *worker* is done, which a time-out or a cancel of the caller's does not mean.

mod lease;
mod queue;
mod seat;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use procall::{Connection, Deadline, Error, ErrorCode, Executed, Registration, Request, Started};

pub(crate) use lease::SeatLease;
pub(crate) use seat::{Busyness, Seat};

use queue::{Entry, Queue, QueuedCall};

use crate::core::Core;

/// Longest pause that a full queue asks for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Whether calls are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// New calls are refused, those that wait are still served.
    Draining,
    Closed,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) gate: Gate,
    pub(crate) seats: Vec<Seat>,
    pub(crate) queue: Queue,
    /// What the workers serve, as the last one that became ready told it.
    pub(crate) registration: Option<Arc<Registration>>,
}

/// The pool's lock and what is under it.
#[derive(Debug)]
pub(crate) struct Dispatch {
    state: Mutex<State>,
}

/// A slot of a worker, taken for one call.
struct Claim {
    index: usize,
    generation: u64,
    connection: Connection,
    lease: Arc<SeatLease>,
}

impl Dispatch {
    pub(crate) fn new(seats: Vec<Seat>, queue: usize) -> Self {
        let state = State { gate: Gate::Open, seats, queue: Queue::new(queue), registration: None };
        Self { state: Mutex::new(state) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Starts a call on an idle worker, or queues it.
    pub(crate) fn start_call(self: &Arc<Self>, request: Request<'_>) -> Result<Started, Error> {
        loop {
            let mut state = self.dispatch.lock();
            if state.gate != Gate::Open {
                return Err(state.no_entry());
            }
            let Some(claim) = state.claim() else { return self.enqueue(state, request) };
            drop(state);
            // Without metadata the copy of the request allocates nothing.
            match claim.connection.start_leased(request.clone(), Some(claim.lease)) {
                Ok(pending) => return Ok(pending.into()),
                // The worker went between the claim and now, and the call never reached it: another one may have it.
                Err(error) if is_unreachable(&error) => {
                    self.pass_over(claim.index, claim.generation)
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn enqueue(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        request: Request<'_>,
    ) -> Result<Started, Error> {
        state.check_queue()?;
        let entry = Entry::new(request, procall::remaining(), Instant::now());
        let due = entry.due();
        let cell = entry.cell();
        let number = state.queue.push(entry);
        drop(state);
        if let Some(due) = due {
            self.supervisor.wake_by(due);
        }
        let queued: Box<dyn procall::Queued> =
            Box::new(QueuedCall::new(self.clone(), number, cell));
        Ok(Started::from(queued))
    }

    /// Sends a notification to the least busy worker.
    pub(crate) fn notify(&self, request: Request<'_>) -> Result<(), Error> {
        let connection = {
            let state = self.dispatch.lock();
            if state.gate != Gate::Open {
                return Err(state.no_entry());
            }
            state
                .least_busy(|seat| seat.is_routed())
                .and_then(|index| state.seats[index].connection())
        };
        match connection {
            Some(connection) => connection.notify(request),
            None => Err(self.dispatch.lock().no_worker()),
        }
    }

    /// Gives waiting calls to free workers, as long as there are both.
    pub(crate) fn hand_over(self: &Arc<Self>) {
        let Some(_turn) = lease::Turn::take(self) else { return };
        loop {
            let (number, entry, claim) = {
                let mut state = self.dispatch.lock();
                if state.queue.is_empty() {
                    return;
                }
                let Some(claim) = state.claim() else { return };
                let Some((number, entry)) = state.queue.pop() else { return };
                (number, entry, claim)
            };
            let Some(options) = entry.options_now(Instant::now()) else {
                procall::Lease::release(&*claim.lease);
                entry.resolve(Err(queue::expired()));
                continue;
            };
            let request = Request { method: entry.method(), body: entry.body(), options };
            // The deadline of whatever this thread happens to serve is not this call's.
            let started = procall::with_remaining(None, || {
                claim.connection.start_leased(request, Some(claim.lease))
            });
            match started {
                Err(error) if is_unreachable(&error) => {
                    self.pass_over(claim.index, claim.generation);
                    self.dispatch.lock().queue.put_back(number, entry);
                    self.flush_if_hopeless();
                }
                outcome => entry.resolve(outcome),
            }
        }
    }

    /// No more calls to a worker whose connection refuses them; the supervisor will find out why.
    fn pass_over(&self, index: usize, generation: u64) {
        let mut state = self.dispatch.lock();
        if let Some(seat) = state.seats.get_mut(index).filter(|seat| seat.generation == generation)
        {
            seat.set_routed(false);
        }
        drop(state);
        self.supervisor.nudge(self.id, index);
    }

    /// When no worker will ever come, those who wait are told.
    pub(crate) fn flush_if_hopeless(&self) {
        let entries = {
            let mut state = self.dispatch.lock();
            if !state.is_hopeless() || state.queue.is_empty() {
                return;
            }
            let error = state.no_worker();
            state
                .queue
                .take_all()
                .into_iter()
                .map(|entry| (entry, error.clone()))
                .collect::<Vec<_>>()
        };
        for (entry, error) in entries {
            entry.resolve(Err(error));
        }
    }

    /// Ends every call that waits.
    pub(crate) fn flush(&self, error: &Error) {
        let entries = self.dispatch.lock().queue.take_all();
        for entry in entries {
            entry.resolve(Err(error.clone()));
        }
    }

    /// Ends the calls whose deadline passed while they waited; returns when to come back.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let (expired, next) = self.dispatch.lock().queue.expire(now);
        for entry in expired {
            entry.resolve(Err(queue::expired()));
        }
        next
    }
}

impl State {
    /// Takes a slot of the least busy worker that has one.
    fn claim(&mut self) -> Option<Claim> {
        let index = self.least_busy(Seat::has_room)?;
        let seat = &mut self.seats[index];
        let (connection, lease) = seat.claim()?;
        Some(Claim { index, generation: seat.generation, connection, lease })
    }

    fn least_busy(&self, fits: impl Fn(&Seat) -> bool) -> Option<usize> {
        let fitting = self.seats.iter().enumerate().filter(|(_, seat)| fits(seat));
        fitting.min_by_key(|(_, seat)| seat.in_flight()).map(|(index, _)| index)
    }

    /// Whether no worker will come by itself any more.
    fn is_hopeless(&self) -> bool {
        self.seats
            .iter()
            .all(|seat| matches!(seat.busyness(), Busyness::Failed | Busyness::Stopped))
    }

    /// Nothing waits and no worker is busy.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.seats.iter().all(|seat| seat.in_flight() == 0)
    }

    fn check_queue(&mut self) -> Result<(), Error> {
        if self.is_hopeless() {
            return Err(self.no_worker());
        }
        if self.queue.is_full() {
            let waiting = self.queue.len();
            return Err(Error::new(
                ErrorCode::Overloaded,
                format!("{waiting} calls wait for a worker already"),
            )
            .with_retry_after(self.queue.pause().min(MAX_RETRY_AFTER)));
        }
        Ok(())
    }

    fn no_entry(&self) -> Error {
        match self.gate {
            Gate::Draining => {
                Error::new(ErrorCode::Unavailable, "the pool is draining and takes no new calls")
            }
            _ => Error::new(ErrorCode::Closed, "the pool was stopped"),
        }
    }

    fn no_worker(&self) -> Error {
        let failed: Vec<&Seat> =
            self.seats.iter().filter(|seat| seat.busyness() == Busyness::Failed).collect();
        match failed.first() {
            Some(seat) => {
                let error = Error::new(
                    ErrorCode::NoWorker,
                    format!(
                        "{} of {} workers have failed; {}",
                        failed.len(),
                        self.seats.len(),
                        seat.reason()
                    ),
                );
                error.with_worker(&*seat.name).with_trace(seat.last_words())
            }
            None => Error::new(ErrorCode::NoWorker, "no worker is ready"),
        }
    }
}

/// Whether a refusal means that this worker cannot be reached, and that the call was not handed over.
fn is_unreachable(error: &Error) -> bool {
    error.executed() == Executed::No
        && matches!(
            error.code(),
            ErrorCode::ConnectionLost
                | ErrorCode::WorkerLost
                | ErrorCode::Unavailable
                | ErrorCode::Closed
        )
}

/// The time a request has, and whether that covers a stream as a whole; as a connection would reckon.
fn time_of(deadline: Deadline, inherited: Option<Duration>) -> (Option<Duration>, bool) {
    let (own, opening) = match deadline {
        Deadline::Default => (Some(Duration::from_secs(30)), true),
        Deadline::Opening(time) => (Some(time), true),
        Deadline::After(time) => (Some(time), false),
        Deadline::Never => (None, false),
    };
    match (own, inherited) {
        (Some(own), Some(inherited)) if inherited < own => (Some(inherited), false),
        (Some(own), _) => (Some(own), opening),
        (None, inherited) => (inherited, false),
    }
}
