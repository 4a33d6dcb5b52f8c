//! Which worker gets which call.
//!
//! A worker with room gets a call at once: the caller claims a slot under the pool's lock and starts the call on that worker's connection.
//! With none free, the call waits in a bounded queue, and whoever frees a slot hands it over.
//! A slot is free when the *worker* is done, which a time-out or a cancel of the caller's does not mean.

mod cycles;
mod lease;
mod queue;
mod route;
mod seat;
mod speaker;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use procall::{
    CallOptions, Chain, Connection, Error, ErrorCode, Executed, Lease, Registration, Request,
    Started,
};

pub(crate) use lease::SeatLease;
pub(crate) use seat::{Busyness, Seat};
pub(crate) use speaker::{Author, Before, Outlets};

use lease::CallLease;
use queue::{Entry, Queue, QueuedCall};
use route::{Pins, Route};

use crate::core::Core;
use crate::policy::{Cause, DispatchPolicy};
use crate::supervisor::Command;

/// Longest pause that a full queue asks for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);

/// How long a call may wait for a worker before an elastic pool starts another one.
pub(crate) const GROW_AFTER: Duration = Duration::from_millis(50);

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
    policy: DispatchPolicy,
    last_picked: usize,
    pins: Pins,
    /// Keys of calls that have a slot and are being started. The next call with the key waits until they are, so that another thread does not
    /// overtake the one that starts them.
    starting: Vec<u64>,
    /// Workers come and go with the load.
    elastic: bool,
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
    /// What had been lost at the place by then.
    losses: u64,
    connection: Connection,
    lease: Arc<SeatLease>,
    /// Calls that this process was given, this one included.
    served: u64,
    /// No other call was running there.
    alone: bool,
}

/// A slot as the seat gives it.
struct Claimed {
    connection: Connection,
    lease: Arc<SeatLease>,
    served: u64,
    alone: bool,
}

impl Claim {
    /// Where the call's number goes when what it prints can be told to be its own.
    fn number(&self) -> Option<&AtomicU64> {
        self.alone.then(|| self.lease.number())
    }
}

