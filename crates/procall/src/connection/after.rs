//! What must be done once the connection's lock is released.

use std::sync::Arc;
use std::task::Waker;

use procall_proto::ErrorCode;
use smallvec::SmallVec;

use super::{Lease, coalesce};
use crate::clock;

/// Wakers and leases collected under the lock.
///
/// A waker may run foreign code, and a released lease may start the next call on this very connection: neither may happen under the lock.
#[derive(Default)]
pub(crate) struct After {
    pub(crate) wakes: SmallVec<[Waker; 2]>,
    pub(crate) leases: SmallVec<[Arc<dyn Lease>; 2]>,
    /// Leases of calls that ended for their callers while the peer is still busy with them.
    pub(crate) given_up: Vec<(Arc<dyn Lease>, ErrorCode)>,
}

impl After {
    pub(crate) fn wake(&mut self, waker: &mut Option<Waker>) {
        if let Some(waker) = waker.take() {
            self.wakes.push(waker);
        }
    }

    /// All of these, who are told once.
    pub(crate) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        self.wakes.extend(wakers.drain(..));
    }

    /// Does it all; nothing is left.
    pub(crate) fn run(&mut self) {
        for (lease, code) in self.given_up.drain(..) {
            lease.give_up(code);
        }
        for lease in self.leases.drain(..) {
            lease.release();
        }
        if self.wakes.is_empty() {
            return;
        }
        let mut wake = || self.wakes.drain(..).for_each(Waker::wake);
        // A router's wakers pass calls on, here and now; what others do, and how long it takes, nobody knows.
        if coalesce::is_on() { wake() } else { clock::outside_turn(wake) }
    }
}
