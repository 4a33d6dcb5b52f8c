//! Bodies that arrive in chunks.

use hashbrown::HashMap;

use crate::{CallHeader, Encoding, Flags, Time};

/// A chunk that is not the last carries at least this many bytes, so that a flood of tiny ones is no way to burn time.
pub(crate) const MIN_CHUNK: usize = 256;

/// What the body will belong to.
#[derive(Debug)]
pub(crate) enum Head {
    Call {
        method: String,
        encoding: Encoding,
        flags: Flags,
        deadline: Time,
        timeout: Option<u64>,
        meta: Vec<u8>,
    },
    Notify {
        method: String,
        encoding: Encoding,
        meta: Vec<u8>,
    },
    Reply {
        encoding: Encoding,
    },
    Item {
        encoding: Encoding,
    },
}

impl Head {
    pub(crate) fn call(header: &CallHeader<'_>, deadline: Time) -> Self {
        Self::Call {
            method: header.method.to_owned(),
            encoding: header.encoding,
            flags: header.flags,
            deadline,
            timeout: header.timeout_ms,
            meta: header.meta.to_vec(),
        }
    }

    pub(crate) fn is_call(&self) -> bool {
        matches!(self, Self::Call { .. })
    }

    pub(crate) fn is_notify(&self) -> bool {
        matches!(self, Self::Notify { .. })
    }
}

#[derive(Debug)]
struct Open {
    head: Head,
    total: usize,
    bytes: Vec<u8>,
}

/// What a chunk led to.
#[derive(Debug)]
pub(crate) enum Chunked {
    /// Nobody waits for it.
    Stray,
    /// More is to come.
    Open,
    /// The body is complete.
    Done(Head, Vec<u8>),
    /// All unfinished bodies together are too long; this one was dropped.
    Full(Head),
    /// The peer broke the rules.
    Broken(&'static str),
}

#[derive(Debug)]
pub(crate) struct Assembly {
    open: HashMap<u64, Open>,
    /// Bytes held by all unfinished bodies.
    held: usize,
    max_held: usize,
    calls: usize,
    notifications: usize,
}

impl Assembly {
    pub(crate) fn new(max_held: usize) -> Self {
        Self { open: HashMap::new(), held: 0, max_held, calls: 0, notifications: 0 }
    }

    /// Calls among the unfinished bodies.
    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    /// Notifications among the unfinished bodies.
    pub(crate) fn notifications(&self) -> usize {
        self.notifications
    }

    /// Whether a body for `id` is unfinished.
    pub(crate) fn is_open(&self, id: u64) -> bool {
        !self.open.is_empty() && self.open.contains_key(&id)
    }

    /// Begins a body; memory grows with what really arrives, never with what is claimed.
    pub(crate) fn begin(&mut self, id: u64, head: Head, total: usize, first: &[u8]) -> Chunked {
        if self.is_open(id) {
            return Chunked::Broken(
                "a body began before the previous one of its call was complete",
            );
        }
        if first.len() >= total {
            return Chunked::Broken("a chunked body is complete with its first part");
        }
        self.calls += usize::from(head.is_call());
        self.notifications += usize::from(head.is_notify());
        self.open.insert(id, Open { head, total, bytes: Vec::new() });
        self.append(id, first, false)
    }

    pub(crate) fn chunk(&mut self, id: u64, last: bool, bytes: &[u8]) -> Chunked {
        if !last && bytes.len() < MIN_CHUNK {
            return Chunked::Broken("a chunk that is not the last has fewer than 256 bytes");
        }
        if !self.is_open(id) {
            return Chunked::Stray;
        }
        self.append(id, bytes, last)
    }

    fn append(&mut self, id: u64, bytes: &[u8], last: bool) -> Chunked {
        let Some(open) = self.open.get_mut(&id) else { return Chunked::Stray };
        let len = open.bytes.len() + bytes.len();
        if len > open.total || last != (len == open.total) {
            return Chunked::Broken("a chunked body has another length than its header said");
        }
        if self.held + bytes.len() > self.max_held {
            return match self.remove(id) {
                Some((head, _)) => Chunked::Full(head),
                None => Chunked::Stray,
            };
        }
        self.held += bytes.len();
        open.bytes.extend_from_slice(bytes);
        if !last {
            return Chunked::Open;
        }
        match self.remove(id) {
            Some((head, bytes)) => Chunked::Done(head, bytes),
            None => Chunked::Stray,
        }
    }

    /// Forgets an unfinished body.
    pub(crate) fn remove(&mut self, id: u64) -> Option<(Head, Vec<u8>)> {
        let open = self.open.remove(&id)?;
        self.held -= open.bytes.len();
        self.calls -= usize::from(open.head.is_call());
        self.notifications -= usize::from(open.head.is_notify());
        Some((open.head, open.bytes))
    }

    pub(crate) fn clear(&mut self) {
        self.open.clear();
        self.held = 0;
        self.calls = 0;
        self.notifications = 0;
    }
}
