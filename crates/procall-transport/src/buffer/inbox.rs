//! What has arrived and was not yet taken.

use std::fmt;
use std::ops::Range;

use super::{BASE, GULP, LITTLE, PREFIX, Slack};
use crate::LinkError;

/// Bytes as they arrived, cut into messages one by one.
///
/// ```text
/// | taken | taken | next message … | partial | spare capacity, not yet written to |
///                 ^ start                    ^ bytes.len()                        ^ bytes.capacity()
/// ```
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    limit: usize,
    /// The largest message since the buffer was last empty.
    largest: usize,
    slack: Slack,
}

impl Inbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, limit, largest: 0, slack: Slack::default() }
    }

    /// From now on messages may have so many bytes.
    pub(crate) fn limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Where the next whole message is, which is thereby taken; `None` while its end has not arrived.
    pub(crate) fn take(&mut self) -> Result<Option<Range<usize>>, LinkError> {
        let Some(len) = self.announced()? else { return Ok(None) };
        let message = self.start + PREFIX..self.start + PREFIX + len;
        if message.end > self.bytes.len() {
            return Ok(None);
        }
        self.start = message.end;
        self.largest = self.largest.max(len);
        Ok(Some(message))
    }

    /// Takes what stands behind a length of zero, that length included, once `N` bytes of it are there.
    pub(crate) fn take_record<const N: usize>(&mut self) -> Option<[u8; N]> {
        let record = *self.bytes[self.start..].first_chunk::<N>()?;
        self.start += N;
        Some(record)
    }

    /// All that was received and not taken.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.bytes[self.start..].to_vec();
        self.start = self.bytes.len();
        rest
    }

    /// The bytes of a message that was taken; valid until [`spare`](Self::spare).
    pub(crate) fn message(&self, at: Range<usize>) -> &[u8] {
        &self.bytes[at]
    }

    /// Whether a message has begun and not ended.
    pub(crate) fn is_partial(&self) -> bool {
        self.start < self.bytes.len()
    }

    /// The buffer with room to append what arrives next; never without any room.
    ///
    /// To be called when [`take`](Self::take) found nothing whole. It grows to no more than twice what has arrived, never to what
    /// the peer merely announced: four bytes must not cost us a megabyte.
    pub(crate) fn spare(&mut self) -> &mut Vec<u8> {
        if !self.is_partial() {
            self.reset();
        }
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(BASE);
        }
        if self.room() < GULP && self.start > 0 {
            self.bytes.copy_within(self.start.., 0);
            self.bytes.truncate(self.bytes.len() - self.start);
            self.start = 0;
        }
        if self.room() == 0 {
            let whole = match self.announced() {
                Ok(Some(len)) => PREFIX + len,
                Ok(None) | Err(_) => 0,
            };
            let capacity = self.bytes.capacity();
            let target = (2 * capacity).min(whole).max(capacity + GULP);
            self.bytes.reserve_exact(target - self.bytes.len());
        }
        &mut self.bytes
    }

    /// Whether it has little room, so that what arrives had better be read [aside](super::aside) and then be [put](Self::put) here.
    pub(crate) fn is_little(&self) -> bool {
        self.bytes.capacity() < BASE
    }

    /// Appends what was read elsewhere. The first time that this is much, there will be as much room here.
    pub(crate) fn put(&mut self, arrived: &[u8]) {
        if !self.is_partial() {
            self.reset();
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        let whole = self.bytes.len() + arrived.len();
        if whole > LITTLE {
            self.bytes.reserve_exact(whole.max(BASE) - self.bytes.len());
        }
        self.bytes.extend_from_slice(arrived);
    }

    /// Takes over `arrived`, which holds whole messages, and gives an empty buffer in return. To be called when
    /// [`take`](Self::take) found nothing.
    pub(crate) fn exchange(&mut self, arrived: &mut Vec<u8>) {
        debug_assert!(!self.is_partial(), "only whole messages are exchanged");
        self.reset();
        std::mem::swap(&mut self.bytes, arrived);
    }

    /// Bytes of memory held.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Throws away what arrived.
    pub(crate) fn clear(&mut self) {
        self.start = self.bytes.len();
    }

    /// The length of the next message, as soon as its four bytes are there.
    fn announced(&self) -> Result<Option<usize>, LinkError> {
        let Some(prefix) = self.bytes[self.start..].first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*prefix);
        if len == 0 {
            return Err(LinkError::Empty);
        }
        if len as usize > self.limit {
            return Err(LinkError::TooLarge { len: len.into(), max: self.limit });
        }
        Ok(Some(len as usize))
    }

    fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    fn reset(&mut self) {
        self.bytes.clear();
        self.start = 0;
        if self.slack.give_back(self.bytes.capacity(), self.largest) {
            self.bytes = Vec::new();
        }
        self.largest = 0;
    }
}

