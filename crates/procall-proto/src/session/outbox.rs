//! What waits to be sent, in the order that keeps everybody served.
//!
//! Three lanes: control messages go first; small messages go in order; long bodies take turns, one chunk each.
//! So a ping or a small call never waits behind more than one chunk.
//! The header of a long body goes with the small messages and carries none of the body: requests reach the peer in the order of their ids.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::assembly::MIN_CHUNK;
use super::event::Held;
use crate::message::CHUNK_HEADER;
use crate::{Flags, Message};

/// Small messages that may go before a waiting chunk gets its turn, in bytes.
const SMALL_TURN: usize = 64 << 10;
/// Bytes already sent that a lane keeps before it moves the rest to the front.
const COMPACT: usize = 64 << 10;

/// Whole encoded messages, one behind another in one buffer.
#[derive(Debug, Default)]
struct Lane {
    bytes: Vec<u8>,
    head: usize,
    lens: VecDeque<Entry>,
    /// Sequence number of the front message.
    base: u64,
}

#[derive(Debug)]
struct Entry {
    /// The call that the message is about.
    id: u64,
    len: usize,
    /// Taken back before it was sent.
    retracted: bool,
    held: Held,
}

impl Lane {
    /// Appends what `encode` writes and returns its sequence number.
    fn push(&mut self, id: u64, held: Held, encode: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let before = self.bytes.len();
        encode(&mut self.bytes);
        let len = self.bytes.len() - before;
        self.lens.push_back(Entry { id, len, retracted: false, held });
        self.base + self.lens.len() as u64 - 1
    }

    fn front(&mut self) -> Option<usize> {
        while let Some(entry) = self.lens.front() {
            if !entry.retracted {
                return Some(entry.len);
            }
            self.pop();
        }
        None
    }

