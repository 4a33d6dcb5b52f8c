//! Calls and notifications of the peer's that nobody has taken yet.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use procall_proto::{CallId, Encoding, IncomingCall, Payload, Time};
use procall_transport::shm::Loan;

use super::Deadline;
use crate::clock;
use crate::lent::{self, Lent};
use crate::registration::Shape;

/// Notifications that may wait; the next one is dropped and counted.
pub(crate) const MAX_NOTIFICATIONS: usize = 256;
/// A buffer longer than this is given back to the allocator once it is empty.
const KEEP: usize = 1 << 20;

/// One call or notification in a [`Batch`].
#[derive(Debug)]
pub struct Incoming {
    /// The call's id; `None` for a notification, which is never answered.
    pub id: Option<CallId>,
    method: Range<usize>,
    body: Where,
    meta: Range<usize>,
    /// Encoding of the params.
    pub encoding: Encoding,
    /// The caller sends a stream.
    pub items_in: bool,
    /// The caller expects a stream.
    pub items_out: bool,
    /// The caller says that the method may run more than once without harm.
    pub idempotent: bool,
    deadline: Time,
    /// The deadline covers only a stream's opening.
    opening: bool,
    lent: Lent,
}

#[derive(Debug)]
enum Where {
    Shared(Range<usize>),
    /// A body that came in chunks has memory of its own.
    Own(Vec<u8>),
}

impl Incoming {
    /// Time left for the whole call; `None` when it has no end, or when only a stream's opening has one.
    pub fn remaining(&self) -> Option<Duration> {
        clock::left(self.inherited())
    }

    /// What is left of the caller's deadline, in the sense in which the caller gave it: for calls that are made in its place.
    pub fn deadline_left(&self) -> Deadline {
        match clock::left(self.deadline) {
            None => Deadline::Never,
            Some(left) if self.opening => Deadline::Opening(left),
            Some(left) => Deadline::After(left),
        }
    }

    /// Whether it is too late to start it.
    pub fn is_late(&self) -> bool {
        self.deadline <= clock::now()
    }

    /// Which streams the call has.
    pub fn shape(&self) -> Shape {
        Shape::new(self.items_in, self.items_out)
    }

    /// The deadline that calls made by the handler inherit.
    pub(crate) fn inherited(&self) -> Time {
        if self.opening { Time::NEVER } else { self.deadline }
    }

    /// When it is too late to start.
    #[cfg(feature = "tokio")]
    pub(crate) fn deadline(&self) -> Time {
        self.deadline
    }
}

/// Calls and notifications that arrived together, in one buffer that is used again and again.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    calls: Vec<Incoming>,
    notifications: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many calls and notifications there are.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The calls and notifications in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Incoming> {
        self.calls.iter()
    }

    /// The method name of a call in this batch.
    pub fn method(&self, call: &Incoming) -> &str {
        // The bytes were copied from a `str`; a foreign `Incoming` gives another name or none, never a panic.
        self.bytes
            .get(call.method.clone())
            .and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or_default()
    }

    /// The params of a call in this batch.
    pub fn body<'a>(&'a self, call: &'a Incoming) -> &'a [u8] {
        match &call.body {
            Where::Shared(range) => self.bytes.get(range.clone()).unwrap_or_default(),
            Where::Own(bytes) => bytes,
        }
    }

    /// Large arrays of the params that are not among their bytes. There are none unless [`keep_lent`](crate::keep_lent) was called.
    pub fn lent<'a>(&self, call: &'a Incoming) -> &'a Lent {
        &call.lent
    }

    /// The metadata map of a call in this batch, as MessagePack; empty for none.
    pub fn meta(&self, call: &Incoming) -> &[u8] {
        self.bytes.get(call.meta.clone()).unwrap_or_default()
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.calls.clear();
        self.notifications = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
    }

    fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn put_body(&mut self, body: Payload<'_>, loans: Vec<Arc<Loan>>) -> (Where, Lent) {
        if loans.is_empty() {
            let body = match body {
                Payload::Borrowed(bytes) => Where::Shared(self.put(bytes)),
                Payload::Owned(bytes) => Where::Own(bytes),
            };
            return (body, Lent::NONE);
        }
        let mut bytes = body.into_vec();
        let lent = Lent::received(&mut bytes, loans);
        if lent::keeps_lent() {
            return (Where::Own(bytes), lent);
        }
        // What cannot be filled in is refused when it is decoded.
        (Where::Own(lent.fill_in(&bytes).unwrap_or(bytes)), Lent::NONE)
    }

    pub(crate) fn push_call(&mut self, call: IncomingCall<'_>, loans: Vec<Arc<Loan>>) {
        let method = self.put(call.method.as_bytes());
        let meta = self.put(&call.meta);
        let (body, lent) = self.put_body(call.body, loans);
        self.calls.push(Incoming {
            id: Some(call.id),
            method,
            body,
            meta,
            encoding: call.encoding,
            items_in: call.items_in,
            items_out: call.items_out,
            idempotent: call.idempotent,
            deadline: call.deadline,
            opening: call.opening,
            lent,
        });
    }

    /// False when the notification was dropped because too many wait.
    pub(crate) fn push_notification(
        &mut self,
        method: &str,
        encoding: Encoding,
        body: Payload<'_>,
        meta: &[u8],
        loans: Vec<Arc<Loan>>,
    ) -> bool {
        if self.notifications >= MAX_NOTIFICATIONS {
            return false;
        }
        self.notifications += 1;
        let (method, meta) = (self.put(method.as_bytes()), self.put(meta));
        let (body, lent) = self.put_body(body, loans);
        self.calls.push(Incoming {
            id: None,
            method,
            body,
            meta,
            encoding,
            items_in: false,
            items_out: false,
            idempotent: false,
            deadline: Time::NEVER,
            opening: false,
            lent,
        });
        true
    }
}
