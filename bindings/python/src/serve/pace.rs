//! Which methods may keep the answers of others waiting.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// A handler that takes longer does not keep answers of its siblings back.
const QUICK: Duration = Duration::from_micros(100);
/// Quick runs in a row after which a method is trusted to be quick again.
const TRUST: u8 = 8;

/// How long the last runs of a method took.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU8);

impl Pace {
    pub(super) fn is_quick(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= TRUST
    }

    pub(super) fn note(&self, took: Duration) {
        let streak =
            if took > QUICK { 0 } else { self.0.load(Ordering::Relaxed).saturating_add(1) };
        self.0.store(streak, Ordering::Relaxed);
    }
}
