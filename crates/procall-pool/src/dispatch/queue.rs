//! Calls that wait for a worker, first come first served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use procall::{
    Body, CallOptions, Chain, Deadline, Ending, Error, ErrorCode, Executed, Handover, Meter,
    Pending, Queued, Request,
};

use super::route::Route;
use crate::core::Core;

/// What a full queue asks callers to wait when nothing has been served yet.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Calls that wait. Bounded: the next one is refused with OVERLOADED.
#[derive(Debug)]
pub(crate) struct Queue {
    entries: BTreeMap<u64, Entry>,
    /// Numbers of entries that others wait for, and of some that are gone.
    chained: BTreeSet<u64>,
    capacity: usize,
    next: u64,
    /// No entry is due earlier; it may be too early, which costs one look.
    earliest: Option<Instant>,
    last_served: Option<Instant>,
    /// How often a call is served while others wait, smoothed.
    gap: Option<Duration>,
}

/// A call that waits.
#[derive(Debug)]
pub(super) struct Entry {
    method: String,
    body: Body<'static>,
    options: CallOptions,
    chain: Option<Chain>,
    due: Option<Instant>,
    /// The deadline covers only a stream's opening.
    opening: bool,
    route: Route,
    since: Instant,
    cell: Arc<Handover>,
}

pub(super) fn expired() -> Error {
    Error::new(
        ErrorCode::DeadlineExceeded,
        "the deadline passed while the call waited for a worker",
    )
    .with_executed(Executed::No)
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            chained: BTreeSet::new(),
            capacity,
            next: 0,
            earliest: None,
            last_served: None,
            gap: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= self.capacity
    }

    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        if self.entries.is_empty() {
            self.last_served = None;
        }
        let number = self.next;
        self.next += 1;
        self.put_back(number, entry);
        number
    }

    pub(super) fn put_back(&mut self, number: u64, entry: Entry) {
        self.earliest = [self.earliest, entry.due].into_iter().flatten().min();
        if entry.chain.is_some() {
            self.chained.insert(number);
        }
        self.entries.insert(number, entry);
    }

    /// The first entry that a worker is free for, and its number; `room` says so of a route.
    pub(super) fn first(&self, mut room: impl FnMut(Route) -> bool) -> Option<u64> {
        // Those in a row that wait for the same share its answer. The same worker is not enough: it may refuse one key and take another.
        let mut refused: Option<Route> = None;
        let fits = |(&number, entry): (&u64, &Entry)| {
            if refused == Some(entry.route) {
                return None;
            }
            if room(entry.route) {
                return Some(number);
            }
            refused = Some(entry.route);
            None
        };
        self.entries.iter().find_map(fits)
    }

    pub(super) fn route(&self, number: u64) -> Option<Route> {
        self.entries.get(&number).map(|entry| entry.route)
    }

    /// Whether a call that comes now must wait behind one that is there already.
    pub(super) fn is_ahead_of(&self, route: Route) -> bool {
        self.entries.values().any(|entry| entry.route.seat() == route.seat())
    }

    /// Takes out the entries that wait for this worker and no other.
    pub(super) fn take_bound(
        &mut self,
        index: usize,
        mut which: impl FnMut(Route) -> bool,
    ) -> Vec<Entry> {
        let bound: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.route.seat() == Some(index) && which(entry.route))
            .map(|(&number, _)| number)
            .collect();
        bound.iter().filter_map(|number| self.entries.remove(number)).collect()
    }

    /// Those that others wait for, by their numbers.
    pub(super) fn chained(&mut self) -> impl Iterator<Item = (u64, &Entry)> {
        let Self { chained, entries, .. } = self;
        chained.retain(|number| entries.contains_key(number));
        chained.iter().filter_map(|&number| Some((number, entries.get(&number)?)))
    }

    /// Since when the longest wait for any worker has lasted.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.entries.values().find(|entry| entry.route == Route::Any).map(|entry| entry.since)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Entry> {
        self.entries.remove(&number)
    }

    pub(super) fn take_all(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries).into_values().collect()
    }

    /// The entries whose time is up, and when to look again.
    pub(super) fn expire(&mut self, now: Instant) -> (Vec<Entry>, Option<Instant>) {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return (Vec::new(), self.earliest);
        }
        let due: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.due.is_some_and(|due| due <= now))
            .map(|(&n, _)| n)
            .collect();
        let expired = due.iter().filter_map(|number| self.entries.remove(number)).collect();
        self.earliest = self.entries.values().filter_map(|entry| entry.due).min();
        (expired, self.earliest)
    }

    /// A call was served while others waited.
    pub(super) fn note_served(&mut self, now: Instant) {
        if let Some(last) = self.last_served {
            let gap = now.saturating_duration_since(last);
            self.gap = Some(self.gap.map_or(gap, |smooth| (smooth * 7 + gap) / 8));
        }
        self.last_served = Some(now);
    }

    /// How long until about half of the queue will have been served.
    pub(super) fn pause(&self) -> Duration {
        let half = u32::try_from(self.entries.len() / 2).unwrap_or(u32::MAX).max(1);
        self.gap.map_or(FIRST_PAUSE, |gap| gap.saturating_mul(half)).max(Duration::from_millis(1))
    }
}

