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
    /// How much of that was the way there and back, by the worker's last heartbeat; `None` before the first, and where none are sent.
    pub wire: Option<Duration>,
    /// The W3C trace that the call belongs to, 32 hexadecimal digits.
    pub trace: Option<String>,
    /// How it failed, and whether the handler ran; `None` for a success.
    pub failure: Option<(ErrorCode, Executed)>,
    /// Calls that are still on their way.
    pub in_flight: usize,
}

impl CallRecord {
    /// What of `worked` was the handler's, as far as that is known: without the way there and back.
    ///
    /// ```
    /// # fn f(call: &procall_engine::CallRecord) {
    /// println!("{} ran for {:?}", call.method, call.handled());
    /// # }
    /// ```
    pub fn handled(&self) -> Duration {
        self.worked.saturating_sub(self.wire.unwrap_or_default())
    }

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
            "wire_ms": self.wire.map(millis),
            "handler_ms": millis(self.handled()),
            "trace": self.trace,
            "code": self.failure.map(|(code, _)| code.name()),
            "executed": self.failure.map(|(_, executed)| executed.to_string()),
            "in_flight": self.in_flight,
        })
    }
}

impl CallRecord {
    /// Tells whoever collects the events of this program: at the level INFO, and WARN for a call that failed.
    pub(crate) fn log(&self) {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        macro_rules! say {
            ($level:ident, $words:literal, $($more:tt)*) => {
                tracing::$level!(
                    target: CALLS,
                    call = self.call,
                    method = &*self.method,
                    client = &*self.client,
                    peer = self.worker.as_deref(),
                    attempts = self.attempts,
                    queue_ms = millis(self.queued),
                    wire_ms = self.wire.map(millis),
                    handler_ms = millis(self.handled()),
                    in_flight = self.in_flight,
                    trace = self.trace.as_deref(),
                    $($more)*
                    $words
                )
            };
        }
        match self.failure {
            None => say!(info, "call ended",),
            Some((code, executed)) => {
                let executed = executed.to_string();
                say!(warn, "call failed", code = code.name(), executed = &*executed,);
            }
        }
    }
}

/// The target of the events of calls.
pub(crate) const CALLS: &str = "procall.call";

/// Who is told of every call that is over.
#[derive(Clone)]
pub(crate) struct OnCall(pub(crate) Arc<dyn Fn(&CallRecord) + Send + Sync>);

impl std::fmt::Debug for OnCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnCall")
    }
}
