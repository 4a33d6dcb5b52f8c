//! The slot that a call holds at its worker.

use std::sync::Weak;

use procall::Lease;

use super::Core;
use super::peer::Number;

/// Given back when the worker is done with the call, which a time-out or a cancel of the caller's does not mean.
#[derive(Debug)]
pub(crate) struct Seat {
    core: Weak<Core>,
    peer: Number,
}

impl Seat {
    pub(crate) fn new(core: Weak<Core>, peer: Number) -> Self {
        Self { core, peer }
    }
}

impl Lease for Seat {
    fn release(&self) {
        let Some(core) = self.core.upgrade() else { return };
        let waiting = {
            let mut state = core.lock();
            if let Some(peer) = state.peers.get_mut(&self.peer) {
                peer.in_flight = peer.in_flight.saturating_sub(1);
                peer.last_seen = procall::now();
            }
            !state.busy.is_empty()
        };
        if waiting {
            core.hand_over();
        }
    }
}
