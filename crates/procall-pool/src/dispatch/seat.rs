//! A worker as the dispatch sees it.

use std::sync::Arc;

use procall::Connection;

use super::SeatLease;

/// What a worker is doing, apart from its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busyness {
    Starting,
    Ready,
    Draining,
    Backoff,
    Failed,
    Stopped,
}

/// A worker as the dispatch sees it. The supervisor says who sits here; callers take slots.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) name: Arc<str>,
    /// Counts the processes that have sat here, so that what one of them held is not given back to the next.
    pub(crate) generation: u64,
    pub(crate) pid: Option<u32>,
    pub(crate) restarts: u64,
    pub(crate) calls: u64,
    pub(crate) last_exit: Option<String>,
    busyness: Busyness,
    occupant: Option<Occupant>,
    /// No new calls while it does not answer or goes away.
    routed: bool,
    in_flight: u32,
    reason: String,
    last_words: String,
}

#[derive(Debug)]
struct Occupant {
    connection: Connection,
    lease: Arc<SeatLease>,
    slots: u32,
}

impl Seat {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            generation: 0,
            pid: None,
            restarts: 0,
            calls: 0,
            last_exit: None,
            busyness: Busyness::Starting,
            occupant: None,
            routed: false,
            in_flight: 0,
            reason: String::new(),
            last_words: String::new(),
        }
    }

    pub(crate) fn busyness(&self) -> Busyness {
        self.busyness
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Why it has failed.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// What it said last before it failed.
    pub(crate) fn last_words(&self) -> &str {
        &self.last_words
    }

    pub(crate) fn is_routed(&self) -> bool {
        self.routed && self.busyness == Busyness::Ready
    }

    pub(crate) fn has_room(&self) -> bool {
        self.is_routed()
            && self.occupant.as_ref().is_some_and(|occupant| self.in_flight < occupant.slots)
    }

    pub(crate) fn connection(&self) -> Option<Connection> {
        self.occupant.as_ref().map(|occupant| occupant.connection.clone())
    }

    pub(super) fn claim(&mut self) -> Option<(Connection, Arc<SeatLease>)> {
        let occupant = self.occupant.as_ref()?;
        self.in_flight += 1;
        self.calls += 1;
        Some((occupant.connection.clone(), occupant.lease.clone()))
    }

    pub(super) fn release(&mut self, generation: u64) -> bool {
        let current = self.generation == generation;
        if current {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        current
    }

    pub(crate) fn set_routed(&mut self, routed: bool) {
        self.routed = routed;
    }

    pub(crate) fn set_busyness(&mut self, busyness: Busyness) {
        self.busyness = busyness;
    }

    /// It stays down.
    pub(crate) fn fail(&mut self, reason: String, last_words: String) {
        self.busyness = Busyness::Failed;
        self.reason = reason;
        self.last_words = last_words;
    }

    /// A ready worker sits down.
    pub(crate) fn occupy(&mut self, connection: Connection, lease: Arc<SeatLease>, slots: u32) {
        self.occupant = Some(Occupant { connection, lease, slots });
        self.busyness = Busyness::Ready;
        self.routed = true;
        self.in_flight = 0;
    }

    /// The worker is gone; leases of its calls mean nothing any more.
    pub(crate) fn vacate(&mut self) -> Option<Connection> {
        self.generation += 1;
        self.in_flight = 0;
        self.routed = false;
        // Until somebody says otherwise; what waits may hope.
        self.busyness = Busyness::Backoff;
        self.occupant.take().map(|occupant| occupant.connection)
    }
}
