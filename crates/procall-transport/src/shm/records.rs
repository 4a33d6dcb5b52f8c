//! What the two sides of a socket tell each other on the way into shared memory.
//!
//! ```text
//! | 00 00 00 00 | kind | log2 of the ring's bytes | 00 00 |
//! ```
//!
//! A length of zero, which no message can have, sets a record apart from messages.
//!
//! Later they tell each other of their arenas: *notices* on the socket, of memory that is there or gone, and in the ring, before a message,
//! *loans* of what it names.
//!
//! ```text
//! | 00 00 00 00 | kind | 00 | slot  |          on the socket: 5 here, with the memory, or 6 gone
//! | 00 00 00 00 | 07 00 00 00 | region | generation |      in the ring
//! ```

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Bytes of a record.
pub(crate) const LEN: usize = 8;
/// Descriptors that an offer and its answer bring: the memory and the bell.
pub(super) const DESCRIPTORS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Here is my memory, give me yours.
    Offer,
    /// I have yours, here is mine.
    Answer,
    /// Let us stay with the socket.
    Decline,
    /// My bytes on this socket end here, what follows is in my memory.
    Switch,
    /// Make me an offer; from here on I can receive descriptors.
    Ask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    /// Bytes of the sender's ring; of offers and answers.
    pub(super) capacity: u32,
}

impl Record {
    pub(super) fn encode(self) -> [u8; LEN] {
        let kind = match self.kind {
            Kind::Offer => 1,
            Kind::Answer => 2,
            Kind::Decline => 3,
            Kind::Switch => 4,
            Kind::Ask => 5,
        };
        [0, 0, 0, 0, kind, self.capacity.trailing_zeros() as u8, 0, 0]
    }

    /// `None` for what is no record.
    pub(super) fn decode(bytes: [u8; LEN]) -> Option<Self> {
        let [0, 0, 0, 0, kind, log2, 0, 0] = bytes else { return None };
        let kind = match kind {
            1 => Kind::Offer,
            2 => Kind::Answer,
            3 => Kind::Decline,
            4 => Kind::Switch,
            5 => Kind::Ask,
            _ => return None,
        };
        Some(Self { kind, capacity: 1_u32.checked_shl(log2.into())? })
    }
}

/// Whether that is a record that asks for an offer.
pub(crate) fn is_ask(bytes: [u8; LEN]) -> bool {
    Record::decode(bytes).is_some_and(|record| record.kind == Kind::Ask)
}

/// What one side tells of its arena on the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Here is memory for this slot.
    Here { slot: u16 },
    /// The memory of this slot will not be lent again.
    Gone { slot: u16 },
}

impl Notice {
    pub(super) fn encode(self) -> [u8; LEN] {
        let (kind, slot) = match self {
            Self::Here { slot } => (6, slot),
            Self::Gone { slot } => (7, slot),
        };
        let [low, high] = slot.to_le_bytes();
        [0, 0, 0, 0, kind, 0, low, high]
    }

    /// `None` for anything else.
    pub(super) fn decode(bytes: [u8; LEN]) -> Option<Self> {
        let [0, 0, 0, 0, kind, 0, low, high] = bytes else { return None };
        let slot = u16::from_le_bytes([low, high]);
        match kind {
            6 => Some(Self::Here { slot }),
            7 => Some(Self::Gone { slot }),
            _ => None,
        }
    }
}

/// Bytes of a loan.
pub(crate) const LOAN: usize = 16;

/// A loan that goes before its message.
pub(super) fn loan(region: u32, generation: u32) -> [u8; LOAN] {
    let mut bytes = [0; LOAN];
    bytes[4] = 8;
    bytes[8..12].copy_from_slice(&region.to_le_bytes());
    bytes[12..].copy_from_slice(&generation.to_le_bytes());
    bytes
}

/// The region and generation of a loan; `None` for anything else.
pub(super) fn loan_of(bytes: [u8; LOAN]) -> Option<(u32, u32)> {
    let [0, 0, 0, 0, 8, 0, 0, 0, rest @ ..] = bytes else { return None };
    let ([region, generation], _) = rest.as_chunks::<4>() else { return None };
    Some((u32::from_le_bytes(*region), u32::from_le_bytes(*generation)))
}

/// Sends a record with its descriptors, whole or not at all; false when the socket has no room.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    record: Record,
    descriptors: &[BorrowedFd<'_>],
) -> Result<bool, Errno> {
    send_bytes(socket, record.encode(), descriptors)
}

/// The same of a record's bytes.
pub(super) fn send_bytes(
    socket: BorrowedFd<'_>,
    bytes: [u8; LEN],
    descriptors: &[BorrowedFd<'_>],
) -> Result<bool, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL);
    }
    loop {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(socket, &[io::IoSlice::new(&bytes)], &mut control, flags) {
            // A stream socket takes so few bytes in one piece.
            Ok(LEN) => return Ok(true),
            Ok(_) => return Err(Errno::IO),
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// What one read gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) bytes: usize,
    /// There were descriptors that this process had no room for.
    pub(super) missing: bool,
}

/// One read, with the descriptors that came with what was read; more than anybody may send are closed by the kernel, and told as an error.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    into: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> Result<Received, Errno> {
    // One more than is allowed, so that one too many is seen.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS + 1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    loop {
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        match recvmsg(socket, &mut [io::IoSliceMut::new(into)], &mut control, flags) {
            Ok(received) => {
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(arrived) = message {
                        descriptors.extend(arrived);
                    }
                }
                let missing = received.flags.contains(ReturnFlags::CTRUNC);
                return Ok(Received { bytes: received.bytes, missing });
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the other side has gone: a look that takes nothing.
pub(super) fn has_ended(socket: BorrowedFd<'_>) -> bool {
    let mut byte = [0_u8; 1];
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    match rustix::net::recv(socket.as_fd(), &mut byte, flags) {
        Ok((_, 0)) | Err(Errno::CONNRESET | Errno::PIPE) => true,
        Ok(_) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_from_everything_else() {
        for kind in [Kind::Offer, Kind::Answer, Kind::Decline, Kind::Switch, Kind::Ask] {
            let record = Record { kind, capacity: 1 << 16 };
            assert_eq!(Record::decode(record.encode()), Some(record));
        }
        for bytes in [
            [0; LEN],
            [0, 0, 0, 1, 1, 16, 0, 0],
            [0, 0, 0, 0, 6, 16, 0, 0],
            Notice::Here { slot: 0 }.encode(),
            [0, 0, 0, 0, 1, 32, 0, 0],
            [0, 0, 0, 0, 1, 16, 0, 1],
        ] {
            assert_eq!(Record::decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn notices_and_loans_are_told_from_everything_else() {
        for notice in
            [Notice::Here { slot: 0 }, Notice::Gone { slot: 63 }, Notice::Here { slot: 999 }]
        {
            assert_eq!(Notice::decode(notice.encode()), Some(notice));
        }
        for bytes in
            [[0; LEN], [0, 0, 0, 0, 4, 0, 0, 0], [0, 0, 0, 1, 5, 0, 0, 0], [0, 0, 0, 0, 5, 1, 0, 0]]
        {
            assert_eq!(Notice::decode(bytes), None, "{bytes:?}");
        }
        assert_eq!(loan_of(loan(7, u32::MAX)), Some((7, u32::MAX)));
        for at in 0..8 {
            let mut bytes = loan(7, 9);
            bytes[at] ^= 1;
            assert_eq!(loan_of(bytes), None, "{at}");
        }
    }
}
