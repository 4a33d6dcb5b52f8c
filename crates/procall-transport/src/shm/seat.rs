//! How many links of a process may be in shared memory.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Links of a process that may be in shared memory at the same time; further ones stay with their sockets. Each takes 136 KiB and two
/// descriptors more, and a process that talks to very many has little to gain from it: it finds work whenever it looks.
const MAX_LINKS: usize = 128;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The right of one link to be in shared memory, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    taken: &'static AtomicUsize,
}

impl Seat {
    pub(super) fn take() -> io::Result<Self> {
        Self::of(&TAKEN, MAX_LINKS)
    }

    fn of(taken: &'static AtomicUsize, most: usize) -> io::Result<Self> {
        let one_more = |count| (count < most).then_some(count + 1);
        match taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Self { taken }),
            Err(_) => Err(io::Error::other(format!("{most} links of this process have some"))),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_seats_and_those_given_back_are_taken_again() {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let mut seats: Vec<_> = (0..3).map(|_| Seat::of(&COUNT, 3).unwrap()).collect();
        assert!(Seat::of(&COUNT, 3).unwrap_err().to_string().contains("3 links"));
        seats.pop();
        seats.push(Seat::of(&COUNT, 3).unwrap());
        assert!(Seat::of(&COUNT, 3).is_err());
        drop(seats);
        assert_eq!(COUNT.load(Ordering::Relaxed), 0);
    }
}
