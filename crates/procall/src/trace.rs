//! Spans of the calls that a process makes and serves: who makes them is the program's choice.

use std::cell::RefCell;
#[cfg(feature = "tokio")]
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
#[cfg(feature = "tokio")]
use std::task::{Context as TaskContext, Poll};

#[cfg(feature = "tokio")]
use futures_core::Stream as FutureStream;
use procall_proto::ErrorCode;

use crate::channel::Started;
#[cfg(feature = "tokio")]
use crate::connection::Encoded;
use crate::error::Error;
use crate::meta;
#[cfg(feature = "tokio")]
use crate::service::{Answer, Arrival};

/// The metadata with the trace context.
const TRACEPARENT: &str = "traceparent";

static TRACER: OnceLock<Arc<dyn Tracer>> = OnceLock::new();

thread_local! {
    /// The span of the handler that runs on this thread.
    static CURRENT: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// Whoever makes the spans of a process; installed with [`set_tracer`].
///
/// `parent` is a W3C `traceparent`. Both methods are called on the thread of the call, and must not block it.
///
/// ```
/// use std::sync::Arc;
/// use procall::{Error, Span, Tracer};
///
/// struct Told(String);
///
/// impl Span for Told {
///     fn traceparent(&self) -> Option<String> {
///         None
///     }
///     fn end(&mut self, failure: Option<&Error>) {
///         println!("{}: {failure:?}", self.0);
///     }
/// }
///
/// struct Telling;
///
/// impl Tracer for Telling {
///     fn call(&self, method: &str, _parent: Option<&str>) -> Box<dyn Span> {
///         Box::new(Told(format!("called {method}")))
///     }
///     fn serve(&self, method: &str, _parent: Option<&str>) -> Box<dyn Span> {
///         Box::new(Told(format!("served {method}")))
///     }
/// }
///
/// procall::set_tracer(Arc::new(Telling))?;
/// # Ok::<(), Error>(())
/// ```
pub trait Tracer: Send + Sync + 'static {
    /// A call of this method begins. `parent` is what its metadata say, else the span of the handler that makes it.
    fn call(&self, method: &str, parent: Option<&str>) -> Box<dyn Span>;

    /// A handler is about to run. `parent` is what the metadata of its call say.
    fn serve(&self, method: &str, parent: Option<&str>) -> Box<dyn Span>;
}

/// A span that has begun.
pub trait Span: Send + Sync {
    /// The `traceparent` of whatever is done in it: a call brings it to its handler, and a handler to the calls that it makes.
    fn traceparent(&self) -> Option<String>;

    /// It is over; comes once.
    fn end(&mut self, failure: Option<&Error>);
}

/// Has the calls of this process traced from now on: those made with clients, pools and streams, and those that services answer.
///
/// Until then a call costs one look whether there is a tracer. A span of a call covers all its attempts. Calls that are answered by a
/// [`Responder`](crate::Responder) have a span only until their handler has returned. Notifications have none.
///
/// # Errors
///
/// INVALID_ARGUMENT when there is one already: it is for the program to choose, not for its libraries.
pub fn set_tracer(tracer: Arc<dyn Tracer>) -> Result<(), Error> {
    TRACER.set(tracer).map_err(|_| Error::invalid("this process has a tracer already"))
}

pub(crate) fn tracer() -> Option<&'static Arc<dyn Tracer>> {
    TRACER.get()
}

/// A span that ends with its owner.
pub(crate) struct Spanned {
    span: Box<dyn Span>,
    over: bool,
}

impl Spanned {
    fn new(span: Box<dyn Span>) -> Self {
        Self { span, over: false }
    }

    /// It ends now.
    pub(crate) fn end(&mut self, failure: Option<&Error>) {
        if !std::mem::replace(&mut self.over, true) {
            self.span.end(failure);
        }
    }

