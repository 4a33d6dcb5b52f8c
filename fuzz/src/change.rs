//! Bytes changed at random, from a seed, without a fuzzer.

/// Changes of inputs; the same seed makes the same changes.
///
/// ```
/// use procall_fuzz::Change;
///
/// let parents = [b"one".to_vec(), b"another".to_vec()];
/// let (mut first, mut second) = (Change::new(7), Change::new(7));
/// assert_eq!(first.of(&parents), second.of(&parents));
/// ```
#[derive(Debug)]
pub struct Change {
    state: u64,
}

impl Change {
    /// Changes that follow from this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// SplitMix64, by Sebastiano Vigna, who has put it into the public domain.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        // The remainder of a number so large is even enough here.
        (self.next() % bound.max(1) as u64) as usize
    }

    /// One of the parents, changed in up to four places.
    pub fn of(&mut self, parents: &[Vec<u8>]) -> Vec<u8> {
        let picked = self.below(parents.len());
        let mut bytes = parents.get(picked).cloned().unwrap_or_default();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(7) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.next() as u8),
                2 => self.splice(&mut bytes, at, parents),
                3 => self.repeat(&mut bytes, at),
                4 => self.drain(&mut bytes, at),
                // The numbers at which something usually changes.
                5 => self.set(
                    &mut bytes,
                    at,
                    &[0, 1, 0x7f, 0x80, 0xc0, 0xc1, 0xd9, 0xdf, 0xfe, 0xff],
                ),
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
            }
        }
        bytes
    }

    /// From here on as another parent.
    fn splice(&mut self, bytes: &mut Vec<u8>, at: usize, parents: &[Vec<u8>]) {
        let other = &parents[self.below(parents.len())];
        let from = self.below(other.len() + 1);
        bytes.truncate(at);
        bytes.extend_from_slice(&other[from..]);
    }

    fn repeat(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let end = at + self.below(bytes.len() - at + 1);
        let piece = bytes[at..end].to_vec();
        let times = self.below(8);
        bytes.splice(end..end, piece.repeat(times));
    }

    fn drain(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let end = at + self.below(bytes.len() - at + 1);
        bytes.drain(at..end);
    }

    fn set(&mut self, bytes: &mut [u8], at: usize, values: &[u8]) {
        if let Some(byte) = bytes.get_mut(at) {
            *byte = values[self.below(values.len())];
        }
    }
}
