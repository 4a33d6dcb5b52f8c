//! A way for others to wake a waiter.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// An eventfd: readable from the first [`kick`](Self::kick) until it is [drained](Self::drain), however many kicks there were.
///
/// ```
/// use procall_transport::readiness::{Kick, Set};
/// use std::os::fd::AsFd;
/// use std::time::Duration;
///
/// let kick = Kick::new()?;
/// let set = Set::new()?;
/// set.add(kick.as_fd(), 7, false)?;
///
/// std::thread::scope(|scope| {
///     scope.spawn(|| kick.kick());
///     let mut tokens = Vec::new();
///     set.wait(None, &mut tokens)?;
///     assert_eq!(tokens, [7]);
///     std::io::Result::Ok(())
/// })?;
/// assert!(kick.drain());
/// assert!(!kick.drain(), "nobody kicked since");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Kick {
    eventfd: OwnedFd,
}

impl Kick {
    /// A kick that nobody has given yet.
    ///
    /// # Errors
    ///
    /// When the process or the machine is out of descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self { eventfd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Wakes whoever waits, now or next.
    pub fn kick(&self) {
        // The only refusal left is a counter at its maximum, and then it is readable, which is all that is asked.
        let _ = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes());
    }

    /// Makes it quiet again; whether there had been a kick.
    pub fn drain(&self) -> bool {
        rustix::io::read(&self.eventfd, &mut [0_u8; 8]).is_ok()
    }
}

impl AsFd for Kick {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}
