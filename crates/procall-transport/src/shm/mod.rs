//! Shared memory: what a Unix link moves to once both sides want it.
//!
//! Each side makes a piece of memory that only it can write to and hands it to the other over the socket. From then on messages go
//! through that memory, and the socket only tells the end. A side that sleeps says so in its memory and is rung by an eventfd, once; one
//! that is awake is sent to without any system call. Nothing of this has a name: when both processes are gone, so is all of it.
//!
//! What the other side writes into its memory is a claim: it is copied once and checked before it is believed. A side that writes nonsense
//! ends its own link.
//!
//! Large arrays do not go through the rings: they lie in memory of their own, an [arena](Arena), and messages only tell where.
//!
//! The room has one file for each thing: `control` the words and their rules, `region` the memory, `bell` the eventfd, `ends` both rings of
//! a link, `passage` the way from the socket into memory, `look` the short look before a sleep, `arena` the memory of large arrays, `mapped`
//! one piece of it, `lender` and `loan` what a link gives of it to the other side and gets of the other side's.

mod arena;
#[cfg(all(test, not(loom), not(miri)))]
mod asking;
mod bell;
mod control;
mod ends;
#[cfg(all(test, not(loom), not(miri)))]
mod hostile;
mod lender;
#[cfg(all(test, not(loom), not(miri)))]
mod lending;
mod loan;
mod look;
mod mapped;
mod passage;
mod records;
mod region;
mod seat;

use std::io;
use std::str::FromStr;

pub use arena::{Arena, Buffer};
pub use lender::Promise;
pub use loan::{Arrivals, Loan};
pub use look::{LOOK, Look};
pub use mapped::Plain;
pub(crate) use passage::Passage;
pub(crate) use records::LEN as RECORD;
pub(crate) use records::LOAN;
pub(crate) use records::is_ask;

use crate::unix::UnixLink;
use crate::{Link, LinkError, LinkOptions};

/// Bytes of a ring. A whole region is a page more.
pub(crate) const CAPACITY: u32 = MAX_CAPACITY;
/// Pieces of memory that one side can have lent the other, at most.
pub(crate) const SLOTS: usize = 64;
const MIN_CAPACITY: u32 = 4 << 10;
const MAX_CAPACITY: u32 = 64 << 10;

/// How the peers of one machine are to talk: as a Unix link, in shared memory, or what both can.
///
/// ```
/// use procall_transport::shm::Choice;
///
/// assert_eq!("shm".parse(), Ok(Choice::Shm));
/// assert!("fast".parse::<Choice>().unwrap_err().to_string().contains("auto, unix or shm"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Choice {
    /// In shared memory when both sides can, else over the socket.
    #[default]
    Auto,
    /// Over the socket.
    Unix,
    /// In shared memory, or not at all.
    Shm,
}

/// What is none of `auto`, `unix` and `shm`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no transport \"{0}\": auto, unix or shm")]
pub struct ChoiceError(String);

impl Choice {
    /// As it is written: `auto`, `unix` or `shm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Unix => "unix",
            Self::Shm => "shm",
        }
    }
}

impl FromStr for Choice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "unix" => Ok(Self::Unix),
            "shm" => Ok(Self::Shm),
            _ => Err(ChoiceError(text.to_owned())),
        }
    }
}

/// How far a Unix link is on its way into shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Nobody has asked for it.
    Unasked,
    /// Both sides are about to.
    Underway,
    /// All messages go through shared memory.
    Done,
    /// It stays with the socket, because of this.
    Failed(String),
    /// It stays with the socket, because the other side has declined.
    Declined,
}

/// Two links connected to each other in shared memory.
///
/// # Errors
///
/// When the process is out of descriptors or of memory.
///
/// ```
/// use procall_transport::{Link, LinkOptions, shm};
///
/// let (mut left, mut right) = shm::pair(&LinkOptions::default())?;
/// assert_eq!(left.info().transport, "shm");
/// left.buffer(2)?.expect("room").copy_from_slice(b"hi");
/// left.commit();
/// assert!(left.flush()?);
/// assert_eq!(right.receive()?, Some(&b"hi"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pair(options: &LinkOptions) -> io::Result<(UnixLink, UnixLink)> {
    let (mut left, mut right) = UnixLink::pair(options)?;
    left.share(true);
    right.share(false);
    let step = |link: &mut UnixLink| match link.flush().and_then(|_| Ok(link.receive()?.is_some()))
    {
        Ok(false) => Ok(()),
        Ok(true) => Err(io::Error::other("a message came before any was sent")),
        Err(LinkError::Io(error)) => Err(error),
        Err(error) => Err(io::Error::other(error)),
    };
    // Each step takes what the one before sent, so that nothing is waited for.
    loop {
        step(&mut left)?;
        step(&mut right)?;
        match (left.shared(), right.shared()) {
            (Progress::Done, Progress::Done) => break,
            (Progress::Failed(why), _) | (_, Progress::Failed(why)) => {
                return Err(io::Error::new(io::ErrorKind::OutOfMemory, why));
            }
            (Progress::Declined, Progress::Declined) => {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            _ => {}
        }
    }
    Ok((left, right))
}
