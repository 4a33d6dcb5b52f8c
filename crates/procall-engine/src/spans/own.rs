//! The spans of a program of one's own, sent the same way as the engine's.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use procall::{Error, ErrorCode, Executed};

use super::Told;
use super::context::{Trace, id};
use super::export::Exporter;

/// Sends spans of the calls that this process makes and serves to a collector of traces, by OTLP over HTTP as an engine does.
///
/// Programs on the Rust library that have another way to a collector implement [`procall::Tracer`] instead.
///
/// ```no_run
/// # async fn f() -> Result<(), procall::Error> {
/// let tracing = procall_engine::Tracing::start("http://127.0.0.1:4318", "shop")?;
/// let calc = procall::Client::connect("calc").await?;
/// calc.call::<i64>("add", (1, 2)).await?;
/// tracing.stop().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Tracing {
    exporter: Arc<Exporter>,
}

impl Tracing {
    /// Installs itself as the process's tracer, on a tokio runtime. `service` is the program's name at the collector, its `service.name`.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for an endpoint that is none, and when the process has a tracer already.
    pub fn start(endpoint: &str, service: &str) -> Result<Self, Error> {
        let exporter = Arc::new(Exporter::start(endpoint.parse()?, service));
        procall::set_tracer(Arc::new(Source { exporter: exporter.clone() }))?;
        Ok(Self { exporter })
    }

    /// Spans that were sent, and those that were dropped: because too many waited, or the collector failed.
    pub fn counted(&self) -> (u64, u64) {
        self.exporter.counted()
    }

    /// Sends what waits, for 5 s at most. Spans of later calls are dropped.
    pub async fn stop(self) {
        self.exporter.stop().await;
    }
}

struct Source {
    exporter: Arc<Exporter>,
}

impl Source {
    fn begin(&self, kind: Kind, method: &str, parent: Option<&str>) -> Box<dyn procall::Span> {
        Box::new(Open {
            exporter: self.exporter.clone(),
            trace: parent.and_then(Trace::read).unwrap_or_else(Trace::new),
            id: id(),
            kind,
            method: method.to_owned(),
            since: SystemTime::now(),
            begun: Instant::now(),
        })
    }
}

impl procall::Tracer for Source {
    fn call(&self, method: &str, parent: Option<&str>) -> Box<dyn procall::Span> {
        self.begin(Kind::Call, method, parent)
    }

    fn serve(&self, method: &str, parent: Option<&str>) -> Box<dyn procall::Span> {
        self.begin(Kind::Serve, method, parent)
    }
}

/// Which side of a call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Call,
    Serve,
}

struct Open {
    exporter: Arc<Exporter>,
    trace: Trace,
    id: u64,
    kind: Kind,
    method: String,
    since: SystemTime,
    begun: Instant,
}

impl procall::Span for Open {
    fn traceparent(&self) -> Option<String> {
        Some(self.trace.onward(self.id))
    }

    fn end(&mut self, failure: Option<&Error>) {
        // Somebody wants no spans of this trace: it only goes on.
        if !self.trace.sampled {
            return;
        }
        self.exporter.tell(Told::Own(Finished {
            trace: self.trace,
            id: self.id,
            kind: self.kind,
            method: std::mem::take(&mut self.method),
            since: self.since,
            took: self.begun.elapsed(),
            failure: failure.map(|error| (error.code(), error.executed())),
        }));
    }
}

/// A span of this process that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) trace: Trace,
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) method: String,
    pub(crate) since: SystemTime,
    pub(crate) took: Duration,
    pub(crate) failure: Option<(ErrorCode, Executed)>,
}
