//! A worker as the dispatch sees it.

use std::sync::Arc;
use std::time::Instant;

use procall::{Connection, ErrorCode};

use super::speaker::{Author, Before, Outlets, Speaker};
use super::{Claimed, SeatLease};
use crate::output::Outlet;

/// What a worker is doing, apart from its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busyness {
    Starting,
    Ready,
    Draining,
    Backoff,
    Failed,
    Stopped,
    /// Nobody is needed here now.
    Spare,
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
    /// Processes that went from here without having been told to, and hopes for one that were given up.
    pub(crate) losses: u64,
    busyness: Busyness,
    occupant: Option<Occupant>,
    /// No new calls while it does not answer or goes away.
    routed: bool,
    in_flight: u32,
    /// Of those, calls whose callers gave them up, oldest first, as far as that matters to anybody.
    ignored: Vec<Ignored>,
    reason: String,
    last_words: String,
}

/// A call that its caller gave up while the worker is still busy with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ignored {
    /// No other call that is in flight has it.
    pub(crate) number: usize,
    pub(crate) code: ErrorCode,
    pub(crate) since: Instant,
    /// Nobody wants the worker to finish it.
    pub(crate) unwanted: bool,
}

#[derive(Debug)]
struct Occupant {
    connection: Connection,
    lease: Arc<SeatLease>,
    speaker: Speaker,
    slots: u32,
    /// Calls that this process was given.
    served: u64,
    since: Instant,
    /// When it last became idle; nothing while it is busy.
    idle: Option<Instant>,
}

impl Seat {
    pub(crate) fn new(name: Arc<str>, busyness: Busyness) -> Self {
        Self {
            name,
            generation: 0,
            pid: None,
            restarts: 0,
            calls: 0,
            last_exit: None,
            losses: 0,
            busyness,
            occupant: None,
            routed: false,
            in_flight: 0,
            ignored: Vec::new(),
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

    /// Whether it has nothing in hand that is worth waiting for.
    pub(crate) fn is_done(&self) -> bool {
        self.in_flight as usize <= self.ignored.iter().filter(|call| call.unwanted).count()
    }

    /// A caller gave a call up that the worker is busy with.
    pub(super) fn note_ignored(&mut self, generation: u64, call: Ignored) {
        if self.generation == generation {
            self.ignored.push(call);
        }
    }

    /// The worker is done with such a call.
    pub(super) fn forget_ignored(&mut self, generation: u64, number: usize) {
        if self.generation == generation {
            self.ignored.retain(|call| call.number != number);
        }
    }

    /// The call that the worker has gone on with for longest after its caller gave it up.
    pub(crate) fn longest_ignored(&self) -> Option<Ignored> {
        self.ignored.first().copied()
    }

    /// Nobody wants the worker to finish any of those calls.
    pub(crate) fn give_ignored_up(&mut self) {
        self.ignored.iter_mut().for_each(|call| call.unwanted = true);
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

    /// Whether it may get another call. One that overruns is about to be started anew, which the supervisor learns a little later.
    pub(crate) fn has_room(&self) -> bool {
        self.is_routed()
            && !self.ignored.iter().any(|call| call.unwanted)
            && self.occupant.as_ref().is_some_and(|occupant| self.in_flight < occupant.slots)
    }

    pub(super) fn slots(&self) -> u32 {
        self.occupant.as_ref().map_or(1, |occupant| occupant.slots)
    }

    /// Whether a worker is or was to be here.
    pub(crate) fn is_in_use(&self) -> bool {
        self.busyness != Busyness::Spare
    }

    /// Whether a worker is here or will come by itself.
    pub(crate) fn is_hopeful(&self) -> bool {
        !matches!(self.busyness, Busyness::Failed | Busyness::Stopped | Busyness::Spare)
    }

    /// When the process that sits here became ready.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.occupant.as_ref().map(|occupant| occupant.since)
    }

    /// Since when the worker has had nothing to do.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.occupant.as_ref().filter(|_| self.is_routed())?.idle
    }

    pub(crate) fn connection(&self) -> Option<Connection> {
        self.occupant.as_ref().map(|occupant| occupant.connection.clone())
    }

    /// Takes a slot for a call of this method and with this metadata.
    pub(super) fn claim(&mut self, method: &str, meta: &[u8]) -> Option<Claimed> {
        let occupant = self.occupant.as_mut()?;
        occupant.speaker.begin(method, meta, self.in_flight);
        let alone = self.in_flight == 0;
        if alone {
            occupant.lease.begin_alone();
        }
        self.in_flight += 1;
        self.calls += 1;
        occupant.served += 1;
        occupant.idle = None;
        Some(Claimed {
            connection: occupant.connection.clone(),
            lease: occupant.lease.clone(),
            served: occupant.served,
            alone,
        })
    }

    /// To be asked before one of the worker's pipes is read, so that afterwards [`author`](Self::author) can tell whose the lines are.
    pub(crate) fn before_reading(&self) -> Option<Before> {
        let occupant = self.occupant.as_ref()?;
        Some(Before { begun: occupant.speaker.begun(), in_flight: self.in_flight })
    }

    /// The only call that can have printed what was read of a pipe, which is empty now or not.
    pub(crate) fn author(
        &mut self,
        outlet: Outlet,
        before: Before,
        emptied: bool,
    ) -> Option<Author> {
        let occupant = self.occupant.as_mut()?;
        occupant.speaker.author(outlet, before, emptied, &occupant.lease)
    }

    /// Gives a slot back. `now` is asked for the time when somebody wants to know since when the worker is idle.
    pub(super) fn release(
        &mut self,
        generation: u64,
        now: impl FnOnce() -> Option<Instant>,
    ) -> bool {
        let current = self.generation == generation;
        if current {
            self.in_flight = self.in_flight.saturating_sub(1);
            if self.in_flight == 0
                && let Some(occupant) = &mut self.occupant
            {
                occupant.idle = now();
            }
        }
        current
    }

    pub(crate) fn set_routed(&mut self, routed: bool) {
        self.routed = routed;
    }

    /// The worker takes so many calls at once from now on; those it has beyond that, it keeps.
    pub(crate) fn set_slots(&mut self, slots: u32) {
        if let Some(occupant) = &mut self.occupant {
            occupant.slots = slots;
        }
    }

    pub(crate) fn set_busyness(&mut self, busyness: Busyness) {
        self.busyness = busyness;
    }

    /// It stays down. Keys that are pinned here since the last process went are free again.
    pub(crate) fn fail(&mut self, reason: String, last_words: String) {
        self.busyness = Busyness::Failed;
        self.losses += 1;
        self.reason = reason;
        self.last_words = last_words;
    }

    /// A ready worker sits down.
    pub(crate) fn occupy(
        &mut self,
        connection: Connection,
        lease: Arc<SeatLease>,
        slots: u32,
        outlets: Outlets,
    ) {
        let (since, speaker) = (Instant::now(), Speaker::new(outlets));
        let idle = Some(since);
        self.occupant =
            Some(Occupant { connection, lease, speaker, slots, served: 0, since, idle });
        self.busyness = Busyness::Ready;
        self.routed = true;
        self.in_flight = 0;
    }

    /// The worker is gone; leases of its calls mean nothing any more.
    pub(crate) fn vacate(&mut self) -> Option<Connection> {
        self.generation += 1;
        self.in_flight = 0;
        self.ignored.clear();
        self.routed = false;
        // Until somebody says otherwise; what waits may hope.
        self.busyness = Busyness::Backoff;
        self.occupant.take().map(|occupant| occupant.connection)
    }
}
