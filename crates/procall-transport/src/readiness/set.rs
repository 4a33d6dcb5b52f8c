//! Waiting for many.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// How many tokens one wait gives at most; what is left comes with the next, since all is level-triggered.
pub(super) const BATCH: usize = 64;

/// Many descriptors to wait for at once, each under a number of the caller's choosing.
///
/// It is itself an epoll descriptor, so that a set can be waited for with [`wait`](super::wait) or put into another set.
/// Several threads may wait on one set; a *oneshot* descriptor is then told to only one of them, until it is re-armed.
///
/// ```
/// use procall_transport::{Link, LinkOptions, mem, readiness::Set};
/// use std::time::Duration;
///
/// let (mut one, mut peer) = mem::pair(&LinkOptions::default())?;
/// let (two, _quiet) = mem::pair(&LinkOptions::default())?;
/// let set = Set::new()?;
/// set.add(one.readiness(), 1, false)?;
/// set.add(two.readiness(), 2, false)?;
///
/// peer.buffer(2)?.expect("room").copy_from_slice(b"hi");
/// peer.commit();
/// peer.flush()?;
///
/// let mut tokens = Vec::new();
/// set.wait(Some(Duration::from_secs(10)), &mut tokens)?;
/// assert_eq!(tokens, [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Set {
    epoll: OwnedFd,
}

impl Set {
    /// An empty set.
    ///
    /// # Errors
    ///
    /// When the process or the machine is out of descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Adds a descriptor, watched for being readable, level-triggered. With `oneshot` it is told once, then only after [`rearm`](Self::rearm).
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] when it is in the set.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, oneshot: bool) -> io::Result<()> {
        let flags = if oneshot { EventFlags::IN | EventFlags::ONESHOT } else { EventFlags::IN };
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token), flags)?)
    }

    /// Lets a oneshot descriptor be told once more, at once if it is ready now.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] when it is not in the set.
    pub fn rearm(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            fd,
            EventData::new_u64(token),
            EventFlags::IN | EventFlags::ONESHOT,
        )?)
    }

    /// Takes a descriptor out. To be done before closing it: a copy of it elsewhere would keep it in the set, and nothing could then
    /// take it out.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] when it is not in the set.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits as [`wait`](super::wait) does, and puts the tokens of what is ready, at most 64, in the place of what `tokens` held.
    ///
    /// No tokens after a finite timeout means that it has passed, or that another thread was faster.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Interrupted`] when a signal was delivered.
    pub fn wait(&self, timeout: Option<Duration>, tokens: &mut Vec<u64>) -> io::Result<()> {
        super::tokens(self.epoll.as_fd(), timeout, tokens)
    }
}

impl AsFd for Set {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
