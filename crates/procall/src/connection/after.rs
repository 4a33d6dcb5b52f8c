//! What must be done once the connection's lock is released.

use std::sync::Arc;
use std::task::Waker;

use procall_proto::ErrorCode;

use super::Lease;

/// Wakers and leases collected under the lock.
///
/// A waker may run foreign code, and a released lease may start the next call on this very connection: neither may happen under the lock.
#[derive(Default)]
pub(crate) struct After {
    pub(crate) wakes: Vec<Waker>,
    pub(crate) leases: Vec<Arc<dyn Lease>>,
    /// Leases of calls that ended for their callers while the peer is still busy with them.
    pub(crate) given_up: Vec<(Arc<dyn Lease>, ErrorCode)>,
}

impl After {
    pub(crate) fn wake(&mut self, waker: &mut Option<Waker>) {
        self.wakes.extend(waker.take());
    }

    /// Does it all; nothing is left.
    pub(crate) fn run(&mut self) {
        for (lease, code) in self.given_up.drain(..) {
            lease.give_up(code);
        }
        for lease in self.leases.drain(..) {
            lease.release();
        }
        for waker in self.wakes.drain(..) {
            waker.wake();
        }
    }
}
