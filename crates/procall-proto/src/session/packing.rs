//! Compression: messages that are worth it travel packed, once both sides have said that they know how.
//!
//! A packed message is one whole message, compressed by itself. So the work for one is bounded by the length of a message, and long bodies,
//! which travel in chunks, cost no more memory than without.

use super::Session;
use super::outbox::Outbox;
use crate::wire::Writer;
use crate::{Event, Fault, Kind, Message, Time};

/// The name of the feature in the info map.
pub(super) const FEATURE: &str = "lz4";
/// Shorter messages are sent as they are, in bytes: packing would cost more than it saves.
const THRESHOLD: usize = 1 << 10;
/// A packed message unpacks to at most so many times its length.
const MAX_RATIO: usize = 100;

/// What a session has that compresses.
#[derive(Debug)]
pub(super) struct Packing {
    /// The next message to send, when it was long enough to be looked at.
    next: Option<Vec<u8>>,
    /// The welcome has yet to be sent, as it is: before it the other side does not know what was agreed.
    greets: bool,
}

impl Packing {
    /// `greets` is true of the side that answers the hello.
    pub(super) fn new(greets: bool) -> Self {
        Self { next: None, greets }
    }

    /// Bytes that were taken out of the outbox and wait to be sent.
    pub(super) fn queued(&self) -> usize {
        self.next.as_ref().map_or(0, Vec::len)
    }

    pub(super) fn clear(&mut self) {
        self.next = None;
    }

    pub(super) fn next_len(&mut self, outbox: &mut Outbox) -> Option<usize> {
        if let Some(next) = &self.next {
            return Some(next.len());
        }
        let len = outbox.next_len()?;
        if len < THRESHOLD || self.greets || outbox.next_held().is_some() {
            return Some(len);
        }
        let mut message = vec![0; len];
        outbox.take(&mut message);
        let next = self.next.insert(pack(&message).unwrap_or(message));
        Some(next.len())
    }

    pub(super) fn take(&mut self, outbox: &mut Outbox, into: &mut [u8]) {
        match self.next.take() {
            Some(next) => into.copy_from_slice(&next),
            None => {
                self.greets = false;
                outbox.take(into);
            }
        }
    }
}

/// The message, packed; `None` when that is no shorter.
fn pack(message: &[u8]) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(message.len());
    Writer::new(&mut packed).array(2).uint(Kind::Packed as u64).uint(message.len() as u64);
    let head = packed.len();
    packed.resize(head + lz4_flex::block::get_maximum_output_size(message.len()), 0);
    // The output has room for the worst case, so this does not fail; if it did, the message would go as it is.
    let len = lz4_flex::block::compress_into(message, &mut packed[head..]).ok()?;
    packed.truncate(head + len);
    if len * MAX_RATIO < message.len() {
        packed.truncate(head);
        believable(message, &mut packed)?;
    }
    (packed.len() < message.len()).then_some(packed)
}

/// Appends a block of a message that packs far better than the other side may believe, such as one of zeros: its first hundredth stands
/// there as it is.
fn believable(message: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (plain, rest) = message.split_at(message.len().div_ceil(MAX_RATIO));
    let mut block = vec![0; lz4_flex::block::get_maximum_output_size(rest.len())];
    let len = lz4_flex::block::compress_into(rest, &mut block).ok()?;
    // A block begins with how many bytes follow as they are: four bits, and more bytes as long as these are all ones.
    let mut bytes = block[..len].iter().copied();
    let token = bytes.next()?;
    let mut literals = usize::from(token >> 4);
    if literals == 15 {
        literals += more(&mut bytes)?;
    }
    let after = len - bytes.len();
    literals += plain.len();
    out.push((literals.min(15) as u8) << 4 | token & 15);
    if let Some(mut left) = literals.checked_sub(15) {
        while left >= 255 {
            out.push(255);
            left -= 255;
        }
        out.push(left as u8);
    }
    out.extend_from_slice(plain);
    out.extend_from_slice(&block[after..len]);
    Some(())
}

/// The rest of a count: a sum of bytes, up to the first that is not 255.
fn more(bytes: &mut impl Iterator<Item = u8>) -> Option<usize> {
    let mut sum = 0;
    loop {
        let byte = bytes.next()?;
        sum += usize::from(byte);
        if byte < 255 {
            return Some(sum);
        }
    }
}

/// The message that was packed. What it claims is checked before any memory is taken for it.
fn unpack(claimed: u64, packed: &[u8], max: usize) -> Result<Vec<u8>, Fault> {
    let fits = |claimed: &usize| *claimed <= max;
    let Some(len) = usize::try_from(claimed).ok().filter(fits) else {
        return Err(Fault::protocol(format!(
            "a packed message of {claimed} bytes, the limit is {max}"
        )));
    };
    if len > packed.len().saturating_mul(MAX_RATIO) {
        return Err(Fault::protocol(format!(
            "a packed message of {} bytes that unpack to {len}: more than {MAX_RATIO} to 1",
            packed.len()
        )));
    }
    let mut message = vec![0; len];
    match lz4_flex::block::decompress_into(packed, &mut message) {
        Ok(unpacked) if unpacked == len => Ok(message),
        Ok(unpacked) => Err(Fault::protocol(format!(
            "a packed message unpacks to {unpacked} bytes and not to the {len} that it says"
        ))),
        Err(error) => Err(Fault::protocol(format!("a packed message cannot be unpacked: {error}"))),
    }
}

impl Session {
    pub(super) fn handle_packed(
        &mut self,
        now: Time,
        claimed: u64,
        packed: &[u8],
    ) -> Result<Option<Event<'static>>, Fault> {
        if self.packing.is_none() {
            return Err(Fault::protocol(
                "a packed message came, but compression was not agreed upon",
            ));
        }
        let bytes = unpack(claimed, packed, self.config.limits.max_message)?;
        let message = match Message::decode(&bytes) {
            Ok(Some(Message::Packed { .. })) => {
                return Err(Fault::protocol("a packed message inside a packed message"));
            }
            Ok(Some(message)) => message,
            Ok(None) => {
                self.counters.unknown += 1;
                return Ok(None);
            }
            Err(error) => return Err(Fault::protocol(error.to_string())),
        };
        Ok(self.handle_open(now, message)?.map(Event::into_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(packed: &[u8]) -> Result<Vec<u8>, Fault> {
        let Ok(Some(Message::Packed { len, body })) = Message::decode(packed) else {
            panic!("it is a packed message");
        };
        unpack(len, body, 1 << 20)
    }

    #[test]
    fn what_is_packed_is_shorter_and_comes_out_again() {
        let text = "a message that says the same again and again; ".repeat(100);
        let packed = pack(text.as_bytes()).unwrap();
        assert!(packed.len() < text.len() / 5);
        assert_eq!(unpacked(&packed).unwrap(), text.as_bytes());
    }

    #[test]
    fn what_packs_too_well_is_packed_so_that_it_is_believed() {
        for len in [1_024, 65_546, 1 << 20] {
            for pattern in [&[0][..], b"ab", b"fifteen letters and a few more of them; "] {
                let message: Vec<u8> = pattern.iter().copied().cycle().take(len).collect();
                let packed = pack(&message).unwrap();
                assert!(packed.len() * 40 < len || len < 4096, "{} of {len}", packed.len());
                assert!(unpacked(&packed).unwrap() == message);
            }
        }
    }

    #[test]
    fn what_would_get_longer_goes_as_it_is() {
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(4096)
        .collect();
        assert_eq!(pack(&noise), None);
    }
}
