//! Descriptors that are kept back, so that who cannot be served can still be told.

use std::fs::File;

/// Descriptors that are kept back.
const RESERVE: usize = 32;
/// As many as it takes to accept one peer and to tell it something.
const ONE_PEER: usize = 4;

/// Descriptors that are kept back: when there are no others left, some are given up to accept whoever waits, to refuse it, and to hang up.
/// Otherwise those who wait would wait for ever, and whoever watches the listener would never come to rest.
#[derive(Debug, Default)]
pub(crate) struct Reserve {
    held: Vec<File>,
}

impl Reserve {
    /// As much of it as there is.
    pub(crate) fn new() -> Self {
        let mut reserve = Self::default();
        reserve.fill();
        reserve
    }

    /// Takes back what was given up; false when there are still too few descriptors.
    pub(crate) fn fill(&mut self) -> bool {
        while self.held.len() < RESERVE {
            // Another name of one that is held costs less than to open it anew.
            let next = match self.held.last() {
                Some(held) => held.try_clone(),
                None => File::open("/dev/null"),
            };
            match next {
                Ok(file) => self.held.push(file),
                Err(_) => return false,
            }
        }
        true
    }

    /// Gives some up, for one peer; false when nothing is left.
    pub(crate) fn give_up(&mut self) -> bool {
        let some = !self.held.is_empty();
        self.held.truncate(self.held.len().saturating_sub(ONE_PEER));
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_given_up_piece_by_piece_and_filled_again() {
        let mut reserve = Reserve::new();
        assert_eq!(reserve.held.len(), RESERVE);
        for _ in 0..RESERVE / ONE_PEER {
            assert!(reserve.give_up());
        }
        assert!(!reserve.give_up() && reserve.held.is_empty());
        assert!(reserve.fill());
        assert_eq!(reserve.held.len(), RESERVE);
    }
}