impl Entry {
    pub(super) fn new(
        request: Request<'_>,
        route: Route,
        chain: Option<Chain>,
        inherited: Option<Duration>,
        now: Instant,
    ) -> Self {
        let (time, opening) = request.options.deadline.within(inherited);
        Self {
            method: request.method.to_owned(),
            body: request.body.into_owned(),
            options: request.options,
            chain,
            // A time that no clock can count to never comes.
            due: time.and_then(|time| now.checked_add(time)),
            opening,
            route,
            since: now,
            cell: Arc::default(),
        }
    }

    pub(super) fn route(&self) -> Route {
        self.route
    }

    pub(super) fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    pub(super) fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn cell(&self) -> Arc<Handover> {
        self.cell.clone()
    }

    pub(super) fn method(&self) -> &str {
        &self.method
    }

    pub(super) fn body(&self) -> Body<'static> {
        self.body.clone()
    }

    /// The options with the time that is left; `None` when none is.
    pub(super) fn options_now(&self, now: Instant) -> Option<CallOptions> {
        let deadline = match self.due {
            None => Deadline::Never,
            Some(due) => {
                let left = due.checked_duration_since(now).filter(|left| !left.is_zero())?;
                if self.opening { Deadline::Opening(left) } else { Deadline::After(left) }
            }
        };
        Some(CallOptions { deadline, ..self.options.clone() })
    }

    /// The end of the wait without a worker.
    pub(super) fn refuse(self, meter: &Meter, error: Error) {
        meter.end(self.since.elapsed(), Ending::Failed);
        self.cell.resolve(Err(error));
    }

    /// A worker has it.
    pub(super) fn start(self, pending: Pending) {
        self.cell.resolve(Ok(pending));
    }
}

/// The caller's side of a call that waits. Dropping it takes the call out of the queue.
pub(super) struct QueuedCall {
    core: Arc<Core>,
    number: u64,
    cell: Arc<Handover>,
    over: bool,
}

impl QueuedCall {
    pub(super) fn new(core: Arc<Core>, number: u64, cell: Arc<Handover>) -> Self {
        Self { core, number, cell, over: false }
    }
}

impl Queued for QueuedCall {
    fn poll_started(&mut self, waker: &Waker) -> Poll<Result<Pending, Error>> {
        let polled = self.cell.poll(waker);
        self.over |= polled.is_ready();
        polled
    }

    fn cancel(&self) {
        let entry = self.core.dispatch.lock().queue.remove(self.number);
        match entry {
            Some(entry) => {
                self.core.meter.end(entry.since.elapsed(), Ending::Cancelled);
                let error = Error::new(
                    ErrorCode::Cancelled,
                    "the call was cancelled while it waited for a worker",
                );
                entry.cell.resolve(Err(error.with_executed(Executed::No)));
                self.core.nudge_drain();
            }
            None => self.cell.cancel(),
        }
    }
}

impl Drop for QueuedCall {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.cell.abandon();
        let entry = self.core.dispatch.lock().queue.remove(self.number);
        if let Some(entry) = entry {
            self.core.meter.end(entry.since.elapsed(), Ending::Cancelled);
        }
        self.core.nudge_drain();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procall::transport::{LinkOptions, mem};
    use procall::{Config, Connection, Encoding, Side};

    fn entry(deadline: Deadline, inherited: Option<Duration>, now: Instant) -> Entry {
        let mut request = Request::new("add", Encoding::None, &[]);
        request.options.deadline = deadline;
        Entry::new(request, Route::Any, None, inherited, now)
    }

    #[test]
    fn time_in_the_queue_counts() {
        let now = Instant::now();
        let waiting = entry(Deadline::After(Duration::from_millis(100)), None, now);
        let later = waiting.options_now(now + Duration::from_millis(70)).unwrap();
        assert_eq!(later.deadline, Deadline::After(Duration::from_millis(30)));
        assert!(waiting.options_now(now + Duration::from_millis(100)).is_none());
        assert_eq!(
            entry(Deadline::Never, None, now).options_now(now).unwrap().deadline,
            Deadline::Never
        );
    }

