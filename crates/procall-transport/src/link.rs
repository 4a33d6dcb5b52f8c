//! The contract every transport keeps, and the plain values that go with it.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use crate::TlsError;
use crate::shm::Choice;
use crate::unix::UnixLink;

/// A link carries whole messages between two peers and never waits.
///
/// The contract; `tests/contract/` checks every bullet on every transport, in the same words:
///
/// - Messages arrive whole and in the order in which they were committed.
/// - Many messages that arrived together come out one after another without further system calls.
/// - A message may arrive one byte at a time; it comes out when it is whole.
/// - Nothing waits: `receive` on an empty link gives `None`, `buffer` on a full one gives `None`, `flush` sends what fits.
/// - The send queue is bounded; when it was full, readiness fires once the peer has read and `flush` can go on.
/// - Readiness is level-triggered, quiet when idle, and fires at end of file.
/// - Readiness does not fire because the peer reads, unless bytes are unsent.
/// - What was flushed before a close is received first, then `Closed`.
/// - End of file inside a message is `Truncated`.
/// - A length of zero and a length above the limit are refused at once, and nothing is allocated for them.
/// - A message of exactly `max_message` bytes passes; one byte more is refused by `buffer`, and the link lives on.
/// - Errors are sticky: after one, every later call gives an error of the same kind.
/// - `close` is idempotent, and the peer sees `Closed`.
/// - Memory grows only as bytes arrive, and shrinks again after large messages.
/// - A link that gives `edges` tells of each arrival and of end of file there; `wants_room` says when readiness is needed beside it.
///
/// `None` from [`receive`](Self::receive) is the invitation to wait on [`readiness`](Self::readiness), not a proof of emptiness:
/// something may have arrived since the link last looked, and then readiness fires.
///
/// An error of [`flush`](Self::flush) is final for sending only: [`receive`](Self::receive) still hands out what the peer sent
/// before it went, because among it may be the answer somebody waits for. An error of `receive` is final for both, end of file
/// included: a peer that stops sending has gone, there is no half-open link.
///
/// ```
/// use procall_transport::{Link, LinkError, LinkOptions, mem};
///
/// let (mut left, mut right) = mem::pair(&LinkOptions::default())?;
/// assert!(right.receive()?.is_none());
///
/// left.buffer(3)?.expect("room").copy_from_slice(b"one");
/// left.commit();
/// left.flush()?;
/// left.close();
///
/// assert_eq!(right.receive()?, Some(&b"one"[..]));
/// assert!(matches!(right.receive(), Err(LinkError::Closed)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Link: Send + fmt::Debug {
    /// Borrows room for one outgoing message of exactly `len` bytes, to be filled and then [committed](Self::commit).
    ///
    /// `Ok(None)` when the send queue holds [`LinkOptions::max_queued`] bytes or more: flush, and if bytes remain wait for
    /// readiness, then ask again. The bytes lent are not cleared: fill all of them.
    ///
    /// # Errors
    ///
    /// [`LinkError::TooLarge`] above [`LinkInfo::max_message`] and [`LinkError::Empty`] for zero; these two only refuse, nothing
    /// was queued and the link lives on. Otherwise what ended the link.
    fn buffer(&mut self, len: usize) -> Result<Option<&mut [u8]>, LinkError>;

    /// Queues the message last borrowed with [`buffer`](Self::buffer), whole. Without a borrowed buffer it does nothing.
    fn commit(&mut self);

    /// Hands queued bytes to the kernel as far as it takes them.
    ///
    /// `Ok(true)`: all gone. `Ok(false)`: some remain, and the readiness descriptor then also fires when there is room again.
    ///
    /// # Errors
    ///
    /// [`LinkError::Closed`] when the peer no longer reads; otherwise what ended the link.
    fn flush(&mut self) -> Result<bool, LinkError>;

    /// The next whole message, or `None` when nothing is there now.
    ///
    /// # Errors
    ///
    /// [`LinkError::Closed`] after the peer's last message, or what else ended the link.
    fn receive(&mut self) -> Result<Option<&[u8]>, LinkError>;

    /// From now on refuses messages of the peer's that are longer than so many bytes, or than [`LinkInfo::max_message`]: for as long as it is
    /// not known who the peer is. A link that cannot do that does nothing, as the default.
    fn limit(&mut self, max_message: usize) {
        let _ = max_message;
    }

    /// The Unix link below, if that is what it is: for an owner that can move it to shared memory.
    fn unix(&mut self) -> Option<&mut UnixLink> {
        None
    }

    /// What is fixed about this link.
    fn info(&self) -> &LinkInfo;

    /// One epoll descriptor: readable, level-triggered, whenever `receive` or `flush` could make progress, and at end of file.
    ///
    /// It speaks for what lies in the kernel: call `receive` until it says `None` before waiting here.
    fn readiness(&self) -> BorrowedFd<'_>;

    /// The socket below, for a waiter that is told of edges (`EPOLLET`): each arrival is one, end of file another, or a flag on the one before.
    /// It costs such a waiter less than [`readiness`](Self::readiness), which watches that same socket.
    ///
    /// Nobody is told here of room to send: while [`wants_room`](Self::wants_room), wait on `readiness` too. A link that is more than what lies
    /// in one socket gives nothing, as the default.
    fn edges(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether bytes are unsent for want of room, so that [`readiness`](Self::readiness) also fires when there is some. By default false, which
    /// is the truth where [`edges`](Self::edges) gives nothing: nobody asks there.
    fn wants_room(&self) -> bool {
        false
    }

    /// Closes our side at once: the peer sees end of file after what was flushed; what was not flushed is lost.
    ///
    /// Dropping a link without this only closes its descriptors, so that a forked copy cannot hang up for its parent.
    fn close(&mut self);
}

