//! Secrets, and comparing them.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

/// Longest secret in bytes.
const MAX_SECRET: usize = 256;

/// The secrets of which an initiator has to show one.
///
/// They are never shown: not by `Debug`, not in errors, and not by the time it takes to compare them.
///
/// ```
/// use procall_proto::Secrets;
///
/// let secrets = Secrets::new([b"alpha".to_vec(), b"beta".to_vec()]);
/// assert_eq!(secrets.find(b"beta"), Some(1));
/// assert_eq!(secrets.find(b"bet"), None);
/// assert_eq!(format!("{secrets:?}"), "2 secrets");
/// ```
#[derive(Clone, Default)]
pub struct Secrets {
    all: Arc<[Vec<u8>]>,
    optional: bool,
}

impl Secrets {
    /// These; with none of them, nobody has to show one.
    pub fn new(all: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { all: all.into_iter().collect(), optional: false }
    }

    /// The same, but a peer that shows none is let in too; a wrong one is still refused.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether a peer that shows none is refused.
    pub fn are_needed(&self) -> bool {
        !self.optional && !self.all.is_empty()
    }

    /// Which of them this is. Every byte of every secret is looked at, whatever the outcome.
    pub fn find(&self, given: &[u8]) -> Option<usize> {
        let mut found = None;
        for (at, secret) in self.all.iter().enumerate() {
            if same(secret, given) {
                found = Some(at);
            }
        }
        found
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.all.len())
    }
}

/// Compares without telling by the time it takes where the two differ, or how long the expected one is. Longer ones than 256 bytes are no
/// secrets of ours.
pub(super) fn same(expected: &[u8], given: &[u8]) -> bool {
    let byte = |secret: &[u8], at: usize| secret.get(at).copied().unwrap_or_default();
    let mut differing = expected.len() ^ given.len();
    for at in 0..MAX_SECRET {
        differing |= usize::from(black_box(byte(expected, at) ^ byte(given, at)));
    }
    let sensible = expected.len() <= MAX_SECRET;
    black_box(differing) == 0 && sensible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_are_the_same() {
        assert!(same(b"abc", b"abc"));
        assert!(same(b"", b""));
        for other in [&b"abd"[..], b"ab", b"abcd", b"abc\0", b"", b"xbc"] {
            assert!(!same(b"abc", other), "{other:?}");
        }
        let long = vec![7; MAX_SECRET + 1];
        assert!(!same(&long, &long));
        let mut end = vec![7; MAX_SECRET];
        let other = end.clone();
        end[MAX_SECRET - 1] = 8;
        assert!(!same(&end, &other));
    }

    #[test]
    fn those_of_no_secret_let_everybody_in() {
        let none = Secrets::default();
        assert!(none.is_empty() && !none.are_needed());
        let some = Secrets::new([b"x".to_vec()]);
        assert!(some.are_needed() && !some.clone().optional().are_needed());
        assert_eq!(some.find(b""), None);
    }
}
