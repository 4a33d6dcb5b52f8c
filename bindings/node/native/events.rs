//! Writes events into the array that JavaScript lends for a turn: records in front, bodies behind them.

use procall::{Encoded, Encoding};
use slab::Slab;

use crate::records::{EVENT_LEN, EVENTS, OWN_BODY};

/// Bodies up to this long are copied into the shared buffer; longer ones are handed over as they are.
const INLINE: usize = 16 << 10;

/// The array of one turn.
pub(crate) struct Events<'a> {
    array: &'a mut [u8],
    bodies: &'a mut Slab<Vec<u8>>,
    count: usize,
    used: usize,
}

/// One event without its body.
#[derive(Default)]
pub(crate) struct Event {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) flags: u32,
    pub(crate) extra: [u32; 2],
}

impl Event {
    pub(crate) fn new(kind: u32, id: usize) -> Self {
        // Places of slabs and numbers that JavaScript gave as 32 bits.
        Self { kind, id: id as u32, ..Self::default() }
    }
}

impl<'a> Events<'a> {
    pub(crate) fn new(array: &'a mut [u8], bodies: &'a mut Slab<Vec<u8>>) -> Self {
        Self { array, bodies, count: 0, used: EVENTS * EVENT_LEN }
    }

    /// Whether everything fits that one look at a call can bring at once, whatever the bodies: progress, a sent item, and an outcome.
    pub(crate) fn has_room(&self) -> bool {
        self.count + 3 <= EVENTS && self.array.len().saturating_sub(self.used) >= 3 * INLINE
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// An event without a body.
    pub(crate) fn put(&mut self, event: &Event) {
        self.write(event, Encoding::None, event.flags, 0, 0);
    }

    /// An event with a body that stays with its owner: it is copied.
    pub(crate) fn put_body(&mut self, event: &Event, encoding: Encoding, body: &[u8]) {
        if body.len() > INLINE {
            return self.put_own(event, Encoded::new(encoding, body.to_vec()));
        }
        let offset = self.used;
        self.array[offset..offset + body.len()].copy_from_slice(body);
        self.used += body.len();
        self.write(event, encoding, event.flags, offset, body.len());
    }

    /// An event with a body that can be given away.
    pub(crate) fn put_own(&mut self, event: &Event, body: Encoded) {
        if body.bytes.len() <= INLINE {
            return self.put_body(event, body.encoding, &body.bytes);
        }
        let length = body.bytes.len();
        let number = self.bodies.insert(body.bytes);
        self.write(event, body.encoding, event.flags | OWN_BODY, number, length);
    }

    fn write(
        &mut self,
        event: &Event,
        encoding: Encoding,
        flags: u32,
        offset: usize,
        length: usize,
    ) {
        let record = &mut self.array[self.count * EVENT_LEN..][..EVENT_LEN];
        // Bodies have at most 256 MiB, so that all of it fits 32 bits.
        let fields = [
            event.kind,
            event.id,
            u32::from(encoding.number()),
            flags,
            offset as u32,
            length as u32,
            event.extra[0],
            event.extra[1],
        ];
        for (place, field) in record.as_chunks_mut::<4>().0.iter_mut().zip(fields) {
            *place = field.to_ne_bytes();
        }
        self.count += 1;
    }
}
