//! The keys of one map, to find the one that stands twice.

use std::collections::HashSet;
use std::hash::Hash;

/// Maps are mostly small, so keys are compared one by one until there are too many for that.
const FEW: usize = 16;

/// The keys seen so far.
#[derive(Debug)]
pub(super) struct Keys<K> {
    few: Vec<K>,
    many: HashSet<K>,
}

impl<K: Hash + Eq> Keys<K> {
    pub(super) fn new() -> Self {
        Self { few: Vec::new(), many: HashSet::new() }
    }

    /// Adds a key; false when it was there already.
    pub(super) fn insert(&mut self, key: K) -> bool {
        if self.few.contains(&key) || self.many.contains(&key) {
            return false;
        }
        if self.few.len() < FEW {
            self.few.push(key);
            return true;
        }
        self.many.insert(key)
    }
}
