//! A link over any stream socket: what `unix` and `tcp` have in common.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use crate::buffer::{GULP, Inbox, Outbox, aside};
use crate::readiness::Readiness;
use crate::shm::RECORD;
use crate::{LinkError, LinkInfo, LinkOptions, TlsError};

/// How much unread input [`StreamLink::close`] throws away. A socket closed with unread input makes TCP send a reset, and a reset
/// makes the peer lose what we had flushed; a peer that still sends more than this has to live with that.
pub(crate) const MAX_DISCARDED: usize = 1 << 20;

/// What has arrived.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A message, and where it lies in the inbox.
    Message(Range<usize>),
    /// A word about shared memory.
    Record([u8; RECORD]),
}

/// Messages with a length prefix over one stream socket.
#[derive(Debug)]
pub(crate) struct StreamLink {
    // Before the socket, so that at drop the epoll descriptor never watches a closed number.
    pub(crate) readiness: Readiness,
    pub(crate) socket: OwnedFd,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    pub(crate) info: LinkInfo,
    /// The last read was short, so the kernel had no more: the next look is left to level-triggered readiness, instead of an extra
    /// read that only says "nothing".
    drained: bool,
    /// No whole message has come yet.
    strange: bool,
    /// What ended sending only.
    mute: Option<LinkError>,
    /// What ended the link.
    pub(crate) dead: Option<LinkError>,
}

impl StreamLink {
    pub(crate) fn new(socket: OwnedFd, info: LinkInfo, options: &LinkOptions) -> io::Result<Self> {
        Ok(Self {
            readiness: Readiness::new(socket.as_fd())?,
            socket,
            inbox: Inbox::new(options.message_limit()),
            outbox: Outbox::new(options),
            info,
            drained: false,
            strange: true,
            mute: None,
            dead: None,
        })
    }

    pub(crate) fn buffer(&mut self, len: usize) -> Result<Option<&mut [u8]>, LinkError> {
        self.check_sending()?;
        self.outbox.lend(len)
    }

    pub(crate) fn commit(&mut self) {
        self.outbox.commit();
    }

    pub(crate) fn flush(&mut self) -> Result<bool, LinkError> {
        self.check_sending()?;
        if self.flush_once()? {
            return Ok(true);
        }
        // Room that came between the short send and the watch for it has had its wake-up before there was one. A waiter that goes by edges gets
        // no other: with unread input the descriptor was readable before, and stays so. From here on each room made is told.
        self.flush_once()
    }

