//! One of a worker's two output pipes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use super::Outlet;
use super::cutter::Cutter;

/// Bytes read from one pipe before others get their turn: as much as a pipe holds.
const GULP: usize = 64 << 10;
/// How often a pipe is read when its worker has ended: what a pipe can hold at most (1 MiB) and then some. A grandchild that
/// escaped and goes on writing cannot keep us here.
pub(crate) const LAST_GULPS: usize = 32;

/// The reading end of a pipe, which never waits.
#[derive(Debug)]
pub(crate) struct Pipe {
    fd: Arc<OwnedFd>,
    outlet: Outlet,
    cutter: Cutter,
}

/// What came of reading a pipe once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gulp {
    /// There was something; whether that was all there was.
    Some { emptied: bool },
    /// Nothing is there now.
    Empty,
    /// Nothing will ever come.
    End,
}

impl Pipe {
    pub(crate) fn new(fd: OwnedFd, outlet: Outlet) -> Self {
        Self { fd: Arc::new(fd), outlet, cutter: Cutter::default() }
    }

    /// The descriptor, for whoever wants to know whether something is there.
    pub(crate) fn fd(&self) -> Arc<OwnedFd> {
        self.fd.clone()
    }

    pub(crate) fn outlet(&self) -> Outlet {
        self.outlet
    }

    /// Reads one gulp.
    pub(crate) fn gulp(&self, buffer: &mut Vec<u8>) -> Gulp {
        buffer.resize(GULP, 0);
        loop {
            match rustix::io::read(&self.fd, &mut buffer[..]) {
                Ok(0) => break,
                Ok(read) => {
                    buffer.truncate(read);
                    return Gulp::Some { emptied: read < GULP };
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    buffer.clear();
                    return Gulp::Empty;
                }
                Err(_) => break,
            }
        }
        buffer.clear();
        Gulp::End
    }

    /// Cuts into lines what was read.
    pub(crate) fn cut(&mut self, bytes: &[u8], line: impl FnMut(&[u8], bool)) {
        self.cutter.feed(bytes, line);
    }

    /// Nothing more will be read: what was begun is a line too.
    pub(crate) fn end(&mut self, line: impl FnMut(&[u8], bool)) {
        self.cutter.end(line);
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
