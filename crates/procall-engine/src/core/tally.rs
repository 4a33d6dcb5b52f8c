//! What is counted of the calls of one method.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procall::ErrorCode;

/// Upper ends of the latency buckets, in microseconds; whatever takes longer is in a last one without an end.
pub(crate) const BOUNDS: [u64; 14] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    100_000,
    250_000,
    1_000_000,
    5_000_000,
    30_000_000,
    120_000_000,
];

/// Places for outcomes: success at 0, the codes of errors by their numbers, and the last for codes beyond.
const OUTCOMES: usize = 32;

/// What is counted of the calls of one method: outcomes, latencies, and how many are under way. Costs four atomic additions a call.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    outcomes: [AtomicU64; OUTCOMES],
    under_way: AtomicU64,
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// Microseconds of all calls in the buckets.
    sum: AtomicU64,
}

/// A tally as it was at one moment; under load its figures may be a call or two apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Calls by how they ended: `None` is success. Only those that happened.
    pub(crate) outcomes: Vec<(Option<ErrorCode>, u64)>,
    pub(crate) under_way: u64,
    /// Calls whose latency is in this bucket and none before.
    pub(crate) buckets: [u64; BOUNDS.len() + 1],
    /// Microseconds.
    pub(crate) sum: u64,
}

impl Tally {
    /// A call is taken on.
    pub(super) fn begin(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// It has its outcome, so long after it came. How long a cancelled call took says nothing.
    pub(super) fn end(&self, took: Duration, code: Option<ErrorCode>) {
        self.note(code);
        if code == Some(ErrorCode::Cancelled) {
            return;
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|&bound| bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// It is under way no more.
    pub(super) fn leave(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    /// A call was refused before anybody had it.
    pub(super) fn refuse(&self, code: ErrorCode) {
        self.note(Some(code));
    }

    fn note(&self, code: Option<ErrorCode>) {
        let place = code.map_or(0, |code| usize::from(code.number())).min(OUTCOMES - 1);
        self.outcomes[place].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counted(&self) -> Counted {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let outcomes = self.outcomes.iter().enumerate().filter_map(|(place, count)| {
            let number = u16::try_from(place).unwrap_or(u16::MAX);
            let code = match place {
                0 => None,
                _ => Some(ErrorCode::from_number(number).unwrap_or(ErrorCode::Internal)),
            };
            Some((code, read(count))).filter(|(_, count)| *count > 0)
        });
        Counted {
            outcomes: outcomes.collect(),
            under_way: read(&self.under_way),
            buckets: std::array::from_fn(|at| read(&self.buckets[at])),
            sum: read(&self.sum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_outcome_and_latency() {
        let tally = Tally::default();
        tally.begin();
        tally.begin();
        tally.end(Duration::from_micros(100), None);
        tally.leave();
        tally.end(Duration::from_secs(3_600), Some(ErrorCode::HandlerError));
        tally.end(Duration::from_secs(1), Some(ErrorCode::Cancelled));
        tally.refuse(ErrorCode::Overloaded);
        let counted = tally.counted();
        let expected = [
            (None, 1),
            (Some(ErrorCode::Overloaded), 1),
            (Some(ErrorCode::Cancelled), 1),
            (Some(ErrorCode::HandlerError), 1),
        ];
        assert_eq!(counted.outcomes, expected);
        assert_eq!(counted.under_way, 1);
        assert_eq!((counted.buckets[0], counted.buckets[BOUNDS.len()]), (1, 1));
        assert_eq!(counted.buckets.iter().sum::<u64>(), 2);
        assert_eq!(counted.sum, 3_600_000_100);
    }
}
