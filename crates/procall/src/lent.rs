//! Large arrays of a body that lie in shared memory and not among its bytes.
//!
//! A body that has any names them by their numbers in its [`Lent`], in the place where the wire has a region. A connection gives them the names of its
//! link when it sends the body, or puts their bytes in where its link cannot lend them; in the other direction it does the opposite.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use procall_proto::buffer::{self, BufferError, Elsewhere};
use procall_proto::{Body, ErrorCode, Executed, Held};
use procall_transport::shm::{Arena, Buffer, Loan};

use crate::channel::Channel;
use crate::connection::Connection;
use crate::error::Error;

/// An array that is shorter, in bytes, travels among the bytes of its body: to copy it is cheaper than to tell where it lies.
pub const LENDING_PAYS: usize = 16 << 10;

/// More arrays than one body lends: further ones travel among its bytes.
const MOST: usize = 32;

/// One array's memory.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Memory of this process.
    Ours {
        /// The memory.
        buffer: Arc<Buffer>,
        /// The array was copied there to be sent; else it was there already.
        copied: bool,
    },
    /// Memory of the peer's that sent it.
    Theirs(Arc<Loan>),
}

impl Piece {
    fn copy(&self, at: usize, len: usize, into: &mut Vec<u8>) -> bool {
        match self {
            Self::Ours { buffer, .. } => buffer.copy(at, len, into),
            Self::Theirs(loan) => loan.copy(at, len, into),
        }
    }
}

/// What a body refers to outside of its bytes. Most bodies refer to nothing.
///
/// The memory stays as it is for as long as this, or a clone of it, lives.
#[derive(Clone, Default)]
pub struct Lent(Option<Arc<Pieces>>);

struct Pieces {
    pieces: Vec<Piece>,
    /// An array that would have to be copied is an error.
    strict: bool,
}

impl Lent {
    /// Nothing.
    pub const NONE: Self = Self(None);

    /// Whether it is nothing.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    fn new(pieces: Vec<Piece>, strict: bool) -> Self {
        if pieces.is_empty() { Self(None) } else { Self(Some(Arc::new(Pieces { pieces, strict }))) }
    }

    /// The memory that a body calls `region`.
    pub fn piece(&self, region: u32) -> Option<&Piece> {
        self.pieces().get(region as usize)
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        self.0.as_ref().map_or(&[], |pieces| &pieces.pieces)
    }

    /// Bytes of all memory that it refers to.
    pub(crate) fn len(&self) -> usize {
        let len = |piece: &Piece| match piece {
            Piece::Ours { buffer, .. } => buffer.len(),
            Piece::Theirs(loan) => loan.len(),
        };
        self.pieces().iter().map(len).sum()
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.0.as_ref().is_some_and(|pieces| pieces.strict)
    }

    /// For a [`Body`] to hold.
    pub fn held(&self) -> Held {
        let pieces: Arc<dyn Any + Send + Sync> = self.0.clone()?;
        Some(pieces)
    }

    /// What a body holds.
    pub fn of(body: &Body<'_>) -> Self {
        Self(body.held().clone().and_then(|held| held.downcast().ok()))
    }

    /// Those that came with a message, and whose names in its body become those of this.
    pub(crate) fn received(body: &mut [u8], loans: Vec<Arc<Loan>>) -> Self {
        if loans.is_empty() {
            return Self::NONE;
        }
        // A name that nothing came for stays without memory, and the body is refused when it is read.
        buffer::relabel(body, |found| {
            let at = loans.iter().position(|loan| loan.key() == (found.region, found.generation));
            (at.map_or(u32::MAX, |at| at as u32), 0)
        });
        Self::new(loans.into_iter().map(Piece::Theirs).collect(), false)
    }

    /// The same body with the bytes of all arrays in it.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT when the body names memory that is not here.
    pub fn fill_in(&self, body: &[u8]) -> Result<Vec<u8>, Error> {
        buffer::fill_in(body, |found, out| self.append(found, out)).map_err(|Missing(error)| {
            Error::invalid(format!("an array of the value cannot be read: {error}"))
        })
    }

    fn append(&self, found: &Elsewhere, out: &mut Vec<u8>) -> Result<(), Missing> {
        let piece = self.piece(found.region).ok_or(BufferError::Region)?;
        let place = usize::try_from(found.offset).ok().zip(usize::try_from(found.length).ok());
        let (at, len) = place.ok_or(BufferError::Overflow)?;
        if piece.copy(at, len, out) { Ok(()) } else { Err(Missing(BufferError::Region)) }
    }
}

struct Missing(BufferError);

impl From<BufferError> for Missing {
    fn from(error: BufferError) -> Self {
        Self(error)
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lent").field(&self.pieces().len()).finish()
    }
}

impl PartialEq for Lent {
    /// Whether they are the very same.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(this), Some(other)) => Arc::ptr_eq(this, other),
            (this, other) => this.is_none() && other.is_none(),
        }
    }
}

impl Eq for Lent {}

/// Whether values that arrive keep their arrays in the sender's memory.
static KEPT: AtomicBool = AtomicBool::new(false);

