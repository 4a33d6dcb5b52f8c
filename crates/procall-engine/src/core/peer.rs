//! Somebody who is connected.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use procall::{Connection, FieldError, Registration};

use super::registering::Pace;
use super::seat::Seat;
use crate::facts::{Facts, Speaks};
use crate::rights::Standing;
use crate::state::Identity;
use crate::tokens::Pass;

/// Calls at once for a worker of a dialect, which cannot say how many it takes.
const FOREIGN_SLOTS: u32 = 16;

/// Names a peer for as long as the engine lives: never used again.
pub(crate) type Number = u64;

/// Somebody who is connected.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) number: Number,
    /// UUID text: how others name it in `to`, and see it in `from`.
    pub(crate) id: Arc<str>,
    /// For people, and for `to`; unique among the peers of this moment.
    pub(crate) name: Arc<str>,
    /// The name is its own choice, so nobody else can have it.
    pub(crate) owns_name: bool,
    pub(crate) facts: Facts,
    pub(crate) pass: Pass,
    pub(crate) connection: Connection,
    /// The service whose methods it may call by their bare names.
    pub(crate) want: Option<Arc<str>>,
    pub(crate) since: Instant,
    pub(super) pace: Pace,
    pub(crate) last_seen: Instant,
    pub(crate) registration: Option<Arc<Registration>>,
    /// Methods of that which were left out, and why.
    pub(crate) quarantined: Vec<FieldError>,
    /// Full names of what it serves.
    pub(crate) methods: HashSet<Arc<str>>,
    /// Calls it takes at once.
    pub(crate) slots: u32,
    pub(crate) in_flight: u32,
    /// What its calls give back.
    pub(crate) seat: Arc<Seat>,
    /// Calls it has been given.
    pub(crate) calls: u64,
    /// It has missed its heartbeats, or is going away: nothing new goes there.
    pub(crate) suspected: bool,
    pub(crate) going: bool,
    /// Somebody wants it to get no new calls: it gets only those with a lower number.
    pub(crate) drained: Option<u64>,
    /// The identity that it asks for, which another may hold.
    pub(crate) identity: Option<Identity>,
    /// The handshake is done.
    pub(crate) ready: bool,
}

impl Peer {
    /// What it may do.
    pub(crate) fn standing(&self) -> Standing<'_> {
        Standing { rights: &self.pass.rights, token: self.pass.token.as_deref() }
    }

    /// Whether it takes this call now, by its number.
    pub(crate) fn has_room(&self, call: u64) -> bool {
        !self.suspected && !self.going && self.takes(call) && self.in_flight < self.slots
    }

    /// Whether a call of this number may be for it: one that is drained gets only those that were there before.
    pub(crate) fn takes(&self, call: u64) -> bool {
        self.drained.is_none_or(|drained| call < drained)
    }

    /// Whether something new may go there.
    pub(crate) fn is_routed(&self) -> bool {
        !self.suspected && !self.going && self.drained.is_none()
    }

    /// Takes over what a registration says of the peer itself.
    pub(crate) fn take(&mut self, registration: Arc<Registration>) {
        let told = registration.concurrency;
        self.slots = match (told, self.facts.speaks) {
            // One that does not say takes one at a time.
            (0, Speaks::Native | Speaks::Inside) => 1,
            (0, _) => FOREIGN_SLOTS,
            (told, _) => told,
        };
        self.registration = Some(registration);
    }
}
