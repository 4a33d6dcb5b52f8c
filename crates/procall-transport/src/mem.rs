//! Links inside one process: for tests, for embedding, and as the bridge to libraries that insist on a runtime of their own.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::buffer::{Inbox, Outbox};
use crate::readiness::{Kick, Set};
use crate::{Link, LinkError, LinkInfo, LinkOptions};

/// Two links connected to each other in this process.
///
/// [`LinkOptions::max_queued`] also bounds what lies between them, as the kernel's own queue does for a socket: once so many bytes
/// (and at least one message) are unread, `flush` keeps the rest.
///
/// # Errors
///
/// When the process is out of descriptors.
///
/// ```
/// use procall_transport::{Link, LinkOptions, mem};
///
/// let (mut left, mut right) = mem::pair(&LinkOptions::default())?;
/// left.buffer(2)?.expect("room").copy_from_slice(b"hi");
/// left.commit();
/// assert!(left.flush()?);
/// assert_eq!(right.receive()?, Some(&b"hi"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pair(options: &LinkOptions) -> io::Result<(MemLink, MemLink)> {
    let middle = Arc::new(Middle {
        ends: Mutex::new([End::default(), End::default()]),
        kicks: [Kick::new()?, Kick::new()?],
        max_unread: options.max_queued,
    });
    Ok((MemLink::new(&middle, 0, options)?, MemLink::new(&middle, 1, options)?))
}

/// One end of a [`pair`].
#[derive(Debug)]
pub struct MemLink {
    middle: Arc<Middle>,
    /// Which end we are; the other is `1 - side`.
    side: usize,
    readiness: Set,
    inbox: Inbox,
    outbox: Outbox,
    info: LinkInfo,
    /// The peer has closed, so sending has ended.
    mute: bool,
    dead: bool,
}

/// What both ends share.
#[derive(Debug)]
struct Middle {
    ends: Mutex<[End; 2]>,
    /// Each end's kick is up exactly while that end could make progress. It changes only under the lock.
    kicks: [Kick; 2],
    max_unread: usize,
}

#[derive(Default)]
struct End {
    /// Whole messages, with prefixes, that this end has not yet taken.
    unread: Vec<u8>,
    /// Length with prefix of the message this end wants to send and for which there was no room.
    waits_to_send: Option<usize>,
    closed: bool,
    /// Why its kick is up.
    kicked: Reasons,
}

/// What an end could do: take what is unread, send on, see the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reasons {
    unread: bool,
    room: bool,
    closed: bool,
}

impl Reasons {
    /// Whether one of them is new. Whoever goes by edges has acted on the others already, or has chosen not to.
    fn more_than(self, before: Self) -> bool {
        self.unread && !before.unread || self.room && !before.room || self.closed && !before.closed
    }
}

/// Sizes only: what people send each other does not belong into logs.
impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("End");
        all.field("unread", &self.unread.len()).field("waits_to_send", &self.waits_to_send);
        all.field("closed", &self.closed).field("kicked", &self.kicked).finish()
    }
}

impl Middle {
    fn lock(&self) -> MutexGuard<'_, [End; 2]> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, unread: &[u8], need: usize) -> bool {
        unread.is_empty() || unread.len() + need <= self.max_unread
    }

    /// Raises or lowers both kicks, as the state now demands; each new reason is another kick, as each arrival on a socket is another edge.
    fn settle(&self, ends: &mut [End; 2]) {
        for side in [0, 1] {
            let (this, other) = (&ends[side], &ends[1 - side]);
            let now = Reasons {
                unread: !this.unread.is_empty(),
                room: this.waits_to_send.is_some_and(|need| self.has_room(&other.unread, need)),
                closed: this.closed || other.closed,
            };
            if now.more_than(this.kicked) {
                self.kicks[side].kick();
            } else if now == Reasons::default() && this.kicked != now {
                self.kicks[side].drain();
            }
            ends[side].kicked = now;
        }
    }
}

impl MemLink {
    fn new(middle: &Arc<Middle>, side: usize, options: &LinkOptions) -> io::Result<Self> {
        let readiness = Set::new()?;
        readiness.add(middle.kicks[side].as_fd(), 0, false)?;
        Ok(Self {
            middle: Arc::clone(middle),
            side,
            readiness,
            inbox: Inbox::new(options.message_limit()),
            outbox: Outbox::new(options),
            info: LinkInfo::new("mem", options.message_limit()),
            mute: false,
            dead: false,
        })
    }

    fn check_sending(&self) -> Result<(), LinkError> {
        if self.dead || self.mute { Err(LinkError::Closed) } else { Ok(()) }
    }

    /// Takes all that lies between the ends; whether that was anything.
    fn fetch(&mut self) -> Result<bool, LinkError> {
        let mut ends = self.middle.lock();
        let fetched = !ends[self.side].unread.is_empty();
        if fetched {
            self.inbox.exchange(&mut ends[self.side].unread);
            self.middle.settle(&mut ends);
        } else if ends[1 - self.side].closed {
            self.dead = true;
            return Err(LinkError::Closed);
        }
        Ok(fetched)
    }
}

impl Link for MemLink {
    fn buffer(&mut self, len: usize) -> Result<Option<&mut [u8]>, LinkError> {
        self.check_sending()?;
        self.outbox.lend(len)
    }

    fn commit(&mut self) {
        self.outbox.commit();
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        self.check_sending()?;
        let mut ends = self.middle.lock();
        if ends[1 - self.side].closed {
            self.mute = true;
            return Err(LinkError::Closed);
        }
        ends[self.side].waits_to_send = None;
        while let Some(need) = self.outbox.first() {
            let unread = &mut ends[1 - self.side].unread;
            if !self.middle.has_room(unread, need) {
                ends[self.side].waits_to_send = Some(need);
                break;
            }
            unread.extend_from_slice(&self.outbox.unsent()[..need]);
            self.outbox.sent(need);
        }
        self.middle.settle(&mut ends);
        Ok(ends[self.side].waits_to_send.is_none())
    }

    fn receive(&mut self) -> Result<Option<&[u8]>, LinkError> {
        if self.dead {
            return Err(LinkError::Closed);
        }
        loop {
            if let Some(at) = self.inbox.take()? {
                return Ok(Some(self.inbox.message(at)));
            }
            if !self.fetch()? {
                return Ok(None);
            }
        }
    }

    fn info(&self) -> &LinkInfo {
        &self.info
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.readiness.as_fd()
    }

    fn close(&mut self) {
        self.dead = true;
        let mut ends = self.middle.lock();
        ends[self.side].closed = true;
        ends[self.side].unread = Vec::new();
        self.middle.settle(&mut ends);
    }
}

impl Drop for MemLink {
    fn drop(&mut self) {
        self.close();
    }
}
