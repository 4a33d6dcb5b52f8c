//! The slot that a call holds at its worker, until the worker is done with it.

use std::cell::Cell;
use std::sync::{Arc, Weak};
use std::time::Instant;

use procall::Lease;

use super::{Busyness, Gate};
use crate::core::Core;

/// One for each process that sat at a seat, shared by all its calls: claiming a slot allocates nothing.
#[derive(Debug)]
pub(crate) struct SeatLease {
    core: Weak<Core>,
    index: usize,
    generation: u64,
}

impl SeatLease {
    pub(crate) fn new(core: &Arc<Core>, index: usize, generation: u64) -> Arc<Self> {
        Arc::new(Self { core: Arc::downgrade(core), index, generation })
    }
}

impl Lease for SeatLease {
    fn release(&self) {
        let Some(core) = self.core.upgrade() else { return };
        let (waiting, watched) = {
            let mut state = core.dispatch.lock();
            let Some(seat) = state.seats.get_mut(self.index) else { return };
            if !seat.release(self.generation) {
                return;
            }
            let left = seat.busyness() == Busyness::Draining && seat.in_flight() == 0;
            let waiting = !state.queue.is_empty();
            if waiting {
                state.queue.note_served(Instant::now());
            }
            (waiting, left || (state.gate != Gate::Open && state.is_idle()))
        };
        if watched {
            core.supervisor.nudge(core.id, self.index);
        }
        if waiting {
            core.hand_over();
        }
    }
}

thread_local! {
    /// The pool for which this thread is handing calls over.
    static HANDING: Cell<*const Core> = const { Cell::new(std::ptr::null()) };
}

/// The right to hand a pool's calls over on this thread. A call that cannot be started releases its slot at once, on this very stack:
/// without this, a dead worker and a full queue would nest as deep as the queue is long.
pub(super) struct Turn {
    outer: *const Core,
}

impl Turn {
    /// `None` when a frame further up does it already, and will look again.
    pub(super) fn take(core: &Arc<Core>) -> Option<Self> {
        let this = Arc::as_ptr(core);
        let outer = HANDING.replace(this);
        if outer == this {
            return None;
        }
        Some(Self { outer })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        HANDING.set(self.outer);
    }
}