    /// Sends once, and watches for room exactly while something is left.
    fn flush_once(&mut self) -> Result<bool, LinkError> {
        let len = self.outbox.unsent().len();
        let sent = if len == 0 { Ok(0) } else { self.send(len) };
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => return Err(self.fall_silent(error)),
        };
        self.outbox.sent(sent);
        let done = sent == len;
        match self.readiness.want_room(self.socket.as_fd(), !done) {
            Ok(()) => Ok(done),
            Err(error) => Err(self.fall_silent(error.into())),
        }
    }

    pub(crate) fn receive(&mut self) -> Result<Option<&[u8]>, LinkError> {
        match self.next(false)? {
            Some(Arrival::Message(at)) => Ok(Some(self.inbox.message(at))),
            Some(Arrival::Record(_)) | None => Ok(None),
        }
    }

    /// What comes next; what stands behind a length of zero is an error unless `records` may come.
    pub(crate) fn next(&mut self, records: bool) -> Result<Option<Arrival>, LinkError> {
        if let Some(dead) = &self.dead {
            return Err(dead.again());
        }
        loop {
            match self.inbox.take() {
                Ok(Some(at)) => {
                    self.strange = false;
                    return Ok(Some(Arrival::Message(at)));
                }
                Ok(None) => {}
                Err(LinkError::Empty) if records => {
                    if let Some(record) = self.inbox.take_record() {
                        return Ok(Some(Arrival::Record(record)));
                    }
                }
                Err(error) => {
                    let error = if self.strange { seen_through(error) } else { error };
                    return Err(self.die(error));
                }
            }
            if std::mem::take(&mut self.drained) {
                return Ok(None);
            }
            match self.read() {
                Ok(Some(0)) if self.inbox.is_partial() => {
                    return Err(self.die(LinkError::Truncated));
                }
                Ok(Some(0)) => return Err(self.die(LinkError::Closed)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.die(error.into())),
            }
        }
    }

    pub(crate) fn limit(&mut self, max_message: usize) {
        self.inbox.limit(max_message.min(self.info.max_message));
    }

    pub(crate) fn info(&self) -> &LinkInfo {
        &self.info
    }

    pub(crate) fn readiness(&self) -> BorrowedFd<'_> {
        self.readiness.as_fd()
    }

    pub(crate) fn wants_room(&self) -> bool {
        self.readiness.wants_room()
    }

    pub(crate) fn close(&mut self) {
        if self.dead.is_none() {
            self.die(LinkError::Closed);
        }
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Bytes of memory that both buffers hold.
    pub(crate) fn memory(&self) -> usize {
        self.inbox.capacity() + self.outbox.capacity()
    }

    pub(crate) fn check_sending(&self) -> Result<(), LinkError> {
        match self.dead.as_ref().or(self.mute.as_ref()) {
            Some(error) => Err(error.again()),
            None => Ok(()),
        }
    }

    /// Somebody else reads the socket from now on: what is known of the last read is of the past.
    pub(crate) fn hand_over(&mut self) -> &Self {
        self.drained = false;
        self
    }

    /// Watches the socket for room to send, or no longer.
    pub(crate) fn watch_for_room(&mut self, wanted: bool) -> io::Result<()> {
        self.readiness.want_room(self.socket.as_fd(), wanted)
    }

    /// One send for the first `len` bytes queued; 0 when the kernel has no room.
    pub(crate) fn send(&self, len: usize) -> Result<usize, LinkError> {
        loop {
            match send(
                &self.socket,
                &self.outbox.unsent()[..len],
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            ) {
                Ok(sent) => return Ok(sent),
                Err(Errno::AGAIN) => return Ok(0),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(LinkError::Closed),
                Err(error) => return Err(LinkError::Io(error.into())),
            }
        }
    }

    /// One read into the inbox: how many bytes, 0 at end of file, `None` when nothing is there.
    pub(crate) fn read(&mut self) -> io::Result<Option<usize>> {
        let Self { socket, inbox, drained, .. } = self;
        if inbox.is_little() {
            let read = aside(|buffer| {
                let read = read_into(socket.as_fd(), buffer, drained)?;
                inbox.put(buffer);
                Ok(read)
            });
            if let Some(read) = read {
                return read;
            }
        }
        read_into(socket.as_fd(), inbox.spare(), drained)
    }

    /// No more sending, while what the peer sent before it went can still be received.
    pub(crate) fn fall_silent(&mut self, error: LinkError) -> LinkError {
        let _ = self.readiness.want_room(self.socket.as_fd(), false);
        self.mute = Some(error.again());
        error
    }

    /// The end: the peer learns it, and every later call repeats why.
    pub(crate) fn die(&mut self, error: LinkError) -> LinkError {
        self.dead = Some(error.again());
        // A socket that the peer has closed may refuse all of this; there is then nobody left to tell.
        let _ = shutdown(&self.socket, Shutdown::Write);
        self.discard_input();
        let _ = shutdown(&self.socket, Shutdown::Both);
        error
    }

    fn discard_input(&mut self) {
        for _ in 0..MAX_DISCARDED / GULP {
            self.inbox.clear();
            if !matches!(self.read(), Ok(Some(1..))) {
                return;
            }
        }
    }
}

/// One read into the room of a buffer, and whether it took all there was.
fn read_into(
    socket: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    drained: &mut bool,
) -> io::Result<Option<usize>> {
    let room = buffer.capacity() - buffer.len();
    loop {
        match recv(socket, spare_capacity(buffer), RecvFlags::DONTWAIT) {
            Ok((read, _)) => {
                *drained = read > 0 && read < room;
                return Ok(Some(read));
            }
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            // The peer went without reading all that we sent: for what it sent to us, this is the end of file.
            Err(Errno::CONNRESET | Errno::PIPE) => return Ok(Some(0)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a refused length really is when it is the first thing that is said: the head of a record of TLS is a length of more than 335 MiB.
fn seen_through(error: LinkError) -> LinkError {
    /// An alert, and a handshake; behind each the version.
    const HEADS: [u64; 2] = [0x15_03, 0x16_03];
    match error {
        LinkError::TooLarge { len, .. } if HEADS.contains(&(len >> 16)) => {
            LinkError::Tls(TlsError::PeerSpeaksTls)
        }
        error => error,
    }
}
