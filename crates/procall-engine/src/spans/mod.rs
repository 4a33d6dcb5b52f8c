//! Spans of calls for a collector of traces: OTLP over HTTP, as JSON.
//!
//! A call has two: its way through the engine, a child of the caller's span, and within that the work on it, whose id goes on to the worker as
//! the parent of what it does. What lies between their beginnings is the time in the queue.

mod context;
mod encode;
mod endpoint;
mod export;
mod own;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use procall::{ErrorCode, Executed};

pub(crate) use context::Trace;
pub(crate) use endpoint::Endpoint;
pub(crate) use export::{Exporter, WAITING};
pub(crate) use own::Finished;
pub use own::Tracing;

/// A call whose spans are wanted.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) trace: Trace,
    /// The id of the span of its way through the engine.
    call: u64,
    /// The id of the span of the work on it.
    work: u64,
    since: SystemTime,
}

impl Span {
    /// Of a call that came with this `traceparent`, or begins a trace of its own; `None` when its caller wants none.
    pub(crate) fn begin(traceparent: Option<&str>) -> Option<Self> {
        let trace = match traceparent.and_then(Trace::read) {
            Some(trace) if !trace.sampled => return None,
            Some(trace) => trace,
            None => Trace::new(),
        };
        Some(Self { trace, call: context::id(), work: context::id(), since: SystemTime::now() })
    }

    /// The `traceparent` for the worker.
    pub(crate) fn onward(&self) -> String {
        self.trace.onward(self.work)
    }
}

/// What is known of a call with spans once it is over.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) span: Arc<Span>,
    pub(crate) call: u64,
    pub(crate) method: Arc<str>,
    pub(crate) worker: Option<Arc<str>>,
    pub(crate) attempts: u32,
    pub(crate) queued: Duration,
    pub(crate) worked: Duration,
    pub(crate) failure: Option<(ErrorCode, Executed)>,
}

/// What an exporter sends.
#[derive(Debug)]
pub(crate) enum Told {
    /// A call on its way through an engine.
    Passage(Ended),
    /// A call that this process made or served itself.
    Own(Finished),
}