    #[cfg(feature = "tokio")]
    fn end_with(&mut self, outcome: &Result<Encoded, Error>) {
        self.end(outcome.as_ref().err());
    }
}

impl Drop for Spanned {
    fn drop(&mut self) {
        if !self.over {
            self.end(Some(&Error::new(ErrorCode::Cancelled, "the call was given up")));
        }
    }
}

/// The span of a call that is about to start, where calls are traced; its metadata then say so.
pub(crate) fn begin(method: &str, meta: &mut Vec<u8>) -> Option<Spanned> {
    let tracer = tracer()?;
    let own = meta::text(meta, TRACEPARENT).map(str::to_owned);
    let parent = own.or_else(|| CURRENT.with_borrow(|current| current.as_deref().map(Into::into)));
    let span = Spanned::new(tracer.call(method, parent.as_deref()));
    if let Some(traceparent) = span.span.traceparent() {
        *meta = with_traceparent(meta, &traceparent);
    }
    Some(span)
}

/// A call that was started, or not, in its span.
pub(crate) fn started(
    span: Option<Spanned>,
    started: Result<Started, Error>,
) -> Result<Started, Error> {
    let Some(mut span) = span else { return started };
    match started {
        Ok(started) => Ok(started.within(span)),
        Err(error) => {
            span.end(Some(&error));
            Err(error)
        }
    }
}

/// Runs a handler within a span, and all that it gives to be run later.
#[cfg(feature = "tokio")]
pub(crate) fn serve(
    tracer: &dyn Tracer,
    arrival: &Arrival<'_>,
    handler: impl FnOnce() -> Answer,
) -> Answer {
    if arrival.to_answer().is_none() {
        return handler();
    }
    let mut span =
        Spanned::new(tracer.serve(arrival.method(), meta::text(arrival.raw_meta(), TRACEPARENT)));
    let current: Option<Arc<str>> = span.span.traceparent().map(Into::into);
    match within(&current, handler) {
        Answer::Ready(outcome) => {
            span.end_with(&outcome);
            Answer::Ready(outcome)
        }
        Answer::Future(mut future) => Answer::Future(Box::pin(std::future::poll_fn(move |cx| {
            let poll = within(&current, || future.as_mut().poll(cx));
            if let Poll::Ready(outcome) = &poll {
                span.end_with(outcome);
            }
            poll
        }))),
        Answer::Blocking(work) => Answer::Blocking(Box::new(move || {
            let outcome = within(&current, work);
            span.end_with(&outcome);
            outcome
        })),
        Answer::Stream(stream) => Answer::Stream(Box::pin(Within { stream, current, span })),
        Answer::Later => {
            span.end(None);
            Answer::Later
        }
    }
}

/// Runs something while this is the span of the thread.
#[cfg(feature = "tokio")]
fn within<R>(current: &Option<Arc<str>>, f: impl FnOnce() -> R) -> R {
    /// Restores the outer one even when the handler panics.
    struct Restore(Option<Arc<str>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _restore = Restore(CURRENT.replace(current.clone()));
    f()
}

#[cfg(feature = "tokio")]
struct Within {
    stream: Pin<Box<dyn FutureStream<Item = Result<Encoded, Error>> + Send>>,
    current: Option<Arc<str>>,
    span: Spanned,
}

#[cfg(feature = "tokio")]
impl FutureStream for Within {
    type Item = Result<Encoded, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let poll = within(&this.current, || this.stream.as_mut().poll_next(cx));
        match &poll {
            Poll::Ready(Some(Err(error))) => this.span.end(Some(error)),
            Poll::Ready(None) => this.span.end(None),
            _ => {}
        }
        poll
    }
}

/// The metadata with this `traceparent`; what is no map stays as it is.
fn with_traceparent(meta: &[u8], traceparent: &str) -> Vec<u8> {
    meta::with_text(meta, TRACEPARENT, traceparent).unwrap_or_else(|_| meta.to_vec())
}