    fn pop(&mut self) {
        let Some(entry) = self.lens.pop_front() else { return };
        self.base += 1;
        self.head += entry.len;
        if self.head == self.bytes.len() {
            self.bytes.clear();
            self.head = 0;
        } else if self.head > COMPACT && self.head * 2 > self.bytes.len() {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }

    fn copy_front(&mut self, into: &mut [u8]) {
        into.copy_from_slice(&self.bytes[self.head..self.head + into.len()]);
        self.pop();
    }

    fn is_sent(&self, seq: u64) -> bool {
        seq < self.base
    }

    /// Takes back the request at `seq` and what was queued after it for the same call; false when it was sent.
    fn retract(&mut self, seq: u64, id: u64) -> bool {
        let Some(at) = seq.checked_sub(self.base) else { return false };
        for entry in self.lens.iter_mut().skip(at as usize).filter(|entry| entry.id == id) {
            entry.retracted = true;
            entry.held = None;
        }
        // While the link takes nothing, calls that time out must not pile up.
        self.front();
        true
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.head
    }
}

/// The queue of one call in one direction whose next body is long; later messages of the call wait in it.
#[derive(Debug)]
struct Bulk {
    id: u64,
    /// Small messages queued before it go first: one of them may be the call that it belongs to.
    after: u64,
    parts: VecDeque<Part>,
}

#[derive(Debug)]
enum Part {
    /// What is left of a long body, whose header went before it.
    Body { rest: Bytes, request: bool },
    /// A whole message that must not overtake the body before it.
    Message(Vec<u8>, Held),
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Control,
    Small,
    Bulk,
}

/// Where a queued request is, so that it can be taken back or known to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In one message, with this number in the lane of small messages.
    Small(u64),
    /// In chunks; this is the number of its header.
    Long(u64),
    /// Behind a long body of its call, so it is no request.
    Behind,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    control: Lane,
    small: Lane,
    bulk: VecDeque<Bulk>,
    bulk_bytes: usize,
    small_since_bulk: usize,
    /// Longest body part in one message.
    chunk: usize,
    /// Only control messages leave while the handshake goes on.
    open: bool,
    next: Option<(Next, usize)>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            control: Lane::default(),
            small: Lane::default(),
            bulk: VecDeque::new(),
            bulk_bytes: 0,
            small_since_bulk: 0,
            // Until the peer says what it takes.
            chunk: MIN_CHUNK,
            open: false,
            next: None,
        }
    }

    /// The handshake is done: everything may leave, long bodies in parts of `chunk` bytes.
    pub(crate) fn open(&mut self, chunk: usize) {
        self.open = true;
        self.chunk = chunk;
        self.next = None;
    }

    pub(crate) fn chunk(&self) -> usize {
        self.chunk
    }

    /// Bytes that wait.
    pub(crate) fn queued(&self) -> usize {
        self.small.len() + self.bulk_bytes
    }

    pub(crate) fn control(&mut self, message: &Message<'_>) {
        self.next = None;
        self.control.push(0, None, |out| message.encode(out));
    }

    /// Queues a message whose body fits, behind a long body of the same call if there is one.
    pub(crate) fn small(&mut self, id: u64, message: &Message<'_>) -> Place {
        self.holding(id, message, None)
    }

    /// The same of a message that holds something until it is sent.
    pub(crate) fn holding(&mut self, id: u64, message: &Message<'_>, held: Held) -> Place {
        if let Some(bulk) = self.bulk.iter_mut().find(|bulk| bulk.id == id) {
            self.bulk_bytes += bulk.push(message, held);
            return Place::Behind;
        }
        Place::Small(self.small.push(id, held, |out| message.encode(out)))
    }

    /// Queues a long body; `message` is its header with `MORE` and an empty body.
    pub(crate) fn long(&mut self, id: u64, message: &Message<'_>, body: Bytes) -> Place {
        let request = matches!(message, Message::Call(..));
        self.bulk_bytes += body.len();
        let part = Part::Body { rest: body, request };
        if let Some(bulk) = self.bulk.iter_mut().find(|bulk| bulk.id == id) {
            self.bulk_bytes += bulk.push(message, None);
            bulk.parts.push_back(part);
            return Place::Behind;
        }
        let seq = self.small.push(id, None, |out| message.encode(out));
        self.bulk.push_back(Bulk { id, after: seq + 1, parts: VecDeque::from([part]) });
        Place::Long(seq)
    }

    /// Whether the whole request has left this session.
    pub(crate) fn is_sent(&self, id: u64, place: Place) -> bool {
        match place {
            Place::Small(seq) => self.small.is_sent(seq),
            Place::Long(_) | Place::Behind => !self.bulk.iter().any(|bulk| {
                bulk.id == id
                    && bulk
                        .parts
                        .iter()
                        .any(|part| matches!(part, Part::Body { request: true, .. }))
            }),
        }
    }

    /// Drops what is still queued for a call; true when the peer never heard of it.
    pub(crate) fn retract(&mut self, id: u64, place: Place) -> bool {
        self.next = None;
        self.drop_bulk(id);
        match place {
            Place::Small(seq) | Place::Long(seq) => self.small.retract(seq, id),
            Place::Behind => false,
        }
    }

    /// Drops the long bodies of a call and what waits behind them; true when whole messages were among it.
    pub(crate) fn drop_bulk(&mut self, id: u64) -> bool {
        self.next = None;
        let mut messages = false;
        let bulk_bytes = &mut self.bulk_bytes;
        self.bulk.retain(|bulk| {
            if bulk.id == id {
                *bulk_bytes -= bulk.parts.iter().map(Part::len).sum::<usize>();
                messages = bulk.parts.iter().any(|part| matches!(part, Part::Message(..)));
            }
            bulk.id != id
        });
        messages
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.control = Lane::default();
        self.small = Lane { base: self.small.base, ..Lane::default() };
        self.bulk.clear();
        self.bulk_bytes = 0;
        self.next = None;
    }

    /// The length of the next message to send. Stays the same until it is taken or something is queued.
    pub(crate) fn next_len(&mut self) -> Option<usize> {
        if let Some((_, len)) = self.next {
            return Some(len);
        }
        self.next = if let Some(len) = self.control.front() {
            Some((Next::Control, len))
        } else if !self.open {
            None
        } else {
            match self.small.front() {
                Some(len) if !self.bulk_is_due() => Some((Next::Small, len)),
                _ => self.bulk.front().map(|bulk| (Next::Bulk, bulk.next_len(self.chunk))),
            }
        };
        self.next.map(|(_, len)| len)
    }

    /// Whether a chunk goes before the next small message; if so, its body is at the front.
    fn bulk_is_due(&mut self) -> bool {
        if self.small_since_bulk < SMALL_TURN {
            return false;
        }
        let sent = self.small.base;
        match self.bulk.iter().position(|bulk| bulk.after <= sent) {
            Some(at) => {
                self.bulk.rotate_left(at);
                true
            }
            None => false,
        }
    }

    /// What the next message holds; to be asked after [`Outbox::next_len`].
    pub(crate) fn next_held(&self) -> Option<&Held> {
        let held = match self.next?.0 {
            Next::Control => None,
            Next::Small => self.small.lens.front().map(|entry| &entry.held),
            Next::Bulk => match self.bulk.front()?.parts.front()? {
                Part::Message(_, held) => Some(held),
                Part::Body { .. } => None,
            },
        };
        held.filter(|held| held.is_some())
    }

    /// Writes the next message into `into`, which has exactly [`Outbox::next_len`] bytes.
    pub(crate) fn take(&mut self, into: &mut [u8]) {
        match self.next.take() {
            Some((Next::Control, _)) => self.control.copy_front(into),
            Some((Next::Small, _)) => {
                self.small_since_bulk += into.len();
                self.small.copy_front(into);
            }
            Some((Next::Bulk, _)) => self.take_bulk(into),
            None => {}
        }
    }

    fn take_bulk(&mut self, into: &mut [u8]) {
        self.small_since_bulk = 0;
        let Some(mut bulk) = self.bulk.pop_front() else { return };
        self.bulk_bytes -= bulk.take(into);
        // To the back: the next long body gets its turn.
        if !bulk.parts.is_empty() {
            self.bulk.push_back(bulk);
        }
    }
}

