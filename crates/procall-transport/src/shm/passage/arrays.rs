//! What a link has to do with arenas: what it lends, and what it hears of the other side's.

use std::sync::Arc;

use rustix::io::Errno;

use super::{Passage, Stage};
use crate::LinkError;
use crate::shm::arena::{Arena, Buffer};
use crate::shm::lender::Promise;
use crate::shm::loan::Arrivals;
use crate::shm::records::{self, Notice, Received};
use crate::stream::StreamLink;

impl Passage {
    /// The other side takes loans, and its own are to be found here.
    pub(crate) fn lends(&mut self, arrivals: Option<&Arc<Arrivals>>) {
        self.lends = arrivals.is_some();
        if let Some(arrivals) = arrivals {
            self.borrower.tell(arrivals.clone());
        }
    }

    /// Makes ready to lend a buffer with a message; `None` when that cannot be now.
    pub(crate) fn promise(
        &mut self,
        arena: &Arena,
        buffer: &Arc<Buffer>,
        stream: &StreamLink,
    ) -> Result<Option<Promise>, LinkError> {
        // Before the other side's switch has come, it may still take what comes on the socket for messages.
        if !(self.lends && self.sends && self.receives) || stream.check_sending().is_err() {
            return Ok(None);
        }
        let Stage::Joined(ends) = &self.stage else { return Ok(None) };
        self.lender.promise(arena, buffer, ends.theirs(), stream.socket())
    }

    /// After the switch only notices and the end may come on the socket.
    pub(super) fn look_at_socket(&mut self, stream: &StreamLink) -> Result<(), LinkError> {
        loop {
            let mut bytes = [0_u8; records::LEN];
            let room = records::LEN - self.notice.len();
            match records::receive(stream.socket(), &mut bytes[..room], &mut self.arrived) {
                Ok(Received { bytes: 0, .. }) | Err(Errno::CONNRESET | Errno::PIPE) => {
                    self.ended = true;
                    return Ok(());
                }
                Ok(Received { bytes: read, .. }) => self.notice.extend_from_slice(&bytes[..read]),
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(LinkError::Io(error.into())),
            }
            self.take_notices()?;
        }
    }

    /// Acts on the notices that have come as a whole.
    pub(super) fn take_notices(&mut self) -> Result<(), LinkError> {
        while let Some(notice) = self.notice.first_chunk::<{ records::LEN }>() {
            let Some(notice) = Notice::decode(*notice).filter(|_| self.lends) else {
                return Err(LinkError::SharedMemory("bytes on the socket after its switch"));
            };
            self.notice.drain(..records::LEN);
            self.borrower.hear(notice, &mut self.arrived)?;
        }
        if !self.lends && !self.notice.is_empty() {
            return Err(LinkError::SharedMemory("bytes on the socket after its switch"));
        }
        // At most the one of a notice that has not come to its end.
        if self.arrived.len() > usize::from(!self.notice.is_empty()) {
            return Err(LinkError::SharedMemory("a descriptor that belongs to no notice"));
        }
        Ok(())
    }

    /// The message that comes next is lent something.
    pub(super) fn borrow(
        &mut self,
        loan: [u8; records::LOAN],
        stream: &StreamLink,
    ) -> Result<(), LinkError> {
        let Some((region, generation)) = records::loan_of(loan) else {
            return Err(LinkError::Empty);
        };
        // Who lends tells of the memory first, so it is on the socket by now.
        if !self.borrower.knows(region) {
            self.look_at_socket(stream)?;
        }
        let Stage::Joined(ends) = &self.stage else { return Err(LinkError::Empty) };
        self.borrower.borrow(region, generation, ends.own())
    }
}