/// What is fixed about a link.
///
/// ```
/// use procall_transport::LinkInfo;
///
/// let info = LinkInfo::new("mine", 1 << 20).with_address("mine:somewhere");
/// assert_eq!(info.transport, "mine");
/// assert!(!info.zero_copy);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkInfo {
    /// The kind of link: `"mem"`, `"unix"`, `"tcp"`, `"tls"`, or the name of your own. A Unix link that has moved to shared memory says `"shm"`.
    pub transport: &'static str,
    /// The largest message, in bytes, that this link sends or accepts.
    pub max_message: usize,
    /// Whether large bodies can cross as memory instead of bytes.
    pub zero_copy: bool,
    /// Who is at the other end, where the kernel vouches for it.
    pub peer: Option<PeerCredentials>,
    /// Where the other end is, for people to read.
    pub address: String,
}

impl LinkInfo {
    /// A link of this transport and limit: copying, with no known peer, its address being the transport's name.
    pub fn new(transport: &'static str, max_message: usize) -> Self {
        Self {
            transport,
            max_message,
            zero_copy: false,
            peer: None,
            address: format!("{transport}:"),
        }
    }

    /// Says whether large bodies can cross as memory.
    #[must_use]
    pub fn with_zero_copy(mut self, zero_copy: bool) -> Self {
        self.zero_copy = zero_copy;
        self
    }

    /// Says who is at the other end.
    #[must_use]
    pub fn with_peer(mut self, peer: PeerCredentials) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Says where the other end is, for people to read.
    #[must_use]
    pub fn with_address(mut self, address: impl Into<String>) -> Self {
        self.address = address.into();
        self
    }
}

/// The process that held the other end of a Unix socket when it was connected, as the kernel saw it.
///
/// For a pair both ends name the process that made the pair, also after one of them was inherited by a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerCredentials {
    /// Process id, or 0 when the peer lives in a process namespace that we cannot see.
    pub pid: u32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

/// How a link ended, or why it refused.
///
/// ```
/// use procall_transport::{Link, LinkError, LinkOptions, mem};
///
/// let (mut link, _peer) = mem::pair(&LinkOptions::default())?;
/// let error = link.buffer(usize::MAX).unwrap_err();
/// assert!(matches!(error, LinkError::TooLarge { .. }));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// End of file between two messages: the peer closed, or went away (a broken pipe and a reset count as the same).
    #[error("the link is closed")]
    Closed,
    /// End of file inside a message: its rest is lost.
    #[error("the link was closed in the middle of a message")]
    Truncated,
    /// A message is larger than this link's limit.
    #[error("a message of {len} bytes is larger than this link's limit of {max} bytes")]
    TooLarge {
        /// Length asked for, or claimed by the peer.
        len: u64,
        /// The limit.
        max: usize,
    },
    /// A message of length zero, which no message can have.
    #[error("a message of zero bytes")]
    Empty,
    /// The peer broke the rules of shared memory.
    #[error("the other side misuses shared memory: {0}")]
    SharedMemory(&'static str),
    /// TLS was to be spoken, and cannot.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// The kernel refused.
    #[error("the link failed: {0}")]
    Io(#[from] io::Error),
}

impl LinkError {
    /// The same error once more: a dead link repeats what killed it.
    ///
    /// [`LinkError::Io`] keeps the kernel's number, or where it has none the kind and the sentence.
    ///
    /// ```
    /// use procall_transport::LinkError;
    ///
    /// let first = LinkError::TooLarge { len: 9, max: 8 };
    /// assert_eq!(first.again().to_string(), first.to_string());
    /// ```
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::Closed => Self::Closed,
            Self::Truncated => Self::Truncated,
            Self::TooLarge { len, max } => Self::TooLarge { len: *len, max: *max },
            Self::Empty => Self::Empty,
            Self::SharedMemory(what) => Self::SharedMemory(what),
            Self::Tls(error) => Self::Tls(error.clone()),
            Self::Io(error) => Self::Io(match error.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => io::Error::new(error.kind(), error.to_string()),
            }),
        }
    }
}

/// The bounds of a link.
///
/// ```
/// use procall_transport::{Link, LinkOptions, mem};
///
/// let options = LinkOptions { max_message: 64 << 20, ..LinkOptions::default() };
/// let (link, _peer) = mem::pair(&options)?;
/// assert_eq!(link.info().max_message, 64 << 20);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkOptions {
    /// Bounds one message, in bytes, both ways. Default 1 MiB + 4 KiB: a body of the protocol's largest single message and its
    /// header always fit. A larger one is refused by [`Link::buffer`], and one announced by the peer ends the link. A peer that
    /// really sends so much can make us hold up to twice this. Raise it for peers that cannot chunk (JSON: 64 MiB).
    /// A length prefix has four bytes, so more than `u32::MAX` counts as `u32::MAX`.
    pub max_message: usize,
    /// Bounds the send queue, in bytes. Default 1 MiB. [`Link::buffer`] gives `None` once so many are queued, so that a link holds
    /// at most this and one message more. Costs that much memory per link whose peer does not read. Lower it where many slow
    /// peers hang on one process; raising it rarely helps, the kernel has a queue of its own.
    pub max_queued: usize,
    /// How a Unix link is to go on once both sides know each other; `None`, the default, leaves it to the link's owner. Other links do not ask.
    pub choice: Option<Choice>,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self { max_message: (1 << 20) + (4 << 10), max_queued: 1 << 20, choice: None }
    }
}

impl LinkOptions {
    /// The limit that a four-byte prefix can express.
    pub(crate) fn message_limit(&self) -> usize {
        self.max_message.min(u32::MAX as usize)
    }
}
