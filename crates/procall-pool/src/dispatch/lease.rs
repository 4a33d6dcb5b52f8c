//! The slot that a call holds at its worker, until the worker is done with it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use procall::{CallId, ErrorCode, Lease, OnTimeout};

use super::seat::Ignored;
use super::{Busyness, Gate};
use crate::core::Core;
use crate::policy::Cause;

/// No call has this number.
const UNKNOWN: CallId = CallId::MAX;

/// One for each process that sat at a seat, shared by all its calls: claiming a slot allocates nothing.
#[derive(Debug)]
pub(crate) struct SeatLease {
    core: Weak<Core>,
    index: usize,
    generation: u64,
    /// The number on the connection of the last call that began here while no other was running. It is set before the call is sent, so
    /// before the call can end, and before the next one can begin alone.
    alone: AtomicU64,
}

impl SeatLease {
    pub(crate) fn new(core: &Arc<Core>, index: usize, generation: u64) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::downgrade(core),
            index,
            generation,
            alone: AtomicU64::new(UNKNOWN),
        })
    }

    /// One of no pool.
    #[cfg(test)]
    pub(super) fn detached(core: Weak<Core>) -> Arc<Self> {
        Arc::new(Self { core, index: 0, generation: 0, alone: AtomicU64::new(UNKNOWN) })
    }

    /// A call begins alone: its number is not known yet.
    pub(super) fn begin_alone(&self) {
        self.alone.store(UNKNOWN, Ordering::Release);
    }

    /// Where the number of a call that begins alone goes.
    pub(super) fn number(&self) -> &AtomicU64 {
        &self.alone
    }

    /// The number of the last call that began alone, where it is known already.
    pub(super) fn alone(&self) -> Option<CallId> {
        Some(self.alone.load(Ordering::Acquire)).filter(|&id| id != UNKNOWN)
    }
}

impl Lease for SeatLease {
    fn release(&self) {
        let Some(core) = self.core.upgrade() else { return };
        let (waiting, watched) = {
            let mut state = core.dispatch.lock();
            let elastic = state.is_elastic();
            let Some(seat) = state.seats.get_mut(self.index) else { return };
            if !seat.release(self.generation, || elastic.then(Instant::now)) {
                return;
            }
            let idle = elastic && seat.in_flight() == 0;
            let left = seat.busyness() == Busyness::Draining && seat.is_done();
            let waiting = !state.queue.is_empty();
            if waiting {
                state.queue.note_served(Instant::now());
            }
            (waiting, left || idle || (state.gate != Gate::Open && state.is_idle()))
        };
        if watched {
            core.supervisor.nudge(core.id, self.index);
        }
        if waiting {
            core.hand_over();
        }
    }
}

/// The lease of a call with wishes of its own.
#[derive(Debug)]
pub(crate) struct CallLease {
    seat: Arc<SeatLease>,
    key: Option<u64>,
    restart: bool,
    /// Whether it matters that the worker goes on with it after it was given up.
    watched: bool,
    state: AtomicU8,
}

/// The caller waits, or nobody asks whether.
const WANTED: u8 = 0;
/// It is in the seat's list of calls that were given up.
const IGNORED: u8 = 1;
/// The worker is done with it: too late to give it up.
const DONE: u8 = 2;

impl CallLease {
    /// A call's lease: the seat's own, unless it wants more.
    pub(super) fn of(
        seat: Arc<SeatLease>,
        key: Option<u64>,
        then: OnTimeout,
        watched: bool,
    ) -> Arc<dyn Lease> {
        let restart = then == OnTimeout::Restart;
        if key.is_none() && !restart && !watched {
            return seat;
        }
        Arc::new(Self { seat, key, restart, watched, state: AtomicU8::new(WANTED) })
    }

    /// Where it lies tells it from all others that live.
    fn number(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl Lease for CallLease {
    fn release(&self) {
        if let Some(core) = self.seat.core.upgrade() {
            let mut state = core.dispatch.lock();
            // Ahead of the slot: whoever gets that may bring the next call with the key.
            if let Some(hash) = self.key {
                state.forget_lost_key(hash);
            }
            // Under the pool's lock, as everywhere: another thread may just be giving it up.
            if self.state.swap(DONE, Ordering::Relaxed) == IGNORED
                && let Some(seat) = state.seats.get_mut(self.seat.index)
            {
                seat.forget_ignored(self.seat.generation, self.number());
            }
        }
        self.seat.release();
    }

    fn give_up(&self, code: ErrorCode) {
        let unwanted = self.restart && code == ErrorCode::DeadlineExceeded;
        if !unwanted && !self.watched {
            return;
        }
        let Some(core) = self.seat.core.upgrade() else { return };
        let SeatLease { index, generation, .. } = *self.seat;
        {
            let mut state = core.dispatch.lock();
            let begun =
                self.state.compare_exchange(WANTED, IGNORED, Ordering::Relaxed, Ordering::Relaxed);
            if begun.is_err() {
                return;
            }
            if let Some(seat) = state.seats.get_mut(index) {
                let (number, since) = (self.number(), Instant::now());
                seat.note_ignored(generation, Ignored { number, code, since, unwanted });
            }
        }
        if unwanted {
            core.replace(index, generation, Cause::Overrun);
        } else {
            core.supervisor.nudge(core.id, index);
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