    #[test]
    fn a_default_deadline_covers_a_streams_opening_and_an_inherited_one_all_of_it() {
        let now = Instant::now();
        let own =
            entry(Deadline::Default, Some(Duration::from_secs(60)), now).options_now(now).unwrap();
        assert_eq!(own.deadline, Deadline::Opening(Duration::from_secs(30)));
        let inherited =
            entry(Deadline::Default, Some(Duration::from_secs(1)), now).options_now(now).unwrap();
        assert_eq!(inherited.deadline, Deadline::After(Duration::from_secs(1)));
        let never =
            entry(Deadline::Never, Some(Duration::from_secs(1)), now).options_now(now).unwrap();
        assert_eq!(never.deadline, Deadline::After(Duration::from_secs(1)));
    }

    #[test]
    fn a_cancel_on_the_way_from_the_queue_to_a_worker_is_not_forgotten() {
        let (ours, _theirs) = mem::pair(&LinkOptions::default()).unwrap();
        let connection = Connection::new(Box::new(ours), Side::Initiator, Config::default());
        let waiting = entry(Deadline::Never, None, Instant::now());
        let cell = waiting.cell();
        // It has left the queue and is not started yet.
        cell.cancel();
        waiting.start(connection.start(Request::new("add", Encoding::None, &[])).unwrap());
        let Poll::Ready(outcome) = cell.poll(Waker::noop()) else { panic!("it was started") };
        assert_eq!(outcome.unwrap().wait().unwrap_err().code(), ErrorCode::Cancelled);
    }

    #[test]
    fn first_come_first_served_and_the_expired_leave_on_time() {
        let (mut queue, now) = (Queue::new(8), Instant::now());
        let after = |millis| Deadline::After(Duration::from_millis(millis));
        queue.push(entry(after(300), None, now));
        queue.push(entry(after(100), None, now));
        queue.push(entry(after(200), None, now));
        let (expired, next) = queue.expire(now + Duration::from_millis(100));
        assert_eq!(expired.len(), 1);
        assert_eq!(next, Some(now + Duration::from_millis(200)));
        assert_eq!(queue.first(|_| true), Some(0));
        queue.remove(0);
        assert_eq!(queue.first(|_| true), Some(2));
    }

    #[test]
    fn who_waits_for_another_worker_stands_in_nobodys_way() {
        let (mut queue, now) = (Queue::new(8), Instant::now());
        let mut push = |route| {
            queue.push(Entry::new(Request::new("add", Encoding::None, &[]), route, None, None, now))
        };
        push(Route::Seat(1));
        push(Route::Key { index: 1, hash: 7 });
        let any = push(Route::Any);
        let other = push(Route::Seat(0));
        assert_eq!(queue.first(|route| route.seat() != Some(1)), Some(any));
        assert_eq!(queue.first(|route| route.seat() == Some(0)), Some(other));
        assert!(queue.is_ahead_of(Route::Key { index: 0, hash: 9 }));
        assert!(!queue.is_ahead_of(Route::Seat(2)));
        assert_eq!(queue.take_bound(1, |route| route.key().is_some()).len(), 1);
        assert_eq!(queue.first(|_| true), Some(0));
    }

    #[test]
    fn a_key_that_must_wait_lets_nobody_overtake_another_key_of_its_worker() {
        let (mut queue, now) = (Queue::new(8), Instant::now());
        let mut push = |route| {
            queue.push(Entry::new(Request::new("add", Encoding::None, &[]), route, None, None, now))
        };
        let key = |hash| Route::Key { index: 1, hash };
        push(key(7));
        let first = push(key(8));
        push(Route::Any);
        push(key(8));
        assert_eq!(queue.first(|route| route == key(8)), Some(first));
    }

    #[test]
    fn a_full_queue_asks_for_a_pause_that_fits_its_pace() {
        let (mut queue, now) = (Queue::new(4), Instant::now());
        assert_eq!(queue.pause(), FIRST_PAUSE);
        for _ in 0..4 {
            queue.push(entry(Deadline::Default, None, now));
        }
        for served in 0..10 {
            queue.note_served(now + Duration::from_millis(10 * served));
        }
        assert_eq!(queue.pause(), Duration::from_millis(20));
        assert!(queue.is_full());
    }
}
