//! Which worker the calls with a key go to.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::peer::Number;

/// Keys that are remembered at most; those that were not used for the longest time are forgotten first.
const MAX_KEYS: usize = 65_536;

/// The keys in use. Two generations, so that forgetting the oldest costs nothing a call.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    hasher: RandomState,
    young: HashMap<u64, Number>,
    old: HashMap<u64, Number>,
}

impl Pins {
    /// A key means something to one service only.
    pub(crate) fn hash(&self, service: &str, key: &str) -> u64 {
        self.hasher.hash_one((service, key))
    }

    pub(crate) fn find(&mut self, hash: u64) -> Option<Number> {
        if let Some(&peer) = self.young.get(&hash) {
            return Some(peer);
        }
        let peer = self.old.remove(&hash)?;
        self.insert(hash, peer);
        Some(peer)
    }

    pub(crate) fn insert(&mut self, hash: u64, peer: Number) {
        if self.young.len() >= MAX_KEYS / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, peer);
    }

    pub(crate) fn remove(&mut self, hash: u64) {
        self.young.remove(&hash);
        self.old.remove(&hash);
    }

    /// Where a new key goes: the worker with the highest hash of both (rendezvous hashing, Thaler and Ravishankar 1996), so that keys are spread
    /// evenly and few move when a worker comes or goes.
    pub(crate) fn home(&self, hash: u64, workers: impl Iterator<Item = Number>) -> Option<Number> {
        workers.max_by_key(|worker| self.hasher.hash_one((hash, worker)))
    }
}
