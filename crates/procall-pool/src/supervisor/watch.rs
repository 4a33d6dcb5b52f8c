//! What the supervisor waits for.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::Supervisor;
use crate::output::Outlet;

pub(super) const KICK: u64 = 0;

/// What a watched descriptor is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// A pidfd: readable when the process has ended.
    Exit,
    /// An output pipe.
    Output(Outlet),
    /// The link of a worker that is not ready yet.
    Channel,
    /// The socket that a worker may dial.
    Door,
}

/// The set of descriptors, and what each of them means. Tokens are never used again, so that one of an earlier owner means nothing.
#[derive(Debug)]
pub(super) struct Watch {
    supervisor: Arc<Supervisor>,
    sources: HashMap<u64, (u64, usize, Source)>,
    next: u64,
    /// For reading output: one buffer for all.
    pub(super) buffer: Vec<u8>,
}

impl Watch {
    pub(super) fn new(supervisor: Arc<Supervisor>) -> Self {
        Self { supervisor, sources: HashMap::new(), next: KICK + 1, buffer: Vec::new() }
    }

    pub(super) fn add(
        &mut self,
        fd: BorrowedFd<'_>,
        pool: u64,
        worker: usize,
        source: Source,
    ) -> io::Result<u64> {
        let token = self.next;
        self.supervisor.set.add(fd, token, false)?;
        self.next += 1;
        self.sources.insert(token, (pool, worker, source));
        Ok(token)
    }

    /// To be done before the descriptor is closed.
    pub(super) fn remove(&mut self, fd: BorrowedFd<'_>, token: u64) {
        if self.sources.remove(&token).is_some() {
            // It was added, so it is there.
            let _ = self.supervisor.set.remove(fd);
        }
    }

    pub(super) fn source(&self, token: u64) -> Option<(u64, usize, Source)> {
        self.sources.get(&token).copied()
    }
}