/// From now on all values that this process receives keep their large arrays in the memory of whoever sent them, and [`Encoded::lent`] says
/// where: for bindings, whose languages can look at them there. Without this the arrays are copied into the value's bytes as they arrive.
///
/// [`Encoded::lent`]: crate::Encoded
pub fn keep_lent() {
    KEPT.store(true, Ordering::Relaxed);
}

pub(crate) fn keeps_lent() -> bool {
    KEPT.load(Ordering::Relaxed)
}

// ---- while a value is encoded

thread_local! {
    static LENDING: RefCell<Option<Lending>> = const { RefCell::new(None) };
}

/// Who is to lend what is encoded.
pub enum Lender {
    /// A channel, for the params of a call.
    Channel(Arc<dyn Channel>),
    /// A connection, for an answer.
    Connection(Connection),
}

impl Lender {
    fn arena(&self) -> Option<Arena> {
        match self {
            Self::Channel(channel) => channel.arena(),
            Self::Connection(connection) => connection.arena(),
        }
    }
}

impl fmt::Debug for Lender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Channel(_) => "Channel",
            Self::Connection(_) => "Connection",
        })
    }
}

impl From<Arc<dyn Channel>> for Lender {
    fn from(channel: Arc<dyn Channel>) -> Self {
        Self::Channel(channel)
    }
}

impl From<Connection> for Lender {
    fn from(connection: Connection) -> Self {
        Self::Connection(connection)
    }
}

struct Lending {
    lender: Lender,
    /// The lender's arena, once somebody has asked for it.
    arena: Option<Option<Arena>>,
    strict: bool,
    pieces: Vec<Piece>,
}

/// Encodes a value to be sent by a lender: its large arrays may stay in, or be copied into, memory that it can lend. Gives what they are in.
///
/// With `strict`, what is encoded is not sent where an array would have to be copied.
pub fn lending<R>(
    lender: impl Into<Lender>,
    strict: bool,
    encode: impl FnOnce() -> R,
) -> (R, Lent) {
    let lending = Lending { lender: lender.into(), arena: None, strict, pieces: Vec::new() };
    let before = LENDING.replace(Some(lending));
    // Of an encoder that panics the rest of this thread lends on; its arrays are filled in where nothing else can be done.
    let encoded = encode();
    let lending = LENDING.replace(before);
    (encoded, Lent::new(lending.map(|lending| lending.pieces).unwrap_or_default(), strict))
}

/// Whether an array of so many bytes may be lent by the value that this thread encodes.
fn with_arena<R>(len: usize, f: impl FnOnce(&Arena, &mut Vec<Piece>) -> Option<R>) -> Option<R> {
    if len < LENDING_PAYS {
        return None;
    }
    LENDING.with_borrow_mut(|lending| {
        let lending = lending.as_mut().filter(|lending| lending.pieces.len() < MOST)?;
        let arena = lending.arena.get_or_insert_with(|| lending.lender.arena()).clone()?;
        f(&arena, &mut lending.pieces)
    })
}

/// Makes the value that this thread encodes lend an array of `len` bytes, which `fill` writes. Gives the number by which the value has to call
/// it; `None` when it has to have the bytes in it.
pub fn lend_copy<E>(
    len: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Option<Result<u32, E>> {
    with_arena(len, |arena, pieces| {
        // Without memory the array goes as bytes, as it would to anybody else.
        let mut buffer = arena.take(len).ok()??;
        Some(fill(buffer.bytes_mut()).map(|()| {
            pieces.push(Piece::Ours { buffer: Arc::new(buffer), copied: true });
            (pieces.len() - 1) as u32
        }))
    })
}

/// The same for an array that lies in an exposed buffer of the channel's arena already: its number, and where in the buffer it begins.
pub fn lend_in_place(at: *const u8, len: usize) -> Option<(u32, u64)> {
    with_arena(len, |arena, pieces| {
        let (buffer, offset) = arena.find(at, len)?;
        pieces.push(Piece::Ours { buffer, copied: false });
        Some(((pieces.len() - 1) as u32, offset as u64))
    })
}

/// The same for all of a buffer.
pub(crate) fn lend_whole(buffer: &Arc<Buffer>) -> Option<u32> {
    with_arena(buffer.len(), |arena, pieces| {
        arena.owns(buffer).then(|| {
            pieces.push(Piece::Ours { buffer: buffer.clone(), copied: false });
            (pieces.len() - 1) as u32
        })
    })
}

/// Whether a large array of the value that this thread encodes is not to be copied: who would have to should refuse the value instead.
pub fn forbids_copies() -> bool {
    LENDING.with_borrow(|lending| lending.as_ref().is_some_and(|lending| lending.strict))
}

/// Why a value that was not to be copied is not sent.
pub(crate) fn would_copy() -> Error {
    let message = "an array would be copied, and copy=\"never\" forbids it: this connection cannot lend it; make it with `empty` of this very \
                   pool or connection, and use the transport \"shm\"";
    Error::new(ErrorCode::InvalidArgument, message).with_executed(Executed::No)
}
