//! What is to be sent and was not yet taken by the kernel.

use std::fmt;

use super::{BASE, GULP, PREFIX, Slack};
use crate::{LinkError, LinkOptions};

/// Bytes that a buffer has once there was anything to send.
const LEAST: usize = 512;

/// A queue of messages as they will be on the wire. Its bytes are always initialised, so that lending them costs no clearing.
///
/// ```text
/// | sent | queued messages … | lent: prefix and room | not in use |
///        ^ head              ^ tail                               ^ bytes.len()
/// ```
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    head: usize,
    tail: usize,
    /// Length with prefix of the message that was lent and not committed.
    lent: Option<usize>,
    max_message: usize,
    max_queued: usize,
    slack: Slack,
}

impl Outbox {
    pub(crate) fn new(options: &LinkOptions) -> Self {
        Self {
            bytes: Vec::new(),
            head: 0,
            tail: 0,
            lent: None,
            max_message: options.message_limit(),
            max_queued: options.max_queued,
            slack: Slack::default(),
        }
    }

    /// Room for one message of `len` bytes, its prefix already written; `None` when the queue is full.
    pub(crate) fn lend(&mut self, len: usize) -> Result<Option<&mut [u8]>, LinkError> {
        Ok(self.lend_behind(0, len)?.map(|(_, room)| room))
    }

    /// The same, and right before it room for so many bytes that are no message: both are queued together, or neither.
    #[expect(clippy::type_complexity, reason = "the two rooms lie side by side")]
    pub(crate) fn lend_behind(
        &mut self,
        before: usize,
        len: usize,
    ) -> Result<Option<(&mut [u8], &mut [u8])>, LinkError> {
        self.lent = None;
        if len == 0 {
            return Err(LinkError::Empty);
        }
        if len > self.max_message {
            return Err(LinkError::TooLarge { len: len as u64, max: self.max_message });
        }
        // A bound of zero still lets one message through at a time.
        if self.tail - self.head >= self.max_queued.max(1) {
            return Ok(None);
        }
        let prefix = u32::try_from(len).expect("max_message is at most u32::MAX").to_be_bytes();
        let need = before + PREFIX + len;
        self.make_room(need);
        self.lent = Some(need);
        let (front, rest) = self.bytes[self.tail..self.tail + need].split_at_mut(before);
        let (length, room) = rest.split_at_mut(PREFIX);
        length.copy_from_slice(&prefix);
        Ok(Some((front, room)))
    }

    /// Queues what was lent.
    pub(crate) fn commit(&mut self) {
        self.tail += self.lent.take().unwrap_or(0);
    }

    /// Everything queued and not yet sent.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.bytes[self.head..self.tail]
    }

    /// Length with prefix of the first queued message, provided that only whole messages were ever sent.
    pub(crate) fn first(&self) -> Option<usize> {
        let prefix = self.unsent().first_chunk::<PREFIX>()?;
        Some(PREFIX + u32::from_be_bytes(*prefix) as usize)
    }

    /// Forgets the first `n` unsent bytes. The room is used again by the next [`lend`](Self::lend), not here, because what was lent
    /// must stay where it is.
    pub(crate) fn sent(&mut self, n: usize) {
        debug_assert!(n <= self.tail - self.head, "no more can be sent than was queued");
        self.head += n;
    }

    /// Bytes of memory held.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    fn make_room(&mut self, need: usize) {
        if self.head == self.tail {
            if self.slack.give_back(self.bytes.capacity(), self.tail.max(need)) {
                self.bytes = Vec::new();
            }
            self.head = 0;
            self.tail = 0;
        }
        // Moving only when no more is moved than was sent since keeps the moving proportional to the sending.
        if self.tail + need > self.bytes.len() && self.head >= self.tail - self.head {
            self.bytes.copy_within(self.head..self.tail, 0);
            self.tail -= self.head;
            self.head = 0;
        }
        let end = self.tail + need;
        if end > self.bytes.len() {
            let target = if end <= BASE {
                end.next_power_of_two().max(LEAST)
            } else {
                end.next_multiple_of(GULP)
            };
            // `resize` at least doubles the allocation, so that growing by gulps does not copy again and again.
            self.bytes.resize(target, 0);
        }
    }
}

/// Sizes only: what people send each other does not belong into logs.
impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Outbox");
        all.field("unsent", &self.unsent().len())
            .field("lent", &self.lent)
            .field("capacity", &self.capacity());
        all.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox() -> Outbox {
        Outbox::new(&LinkOptions { max_message: 1 << 20, ..LinkOptions::default() })
    }

    fn put(outbox: &mut Outbox, message: &[u8]) {
        outbox.lend(message.len()).unwrap().unwrap().copy_from_slice(message);
        outbox.commit();
    }

    #[test]
    fn what_is_lent_survives_sending_in_between() {
        let mut outbox = outbox();
        put(&mut outbox, b"one");
        outbox.lend(3).unwrap().unwrap().copy_from_slice(b"two");
        outbox.sent(outbox.unsent().len());
        outbox.commit();
        assert_eq!(outbox.unsent(), b"\0\0\0\x03two");
    }

    #[test]
    fn a_second_loan_replaces_the_first() {
        let mut outbox = outbox();
        outbox.lend(3).unwrap().unwrap().copy_from_slice(b"one");
        outbox.lend(2).unwrap().unwrap().copy_from_slice(b"22");
        outbox.commit();
        outbox.commit();
        assert_eq!(outbox.unsent(), b"\0\0\0\x0222");
    }

    #[test]
    fn a_refused_loan_leaves_nothing_to_commit() {
        let mut outbox = outbox();
        outbox.lend(3).unwrap().unwrap();
        assert!(outbox.lend(2 << 20).is_err());
        outbox.commit();
        assert_eq!(outbox.unsent(), b"");
    }

    #[test]
    fn memory_stays_bounded_when_the_kernel_takes_little() {
        let mut outbox = outbox();
        let message = [1; 1_000];
        for _ in 0..20_000 {
            if let Some(room) = outbox.lend(message.len()).unwrap() {
                room.copy_from_slice(&message);
                outbox.commit();
            }
            outbox.sent(outbox.unsent().len().min(900));
        }
        assert!(outbox.capacity() <= 8 << 20, "{}", outbox.capacity());
    }

    #[test]
    fn small_messages_after_a_large_one_give_the_memory_back() {
        let mut outbox = outbox();
        put(&mut outbox, &vec![0; 1 << 20]);
        outbox.sent(outbox.unsent().len());
        for _ in 0..=super::super::PATIENCE {
            put(&mut outbox, b"small");
            outbox.sent(outbox.unsent().len());
        }
        assert!(outbox.capacity() <= BASE, "{}", outbox.capacity());
    }
}