/// Sizes only: what people send each other does not belong into logs.
impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unread = self.bytes.len() - self.start;
        f.debug_struct("Inbox")
            .field("unread", &unread)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(len: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(len).unwrap().to_be_bytes().to_vec();
        bytes.resize(PREFIX + len, 7);
        bytes
    }

    /// Appends no more than fits, as a read would.
    fn feed(inbox: &mut Inbox, mut bytes: &[u8]) -> Vec<usize> {
        let mut taken = Vec::new();
        while !bytes.is_empty() {
            let spare = inbox.spare();
            let (now, later) = bytes.split_at(bytes.len().min(spare.capacity() - spare.len()));
            assert!(!now.is_empty(), "there is always room");
            spare.extend_from_slice(now);
            bytes = later;
            while let Some(at) = inbox.take().unwrap() {
                taken.push(inbox.message(at).len());
            }
        }
        taken
    }

    #[test]
    fn a_claim_alone_costs_nothing() {
        let mut inbox = Inbox::new(1 << 30);
        feed(&mut inbox, &(1_u32 << 30).to_be_bytes());
        assert_eq!(inbox.capacity(), BASE);
    }

    #[test]
    fn little_takes_little_and_much_makes_room() {
        let mut inbox = Inbox::new(1 << 20);
        for part in framed(30).chunks(20) {
            inbox.put(part);
        }
        assert_eq!(inbox.take().unwrap().map(|at| inbox.message(at).len()), Some(30));
        assert!(inbox.capacity() <= 128, "{}", inbox.capacity());
        let two = [framed(LITTLE), framed(9)].concat();
        inbox.put(&two[..LITTLE]);
        assert_eq!(inbox.take().unwrap(), None);
        assert!(inbox.is_little());
        inbox.put(&two[LITTLE..]);
        assert!(!inbox.is_little());
        for len in [LITTLE, 9] {
            assert_eq!(inbox.take().unwrap().map(|at| inbox.message(at).len()), Some(len));
        }
    }

    #[test]
    fn capacity_follows_what_arrived() {
        let mut inbox = Inbox::new(1 << 24);
        let large = framed(1 << 24);
        for (i, part) in large.chunks(100_000).enumerate() {
            feed(&mut inbox, part);
            assert!(
                inbox.capacity() <= BASE.max(2 * (i + 1) * 100_000 + GULP),
                "{} after part {i}",
                inbox.capacity()
            );
        }
        assert!(inbox.capacity() <= large.len() + GULP);
    }

    #[test]
    fn small_messages_after_a_large_one_give_the_memory_back() {
        let mut inbox = Inbox::new(1 << 24);
        assert_eq!(feed(&mut inbox, &framed(1 << 20)), [1 << 20]);
        assert!(inbox.capacity() >= 1 << 20);
        for _ in 0..=super::super::PATIENCE {
            feed(&mut inbox, &framed(10));
        }
        assert_eq!(inbox.capacity(), BASE);
    }

    #[test]
    fn a_stream_of_messages_never_allocates_again() {
        let mut inbox = Inbox::new(1 << 20);
        let stream: Vec<u8> = (1..2_000).flat_map(|len| framed(len * 13 % 9_000 + 1)).collect();
        feed(&mut inbox, &stream[..10]);
        let before = inbox.bytes.as_ptr();
        assert_eq!(feed(&mut inbox, &stream[10..]).len(), 1_999);
        assert_eq!(inbox.bytes.as_ptr(), before);
    }
}