impl Dispatch {
    pub(crate) fn new(
        seats: Vec<Seat>,
        queue: usize,
        policy: DispatchPolicy,
        elastic: bool,
    ) -> Self {
        // The first one picked is the one after the last.
        let last_picked = seats.len() - 1;
        let state = State {
            gate: Gate::Open,
            seats,
            queue: Queue::new(queue),
            registration: None,
            policy,
            last_picked,
            pins: Pins::default(),
            starting: Vec::new(),
            elastic,
        };
        Self { state: Mutex::new(state) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Starts a call on a worker with room, or queues it.
    pub(crate) fn start_call(self: &Arc<Self>, request: Request<'_>) -> Result<Started, Error> {
        self.meter.begin();
        let started = self.try_start_call(request);
        if started.is_err() {
            self.meter.refuse();
        }
        started
    }

    fn try_start_call(self: &Arc<Self>, mut request: Request<'_>) -> Result<Started, Error> {
        Chain::note(&mut request.options);
        loop {
            let mut state = self.dispatch.lock();
            if state.gate != Gate::Open {
                return Err(state.no_entry());
            }
            let route = state.route(&request.options)?;
            let Some(claim) = state.claim_next(route, &request) else {
                return self.enqueue(state, request, route);
            };
            drop(state);
            let lease = self.lease(&claim, route, &request.options);
            // Without metadata the copy of the request allocates nothing. What the pool has obeyed is nothing to the worker.
            let mut sent = request.clone();
            (sent.options.key, sent.options.to) = (None, None);
            let started =
                claim.connection.start_leased(sent, lease, Duration::ZERO, claim.number());
            if self.note_started(route) {
                self.hand_over();
            }
            match started {
                Ok(pending) => return Ok(pending.into()),
                // The worker went between the claim and now, and the call never reached it: another one may have it.
                Err(error) if is_unreachable(&error) => {
                    if let Some(lost) = self.pass_over(&claim, route) {
                        return Err(lost);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What the call's end will give back. A worker that has served its share is replaced.
    fn lease(&self, claim: &Claim, route: Route, options: &CallOptions) -> Arc<dyn Lease> {
        if self.settings.recycle.max_calls == Some(claim.served) {
            self.replace(claim.index, claim.generation, Cause::Calls(claim.served));
        }
        CallLease::of(claim.lease.clone(), route.key(), options.on_timeout)
    }

    /// Has the process that sits there with this generation replaced by a new one.
    pub(crate) fn replace(&self, index: usize, generation: u64, cause: Cause) {
        self.supervisor.command(Command::Replace { pool: self.id, index, generation, cause });
    }

    fn enqueue(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        request: Request<'_>,
        route: Route,
    ) -> Result<Started, Error> {
        state.check_queue()?;
        let chain = cycles::chain(&request.options);
        if let Some(chain) = &chain {
            chain.check(request.method)?;
            if state.is_cycle(route, chain) {
                return Err(state.cycle(route, chain, request.method));
            }
        }
        let now = Instant::now();
        let entry = Entry::new(request, route, chain, procall::remaining(), now);
        let due = entry.due();
        let cell = entry.cell();
        let number = state.queue.push(entry);
        let pressed = state.elastic.then_some(now + GROW_AFTER);
        // Whoever stands before this call may just have got room.
        let room = state.next_in_queue().is_some();
        drop(state);
        if let Some(wake) = [due, pressed].into_iter().flatten().min() {
            self.supervisor.wake_by(wake);
        }
        let queued: Box<dyn procall::Queued> =
            Box::new(QueuedCall::new(self.clone(), number, cell));
        if room {
            self.hand_over();
        }
        Ok(Started::from(queued))
    }

    /// Starts a call on each worker, in their order; those that are busy get it when they have room.
    pub(crate) fn start_on_all(
        self: &Arc<Self>,
        request: &Request<'_>,
    ) -> Vec<(Arc<str>, Result<Started, Error>)> {
        let start = |name: Arc<str>| {
            let mut request = request.clone();
            request.options.to = Some(name.clone());
            (name, self.start_call(request))
        };
        self.names().into_iter().map(start).collect()
    }

    /// The places that are in use.
    pub(crate) fn places(&self) -> Vec<usize> {
        let state = self.dispatch.lock();
        let used = state.seats.iter().enumerate().filter(|(_, seat)| seat.is_in_use());
        used.map(|(index, _)| index).collect()
    }

    /// The names of the workers, in their order.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        let state = self.dispatch.lock();
        let used = state.seats.iter().filter(|seat| seat.is_in_use());
        used.map(|seat| seat.name.clone()).collect()
    }

    /// Sends a notification: to the worker it names or its key is pinned to, else to the least busy one.
    pub(crate) fn notify(&self, request: Request<'_>) -> Result<(), Error> {
        let connection = {
            let mut state = self.dispatch.lock();
            if state.gate != Gate::Open {
                return Err(state.no_entry());
            }
            let index = match state.route(&request.options)?.seat() {
                Some(index) => Some(index).filter(|&index| state.seats[index].is_routed()),
                None => state.least_busy(),
            };
            index.and_then(|index| state.seats[index].connection())
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
            let mut state = self.dispatch.lock();
            let Some((number, route)) = state.next_in_queue() else {
                drop(state);
                self.break_cycles();
                return;
            };
            let Some(entry) = state.queue.remove(number) else { return };
            let now = Instant::now();
            let Some(mut options) = entry.options_now(now) else {
                drop(state);
                entry.refuse(&self.meter, queue::expired());
                self.nudge_drain();
                continue;
            };
            let Some(claim) = state.claim(route, entry.method(), &options.meta) else {
                // There was room a line ago, under this same lock.
                state.queue.put_back(number, entry);
                return;
            };
            drop(state);
            let lease = self.lease(&claim, entry.route(), &options);
            (options.key, options.to) = (None, None);
            let request = Request { method: entry.method(), body: entry.body(), options };
            // The deadline of whatever this thread happens to serve is not this call's.
            let started = procall::with_remaining(None, || {
                claim.connection.start_leased(request, lease, entry.waited(now), claim.number())
            });
            let route = entry.route();
            match started {
                Err(error) if is_unreachable(&error) => match self.pass_over(&claim, route) {
                    Some(lost) => entry.refuse(&self.meter, lost),
                    None => self.put_back(number, entry),
                },
                Ok(pending) => entry.start(pending),
                Err(error) => entry.refuse(&self.meter, error),
            }
            // After it was put back, where that was to be: then the next one with its key sees that it stands before it.
            self.note_started(route);
        }
    }

    /// The next call with its key may start; whether one may be waiting for that.
    fn note_started(&self, route: Route) -> bool {
        let Some(hash) = route.key() else { return false };
        let mut state = self.dispatch.lock();
        state.starting.retain(|&starting| starting != hash);
        !state.queue.is_empty()
    }

    /// No more calls to a worker whose connection refuses them; the supervisor will find out why. If it has done so already, a call whose key
    /// was pinned there ends with this error: the others who waited were told before it could be among them.
    fn pass_over(&self, claim: &Claim, route: Route) -> Option<Error> {
        let mut state = self.dispatch.lock();
        let seat = state.seats.get_mut(claim.index)?;
        if seat.generation == claim.generation {
            seat.set_routed(false);
        }
        if let Some(hash) = route.key()
            && seat.losses != claim.losses
        {
            let lost = route::lost(seat);
            state.forget_lost_key(hash);
            return Some(lost);
        }
        drop(state);
        self.supervisor.nudge(self.id, claim.index);
        None
    }

    /// A call that found its worker gone waits again, unless that was the only one for it and it is gone for good.
    fn put_back(&self, number: u64, entry: Entry) {
        let mut state = self.dispatch.lock();
        match entry.route().seat().and_then(|index| route::down(&state.seats[index])) {
            Some(error) => {
                drop(state);
                entry.refuse(&self.meter, error);
            }
            None => {
                state.queue.put_back(number, entry);
                drop(state);
                self.flush_if_hopeless();
            }
        }
    }

    /// The worker at this place was lost: the calls that waited for it by their key learn of that.
    pub(crate) fn flush_lost(&self, index: usize) {
        let (entries, error) = {
            let mut state = self.dispatch.lock();
            let entries = state.queue.take_bound(index, |route| route.key().is_some());
            state.forget_lost_keys(&entries);
            (entries, state.seats.get(index).map(route::lost))
        };
        self.refuse_all(entries, error);
    }

    /// The worker at this place stays down: nobody waits for it any more.
    pub(crate) fn flush_failed(&self, index: usize) {
        let (entries, error) = {
            let mut state = self.dispatch.lock();
            let entries = state.queue.take_bound(index, |_| true);
            state.forget_lost_keys(&entries);
            (entries, state.seats.get(index).and_then(route::down))
        };
        self.refuse_all(entries, error);
        self.flush_if_hopeless();
        self.break_cycles();
    }

    /// When no worker will ever come, those who wait are told.
    pub(crate) fn flush_if_hopeless(&self) {
        let (entries, error) = {
            let mut state = self.dispatch.lock();
            if !state.is_hopeless() || state.queue.is_empty() {
                return;
            }
            (state.queue.take_all(), state.no_worker())
        };
        self.refuse_all(entries, Some(error));
    }

    /// Ends every call that waits.
    pub(crate) fn flush(&self, error: &Error) {
        let entries = self.dispatch.lock().queue.take_all();
        self.refuse_all(entries, Some(error.clone()));
    }

    fn refuse_all(&self, entries: Vec<Entry>, error: Option<Error>) {
        let Some(error) = error else { return };
        for entry in entries {
            entry.refuse(&self.meter, error.clone());
        }
    }

    /// Ends the calls whose deadline passed while they waited; returns when to come back.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let (expired, next) = self.dispatch.lock().queue.expire(now);
        self.refuse_all(expired, Some(queue::expired()));
        next
    }
}

impl State {
    /// Takes a slot of a worker that a new call may go to.
    fn claim_next(&mut self, route: Route, request: &Request<'_>) -> Option<Claim> {
        if !self.queue.is_empty() && self.queue.is_ahead_of(route) {
            return None;
        }
        self.claim(route, request.method, &request.options.meta)
    }

    /// Takes a slot of a worker on this route that has one.
    fn claim(&mut self, route: Route, method: &str, meta: &[u8]) -> Option<Claim> {
        let index = match route.seat() {
            Some(index) => Some(index).filter(|&index| self.has_room(route, index)),
            None => self.pick(),
        }?;
        let seat = &mut self.seats[index];
        let Claimed { connection, lease, served, alone } = seat.claim(method, meta)?;
        let (generation, losses) = (seat.generation, seat.losses);
        self.last_picked = index;
        self.starting.extend(route.key());
        Some(Claim { index, generation, losses, connection, lease, served, alone })
    }

    /// The first call in the queue that a worker has room for.
    fn next_in_queue(&self) -> Option<(u64, Route)> {
        if self.queue.is_empty() {
            return None;
        }
        let any = self.seats.iter().any(Seat::has_room);
        let number = self
            .queue
            .first(|route| route.seat().map_or(any, |index| self.has_room(route, index)))?;
        Some((number, self.queue.route(number)?))
    }

    /// Whether a call on this route may start at this worker now.
    fn has_room(&self, route: Route, index: usize) -> bool {
        self.seats[index].has_room()
            && !route.key().is_some_and(|hash| self.starting.contains(&hash))
    }

    fn least_busy(&self) -> Option<usize> {
        let fitting = self.seats.iter().enumerate().filter(|(_, seat)| seat.is_routed());
        fitting.min_by_key(|(_, seat)| seat.in_flight()).map(|(index, _)| index)
    }

    /// Whether workers come and go with the load.
    pub(crate) fn is_elastic(&self) -> bool {
        self.elastic
    }

    /// Whether no worker will come by itself any more.
    fn is_hopeless(&self) -> bool {
        !self.seats.iter().any(Seat::is_hopeful)
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
        let used = self.seats.iter().filter(|seat| seat.is_in_use()).count();
        let failed: Vec<&Seat> =
            self.seats.iter().filter(|seat| seat.busyness() == Busyness::Failed).collect();
        match failed.first() {
            Some(seat) => {
                let message =
                    format!("{} of {used} workers have failed; {}", failed.len(), seat.reason());
                Error::new(ErrorCode::NoWorker, message)
                    .with_worker(&*seat.name)
                    .with_trace(seat.last_words())
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
