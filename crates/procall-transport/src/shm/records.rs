//! What the two sides of a socket tell each other on the way into shared memory.
//!
//! ```text
//! | 00 00 00 00 | kind | log2 of the ring's bytes | 00 00 |
//! ```
//!
//! A length of zero, which no message can have, sets a record apart from messages.

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

/// Sends a record with its descriptors, whole or not at all; false when the socket has no room.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    record: Record,
    descriptors: &[BorrowedFd<'_>],
) -> Result<bool, Errno> {
    let bytes = record.encode();
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
            [0, 0, 0, 0, 1, 32, 0, 0],
            [0, 0, 0, 0, 1, 16, 0, 1],
        ] {
            assert_eq!(Record::decode(bytes), None, "{bytes:?}");
        }
    }
}
