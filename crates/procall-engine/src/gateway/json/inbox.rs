//! What the engine has for a JSON peer, until the task of its link takes it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use procall::{Batch, CallId, Connection, Deadline, Encoding, Error, ErrorCode, RawService, Shape};

use super::ready::Ready;

/// Notifications that may wait; the next one is dropped and counted.
pub(crate) const MAX_NOTIFICATIONS: usize = 256;
/// Bytes of params that may wait while something else waits too; the next call is refused with OVERLOADED, the next notification dropped.
/// The number of calls is bounded by the connection.
const MAX_BYTES: usize = 64 << 20;
/// When a refused caller may try again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// A call or a notification for the peer.
#[derive(Debug)]
pub(super) struct Arrival {
    /// None for a notification.
    pub(super) id: Option<CallId>,
    pub(super) method: String,
    pub(super) encoding: Encoding,
    pub(super) body: Vec<u8>,
    /// MessagePack; empty for none.
    pub(super) meta: Vec<u8>,
    pub(super) shape: Shape,
    pub(super) idempotent: bool,
    /// The deadline covers only a stream's opening.
    pub(super) opening: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    arrivals: VecDeque<Arrival>,
    notifications: usize,
    bytes: usize,
}

/// The peer's side of the connection to the engine.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    dropped: AtomicU64,
    ready: Arc<Ready>,
}

impl Inbox {
    pub(super) fn new(ready: Arc<Ready>) -> Self {
        Self { ready, ..Self::default() }
    }

    /// What came first.
    pub(super) fn take(&self) -> Option<Arrival> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let arrival = waiting.arrivals.pop_front()?;
        waiting.bytes -= arrival.body.len();
        waiting.notifications -= usize::from(arrival.id.is_none());
        Some(arrival)
    }

    /// Notifications that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Another one was dropped.
    pub(super) fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl RawService for Inbox {
    fn calls(&self, connection: &Connection, batch: &Batch) {
        let mut refused = Vec::new();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            for call in batch.iter() {
                let body = batch.body(call);
                let full = !waiting.arrivals.is_empty() && waiting.bytes + body.len() > MAX_BYTES;
                match call.id {
                    Some(id) if full => {
                        refused.push(id);
                        continue;
                    }
                    None if full || waiting.notifications >= MAX_NOTIFICATIONS => {
                        self.drop_one();
                        continue;
                    }
                    id => waiting.notifications += usize::from(id.is_none()),
                }
                waiting.bytes += body.len();
                waiting.arrivals.push_back(Arrival {
                    id: call.id,
                    method: batch.method(call).to_owned(),
                    encoding: call.encoding,
                    body: body.to_vec(),
                    meta: batch.meta(call).to_vec(),
                    shape: call.shape(),
                    idempotent: call.idempotent,
                    opening: matches!(call.deadline_left(), Deadline::Opening(_)),
                });
            }
        }
        let error = Error::new(ErrorCode::Overloaded, "the peer does not read what is sent to it")
            .with_retry_after(RETRY_AFTER);
        for id in refused {
            connection.fail(id, &error);
        }
        self.ready.wake();
    }

    fn changed(&self, _connection: &Connection) {
        self.ready.wake();
    }
}
