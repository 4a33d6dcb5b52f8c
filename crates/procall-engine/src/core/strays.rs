//! What JSON peers sent that nobody had asked for, or did not get.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::gateway::json::Counters;

/// The counts of all links, those that have ended included.
#[derive(Debug, Default)]
pub(crate) struct Strays {
    unasked: AtomicU64,
    late: AtomicU64,
    dropped: AtomicU64,
}

impl Strays {
    pub(crate) fn add(&self, more: Counters) {
        let Counters { unasked, late, dropped } = more;
        for (count, more) in
            [(&self.unasked, unasked), (&self.late, late), (&self.dropped, dropped)]
        {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub(crate) fn counted(&self) -> Counters {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            unasked: read(&self.unasked),
            late: read(&self.late),
            dropped: read(&self.dropped),
        }
    }
}
