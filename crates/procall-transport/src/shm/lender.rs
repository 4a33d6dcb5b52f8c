//! What a link lends of our memory to the other side.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use rustix::io::Errno;

use super::SLOTS;
use super::arena::{Arena, Buffer, Segment, Use};
use super::records::{self, Notice};
use super::region::Region;
use crate::LinkError;

/// A buffer that a link will lend with a message, and how the message has to name it.
///
/// The memory stays as it is for as long as this lives, and after the message has left until the other side is done with it.
#[derive(Debug)]
pub struct Promise {
    /// The number of the memory on this link.
    pub region: u32,
    /// Which use of that memory is meant.
    pub generation: u32,
    account: Arc<Use>,
    _buffer: Arc<Buffer>,
}

impl Promise {
    /// The bytes that go before the message, which is on its way from here on.
    pub(crate) fn keep(&self) -> [u8; records::LOAN] {
        self.account.lent.fetch_add(1, Ordering::AcqRel);
        records::loan(self.region, self.generation)
    }
}

/// A segment that the other side knows.
#[derive(Debug)]
struct Known {
    /// The number of the segment in this process.
    segment: u64,
    /// Its number on this link.
    region: u32,
    life: Weak<()>,
    account: Arc<Use>,
}

/// All that one link lends.
pub(super) struct Lender {
    slots: [Option<Known>; SLOTS],
    /// The number of the next segment that is told of.
    next: u32,
}

impl fmt::Debug for Lender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.slots.iter().flatten().count();
        f.debug_struct("Lender").field("known", &known).field("next", &self.next).finish()
    }
}

impl Lender {
    pub(super) fn new() -> Self {
        Self { slots: [const { None }; SLOTS], next: 0 }
    }

    /// Tells the other side of the buffer's memory, if it does not know it yet. `None` when it cannot be told now.
    pub(super) fn promise(
        &mut self,
        arena: &Arena,
        buffer: &Arc<Buffer>,
        theirs: &Arc<Region>,
        socket: BorrowedFd<'_>,
    ) -> Result<Option<Promise>, LinkError> {
        if !arena.owns(buffer) {
            return Ok(None);
        }
        let Some((segment, generation)) = buffer.lent() else { return Ok(None) };
        let known = self.slots.iter().flatten().find(|known| known.segment == segment.number());
        let (region, account) = match known {
            Some(known) => (known.region, known.account.clone()),
            None => match self.tell(segment, theirs, socket)? {
                Some(told) => told,
                None => return Ok(None),
            },
        };
        Ok(Some(Promise { region, generation, account, _buffer: buffer.clone() }))
    }

    fn tell(
        &mut self,
        segment: &Segment,
        theirs: &Arc<Region>,
        socket: BorrowedFd<'_>,
    ) -> Result<Option<(u32, Arc<Use>)>, LinkError> {
        self.withdraw_gone(socket)?;
        // A slot whose last loan is not given back yet would make a later one look as if it were.
        let is_usable = |known: &Option<Known>| {
            known
                .as_ref()
                .is_none_or(|known| known.life.strong_count() == 0 && known.account.is_settled())
        };
        let Some(slot) = self.slots.iter().position(is_usable) else { return Ok(None) };
        if !say(socket, Notice::Here { slot: slot as u16 }, &[segment.memory()])? {
            return Ok(None);
        }
        let before = self.slots[slot].take();
        let lent = before.map_or(0, |known| known.account.lent.load(Ordering::Acquire));
        let account = Arc::new(Use {
            lent: AtomicU32::new(lent),
            slot,
            theirs: theirs.clone(),
            over: AtomicBool::new(false),
        });
        let region = self.next;
        self.next = self.next.wrapping_add(1);
        segment.used_by(account.clone());
        self.slots[slot] = Some(Known {
            segment: segment.number(),
            region,
            life: segment.life(),
            account: account.clone(),
        });
        Ok(Some((region, account)))
    }

    /// Says of memory that we have given up that it will not be lent again, so that the other side lets go of it too.
    fn withdraw_gone(&mut self, socket: BorrowedFd<'_>) -> Result<(), LinkError> {
        for (slot, known) in self.slots.iter_mut().enumerate() {
            let Some(gone) = known else { continue };
            // One that was told of has no segment any more; and a message that lends it may still be under way.
            let told = gone.segment == 0;
            if told || gone.life.strong_count() > 0 || !gone.account.is_settled() {
                continue;
            }
            if !say(socket, Notice::Gone { slot: slot as u16 }, &[])? {
                break;
            }
            gone.segment = 0;
        }
        Ok(())
    }

    /// The link is over: what is not given back by now never will be.
    pub(super) fn end(&self) {
        for known in self.slots.iter().flatten() {
            known.account.over.store(true, Ordering::Release);
        }
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends a notice on the socket; false when there is no room for it now.
fn say(
    socket: BorrowedFd<'_>,
    notice: Notice,
    descriptors: &[BorrowedFd<'_>],
) -> Result<bool, LinkError> {
    match records::send_bytes(socket, notice.encode(), descriptors) {
        Ok(sent) => Ok(sent),
        Err(Errno::PIPE | Errno::CONNRESET) => Err(LinkError::Closed),
        // Too many descriptors are under way: the other side does not read its socket.
        Err(Errno::TOOMANYREFS) => Ok(false),
        Err(error) => Err(LinkError::Io(error.into())),
    }
}
