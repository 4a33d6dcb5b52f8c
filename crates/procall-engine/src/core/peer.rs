//! Somebody who is connected.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use procall::{Connection, Registration};

use super::seat::Seat;
use crate::facts::{Facts, Speaks};
use crate::state::Identity;

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
    pub(crate) connection: Connection,
    /// The service whose methods it may call by their bare names.
    pub(crate) want: Option<Arc<str>>,
    pub(crate) since: Instant,
    pub(crate) last_seen: Instant,
    pub(crate) registration: Option<Arc<Registration>>,
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
    /// The identity that it asks for, which another may hold.
    pub(crate) identity: Option<Identity>,
    /// It is told what there is of the service it came for as soon as it has answered the last such.
    pub(crate) told_later: bool,
    /// The handshake is done.
    pub(crate) ready: bool,
}

impl Peer {
    pub(crate) fn has_room(&self) -> bool {
        self.is_routed() && self.in_flight < self.slots
    }

    pub(crate) fn is_routed(&self) -> bool {
        !self.suspected && !self.going
    }

    /// Takes over what a registration says of the peer itself.
    pub(crate) fn take(&mut self, registration: Arc<Registration>) {
        let told = registration.concurrency;
        self.slots = match (told, self.facts.speaks) {
            (0, Speaks::Native | Speaks::Inside) => {
                let most = self.connection.peer().map_or(1, |peer| peer.max_calls);
                u32::try_from(most).unwrap_or(u32::MAX)
            }
            (0, _) => FOREIGN_SLOTS,
            (told, _) => told,
        };
        self.registration = Some(registration);
    }
}
