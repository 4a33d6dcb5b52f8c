//! One of a worker's two output pipes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::Outlet;
use super::cutter::Cutter;

/// Bytes read from one pipe before others get their turn: as much as a pipe holds.
const GULP: usize = 64 << 10;
/// How often a pipe is read when its worker has ended: what a pipe can hold at most (1 MiB) and then some. A grandchild that
/// escaped and goes on writing cannot keep us here.
const LAST_GULPS: usize = 32;

/// The reading end of a pipe, which never waits.
#[derive(Debug)]
pub(crate) struct Pipe {
    fd: OwnedFd,
    outlet: Outlet,
    cutter: Cutter,
}

impl Pipe {
    pub(crate) fn new(fd: OwnedFd, outlet: Outlet) -> Self {
        Self { fd, outlet, cutter: Cutter::default() }
    }

    /// Reads one gulp. False at the end of the pipe.
    pub(crate) fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        mut line: impl FnMut(Outlet, &[u8], bool),
    ) -> bool {
        matches!(self.gulp(buffer, &mut line), Ok(Some(_) | None))
    }

    /// Reads what is left; the worker has ended.
    pub(crate) fn read_to_end(
        &mut self,
        buffer: &mut Vec<u8>,
        mut line: impl FnMut(Outlet, &[u8], bool),
    ) {
        for _ in 0..LAST_GULPS {
            if !matches!(self.gulp(buffer, &mut line), Ok(Some(_))) {
                break;
            }
        }
        let outlet = self.outlet;
        self.cutter.end(|text, unfinished| line(outlet, text, unfinished));
    }

    /// `Ok(None)` when nothing is there now, an error at the end.
    fn gulp(
        &mut self,
        buffer: &mut Vec<u8>,
        line: &mut impl FnMut(Outlet, &[u8], bool),
    ) -> Result<Option<usize>, Errno> {
        buffer.resize(GULP, 0);
        let read = loop {
            match rustix::io::read(&self.fd, &mut buffer[..]) {
                Ok(0) => return Err(Errno::PIPE),
                Ok(read) => break read,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        let outlet = self.outlet;
        self.cutter.feed(&buffer[..read], |text, unfinished| line(outlet, text, unfinished));
        Ok(Some(read))
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
