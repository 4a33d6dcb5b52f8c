//! How long to wait before the next try.

use std::time::Duration;

/// The first pause is at most this.
const FIRST: Duration = Duration::from_millis(50);
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(2);

/// Pauses between tries: anything up to a bound that doubles, 50 ms at first, 2 s at last. Full jitter (Brooker 2015), so that those who were
/// cut off together do not come back together.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    tries: u32,
}

impl Pauses {
    pub(crate) fn next(&mut self) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.tries.min(10)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        bound.mul_f64(share())
    }
}

/// A number from 0 to 1.
pub(crate) fn share() -> f64 {
    let mut bytes = [0; 4];
    // Without the kernel's numbers the pause is a middling one: worse than random, better than none.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(4) => f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX),
        _ => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let mut pauses = Pauses::default();
        let first: Vec<Duration> = (0..12).map(|_| pauses.next()).collect();
        assert!(first[0] <= FIRST && first.iter().all(|pause| *pause <= LONGEST));
        let late: std::collections::HashSet<Duration> = (0..16).map(|_| pauses.next()).collect();
        assert!(late.len() > 8, "{late:?}");
    }
}