impl Part {
    /// Bytes accounted as queued.
    fn len(&self) -> usize {
        match self {
            Self::Body { rest, .. } => rest.len(),
            Self::Message(encoded, _) => encoded.len(),
        }
    }
}

impl Bulk {
    /// Appends a whole message and returns its length.
    fn push(&mut self, message: &Message<'_>, held: Held) -> usize {
        let mut encoded = Vec::new();
        message.encode(&mut encoded);
        let len = encoded.len();
        self.parts.push_back(Part::Message(encoded, held));
        len
    }

    fn next_len(&self, chunk: usize) -> usize {
        match self.parts.front() {
            Some(Part::Body { rest, .. }) => CHUNK_HEADER + rest.len().min(chunk),
            Some(Part::Message(encoded, _)) => encoded.len(),
            None => 0,
        }
    }

    /// Writes the next part and returns how many accounted bytes left.
    fn take(&mut self, into: &mut [u8]) -> usize {
        match self.parts.front_mut() {
            Some(Part::Message(encoded, _)) => {
                into.copy_from_slice(encoded);
                let len = encoded.len();
                self.parts.pop_front();
                len
            }
            Some(Part::Body { rest, .. }) => {
                let (into_head, into_body) = into.split_at_mut(CHUNK_HEADER);
                let len = into_body.len();
                into_body.copy_from_slice(&rest[..len]);
                rest.advance(len);
                let last = rest.is_empty();
                let mut head = Vec::with_capacity(CHUNK_HEADER);
                Message::Chunk { id: self.id, last, body: &[] }.encode(&mut head);
                into_head.copy_from_slice(&head);
                if last {
                    self.parts.pop_front();
                }
                len
            }
            None => 0,
        }
    }
}

/// The flags of a body of which only the first part goes with its header.
pub(crate) fn more(flags: Flags) -> Flags {
    flags.with(Flags::MORE, true)
}
