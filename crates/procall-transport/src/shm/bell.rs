//! What rings the other side out of its sleep.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{FileType, fstat};

/// An eventfd that is watched edge-triggered and never read.
///
/// Whoever rings makes it, and whoever sleeps gets a copy. Its counter stands at one and is written to with zero: that is an edge for whoever
/// watches, and it does not block, although the other side can make the common description blocking, and can write to it as well: no write
/// takes the counter to where one of zero has to wait. A counter that really counted could be filled up by the other side.
///
/// One way is left. The kernel's own signals, of asynchronous input and output, may take a full counter one further. Who does that to a
/// peer, with its description made blocking, stops a thread of another process of the same user, which it could stop by a signal as well.
#[derive(Debug)]
pub(super) struct Bell {
    eventfd: Arc<OwnedFd>,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let eventfd = eventfd(1, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { eventfd: Arc::new(eventfd) })
    }

    /// One that the other side made, if it is one: `ours` shows what the kernel says of an eventfd.
    pub(super) fn received(descriptor: OwnedFd, ours: &Self) -> io::Result<Option<Self>> {
        let (found, wanted) = (fstat(&descriptor)?, fstat(&ours.eventfd)?);
        // All of the kernel's nameless files share one file system. What else there is among them does no harm by being watched; a
        // descriptor of some user's file system could hang us.
        let same = found.st_dev == wanted.st_dev
            && FileType::from_raw_mode(found.st_mode) == FileType::from_raw_mode(wanted.st_mode);
        Ok(same.then(|| Self { eventfd: Arc::new(descriptor) }))
    }

    /// For somebody who watches it beside the link.
    pub(super) fn share(&self) -> Arc<OwnedFd> {
        self.eventfd.clone()
    }

    pub(super) fn ring(&self) {
        // Refused only by something that is no eventfd, and then it is not ours.
        let _ = rustix::io::write(&self.eventfd, &0_u64.to_ne_bytes());
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}
