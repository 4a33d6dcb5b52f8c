//! What is known of a call once it is over.

use std::sync::Arc;
use std::time::Duration;

use procall::{ErrorCode, Executed};

/// What is known of a call that has passed through the engine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallRecord {
    /// Its number, as `procall.engine.calls` lists it.
    pub call: u64,
    /// Full name of the method.
    pub method: Arc<str>,
    /// Id of the caller.
    pub client: Arc<str>,
    /// Name of the worker that had it last; `None` when none had it.
    pub worker: Option<Arc<str>>,
    /// How often it was given to a worker.
    pub attempts: u32,
    /// From its arrival until the last worker had it, or until its end.
    pub queued: Duration,
    /// From then until its outcome was here: the worker, and the way there and back.
    pub worked: Duration,
    /// How it failed, and whether the handler ran; `None` for a success.
    pub failure: Option<(ErrorCode, Executed)>,
    /// Calls that are still on their way.
    pub in_flight: usize,
}

impl CallRecord {
    /// As one object of JSON, for logs.
    pub fn to_json(&self) -> serde_json::Value {
        let millis = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        serde_json::json!({
            "call": self.call,
            "method": &*self.method,
            "client": &*self.client,
            "worker": self.worker.as_deref(),
            "attempts": self.attempts,
            "queued_ms": millis(self.queued),
            "worked_ms": millis(self.worked),
            "code": self.failure.map(|(code, _)| code.name()),
            "executed": self.failure.map(|(_, executed)| executed.to_string()),
            "in_flight": self.in_flight,
        })
    }
}

/// Who is told of every call that is over.
#[derive(Clone)]
pub(crate) struct OnCall(pub(crate) Arc<dyn Fn(&CallRecord) + Send + Sync>);

impl std::fmt::Debug for OnCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnCall")
    }
}
