//! Which worker a call may go to, before it is known whether that one has room.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use procall::{CallOptions, Error, ErrorCode, Executed};

use super::queue::Entry;
use super::{Busyness, DispatchPolicy, Seat, State};

/// Keys that are remembered at most; those that were not used for the longest time are forgotten first. A forgotten key is pinned anew, to the
/// same worker unless workers have come or gone for good.
const MAX_KEYS: usize = 65_536;
/// Workers that a message names.
const NAMED: usize = 8;

/// Where a call may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To whichever worker the policy picks.
    Any,
    /// To the worker at this place only.
    Seat(usize),
    /// To the worker that this key is pinned to.
    Key { index: usize, hash: u64 },
}

impl Route {
    /// The only place it may go to.
    pub(super) fn seat(self) -> Option<usize> {
        match self {
            Self::Any => None,
            Self::Seat(index) | Self::Key { index, .. } => Some(index),
        }
    }

    pub(super) fn key(self) -> Option<u64> {
        match self {
            Self::Key { hash, .. } => Some(hash),
            Self::Any | Self::Seat(_) => None,
        }
    }
}

/// What a key is pinned to.
#[derive(Debug, Clone, Copy)]
struct Pin {
    index: usize,
    /// How many processes had been lost there by then.
    losses: u64,
}

/// The keys in use. Two generations, so that forgetting the oldest costs nothing a call: when the young are many they become the old, and the
/// old are forgotten unless they were used meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    hasher: RandomState,
    young: HashMap<u64, Pin>,
    old: HashMap<u64, Pin>,
}

impl Pins {
    fn find(&mut self, hash: u64) -> Option<Pin> {
        if let Some(pin) = self.young.get(&hash) {
            return Some(*pin);
        }
        let pin = self.old.remove(&hash)?;
        self.insert(hash, pin);
        Some(pin)
    }

    fn insert(&mut self, hash: u64, pin: Pin) {
        if self.young.len() >= MAX_KEYS / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, pin);
    }

    fn remove(&mut self, hash: u64) {
        self.young.remove(&hash);
        self.old.remove(&hash);
    }
}

impl State {
    /// Where a call with these options may go.
    pub(super) fn route(&mut self, options: &CallOptions) -> Result<Route, Error> {
        if let Some(name) = &options.to {
            return match self.seats.iter().position(|seat| seat.is_in_use() && *seat.name == **name)
            {
                Some(index) => self.check_seat(index).map(|()| Route::Seat(index)),
                None => Err(self.no_such_worker(name)),
            };
        }
        let Some(key) = &options.key else { return Ok(Route::Any) };
        let hash = self.pins.hasher.hash_one(&**key);
        if let Some(pin) = self.pins.find(hash) {
            let seat = &self.seats[pin.index];
            if seat.losses != pin.losses {
                let error = lost(seat);
                self.pins.remove(hash);
                return Err(error);
            }
            return self.check_seat(pin.index).map(|()| Route::Key { index: pin.index, hash });
        }
        let Some(index) = self.home_of(hash) else { return Err(self.no_worker()) };
        self.pins.insert(hash, Pin { index, losses: self.seats[index].losses });
        Ok(Route::Key { index, hash })
    }

    /// The place of a new key: the one with the highest hash of both (rendezvous hashing, Thaler and Ravishankar 1996), so that the keys are
    /// spread evenly, and few move when a place comes or goes.
    fn home_of(&self, hash: u64) -> Option<usize> {
        let usable = self.seats.iter().enumerate().filter(|(_, seat)| seat.is_hopeful());
        usable
            .max_by_key(|(index, _)| self.pins.hasher.hash_one((hash, index)))
            .map(|(index, _)| index)
    }

    /// The loss of a key's worker was told to a caller: the next call with the key begins anew.
    pub(super) fn forget_lost_key(&mut self, hash: u64) {
        if let Some(pin) = self.pins.find(hash)
            && self.seats[pin.index].losses != pin.losses
        {
            self.pins.remove(hash);
        }
    }

    /// The same of all who are about to be told.
    pub(super) fn forget_lost_keys(&mut self, told: &[Entry]) {
        for hash in told.iter().filter_map(|entry| entry.route().key()) {
            self.forget_lost_key(hash);
        }
    }

    /// An error when the worker that the call is meant for is down for good.
    fn check_seat(&self, index: usize) -> Result<(), Error> {
        down(&self.seats[index]).map_or(Ok(()), Err)
    }

    fn no_such_worker(&self, name: &str) -> Error {
        let names: Vec<&str> =
            self.seats.iter().filter(|seat| seat.is_in_use()).map(|seat| &*seat.name).collect();
        let more = if names.len() > NAMED { " and more" } else { "" };
        let listed = names[..names.len().min(NAMED)].join(", ");
        Error::new(
            ErrorCode::NotFound,
            format!("there is no worker \"{name}\" in this pool; it has {listed}{more}"),
        )
    }

    /// The worker with room that the policy wants.
    pub(super) fn pick(&mut self) -> Option<usize> {
        let fitting = self.seats.iter().enumerate().filter(|(_, seat)| seat.has_room());
        match self.policy {
            DispatchPolicy::IdleFirst => fitting.min_by_key(|(_, seat)| seat.in_flight()),
            // By the share of its slots that is taken; of equal ones, that which has had the fewest calls.
            DispatchPolicy::LeastLoaded => fitting.min_by(|(_, a), (_, b)| {
                let shares = (u64::from(a.in_flight()) * u64::from(b.slots()))
                    .cmp(&(u64::from(b.in_flight()) * u64::from(a.slots())));
                shares.then(a.calls.cmp(&b.calls))
            }),
            DispatchPolicy::RoundRobin => {
                let (last, count) = (self.last_picked, self.seats.len());
                fitting.min_by_key(|&(index, _)| (index + count - last - 1) % count)
            }
        }
        .map(|(index, _)| index)
    }
}

/// A worker that calls with a key went to is gone, and with it what it kept for them.
pub(super) fn lost(seat: &Seat) -> Error {
    let how = seat.last_exit.as_deref().unwrap_or("it has gone");
    Error::new(
        ErrorCode::WorkerLost,
        format!(
            "{} was lost, where the calls with this key went ({how}); the next call with the key goes to a new worker",
            seat.name
        ),
    )
    .with_executed(Executed::No)
    .with_worker(&*seat.name)
}

/// Why a worker will not come by itself, if it will not.
pub(super) fn down(seat: &Seat) -> Option<Error> {
    let error = match seat.busyness() {
        Busyness::Failed => {
            let message = format!("{} has failed: {}", seat.name, seat.reason());
            Error::new(ErrorCode::NoWorker, message).with_trace(seat.last_words())
        }
        Busyness::Stopped | Busyness::Spare => {
            Error::new(ErrorCode::NoWorker, format!("{} was stopped", seat.name))
        }
        _ => return None,
    };
    Some(error.with_worker(&*seat.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_remembered_while_they_are_used_and_bounded() {
        let mut pins = Pins::default();
        let pin = |index| Pin { index, losses: 0 };
        pins.insert(1, pin(7));
        for hash in 2..MAX_KEYS as u64 * 2 {
            pins.insert(hash, pin(0));
            assert_eq!(pins.find(1).map(|pin| pin.index), Some(7), "after {hash}");
        }
        assert!(pins.young.len() + pins.old.len() <= MAX_KEYS);
        assert!(pins.find(2).is_none(), "the oldest is forgotten");
    }
}
