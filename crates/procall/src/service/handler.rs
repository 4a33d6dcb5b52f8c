//! What a method is to the dispatcher.

use std::pin::Pin;

use futures_core::Stream as FutureStream;
#[cfg(feature = "tokio")]
use procall_proto::CallId;
use procall_proto::{Encoding, Time};

use super::params::Params;
#[cfg(feature = "tokio")]
use crate::connection::Deadline;
use crate::connection::{Batch, Connection, Encoded, Incoming, Responder};
use crate::context::Context;
use crate::error::Error;
use crate::lent::Lent;
use crate::registration::{MethodInfo, Shape};
use crate::stream::Stream;

/// A call as its handler sees it when it arrives, before anything of it is decoded.
#[derive(Debug)]
pub struct Arrival<'a> {
    connection: &'a Connection,
    batch: &'a Batch,
    incoming: &'a Incoming,
    info: &'a MethodInfo,
}

impl<'a> Arrival<'a> {
    #[cfg(feature = "tokio")]
    pub(crate) fn new(
        connection: &'a Connection,
        batch: &'a Batch,
        incoming: &'a Incoming,
        info: &'a MethodInfo,
    ) -> Self {
        Self { connection, batch, incoming, info }
    }

    /// The method's full name.
    pub fn method(&self) -> &'a str {
        &self.info.name
    }

    /// The names of the method's parameters in their order; empty when they have none.
    pub fn names(&self) -> &'a [String] {
        &self.info.params
    }

    /// Which streams the call has.
    pub fn shape(&self) -> Shape {
        self.incoming.shape()
    }

    /// Whether the caller says that the method may run more than once without harm.
    pub fn is_idempotent(&self) -> bool {
        self.incoming.idempotent
    }

    /// The encoding of the params.
    pub fn encoding(&self) -> Encoding {
        self.incoming.encoding
    }

    /// The params as they came.
    pub fn body(&self) -> &'a [u8] {
        self.batch.body(self.incoming)
    }

    /// Large arrays of the params that are not among their bytes. There are none unless [`keep_lent`](crate::keep_lent) was called.
    pub fn lent(&self) -> &'a Lent {
        self.batch.lent(self.incoming)
    }

    /// The params, taken apart.
    pub fn params(&self) -> Result<Params<'a>, Error> {
        Params::new(self.encoding(), self.body())
    }

    /// The facts that travel with the call. Made only when asked for.
    pub fn context(&self) -> Context {
        let meta = self.batch.meta(self.incoming).to_vec();
        Context::new(
            self.connection.clone(),
            self.incoming.id,
            self.info.name.clone(),
            self.deadline(),
            meta,
        )
    }

    /// The stream that the caller sends; empty for a call without one.
    pub fn items<T: serde::de::DeserializeOwned + 'static>(&self) -> Stream<T> {
        self.context().items(self.incoming.items_in)
    }

    /// A handle that answers the call later, from any thread; return [`Answer::Later`] with it. `None` for a notification.
    pub fn responder(&self) -> Option<Responder> {
        self.incoming.id.map(|id| self.connection.responder(id))
    }

    pub(crate) fn deadline(&self) -> Time {
        self.incoming.inherited()
    }

    /// What is left of the caller's deadline, in the sense in which the caller gave it.
    #[cfg(feature = "tokio")]
    pub(crate) fn deadline_left(&self) -> Deadline {
        self.incoming.deadline_left()
    }

    /// The metadata map as it came.
    #[cfg(feature = "tokio")]
    pub(crate) fn raw_meta(&self) -> &'a [u8] {
        self.batch.meta(self.incoming)
    }

    /// Where the answer goes, by number; `None` for a notification.
    #[cfg(feature = "tokio")]
    pub(crate) fn to_answer(&self) -> Option<(Connection, CallId)> {
        self.incoming.id.map(|id| (self.connection.clone(), id))
    }
}

/// The answer of a handler, or how it will come.
pub enum Answer {
    /// Here it is.
    Ready(Result<Encoded, Error>),
    /// A future gives it.
    Future(Pin<Box<dyn Future<Output = Result<Encoded, Error>> + Send>>),
    /// A function that may block gives it; it runs on a thread for such work.
    Blocking(Box<dyn FnOnce() -> Result<Encoded, Error> + Send>),
    /// It is a stream.
    Stream(Pin<Box<dyn FutureStream<Item = Result<Encoded, Error>> + Send>>),
    /// Somebody holds the [`Responder`].
    Later,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Future(_) => "Future",
            Self::Blocking(_) => "Blocking",
            Self::Stream(_) => "Stream",
            Self::Later => "Later",
        })
    }
}

/// What serves one method. Closures are turned into handlers by [`Service::method`](crate::Service::method) and its kin;
/// implement it to serve calls without types.
///
/// ```
/// use procall::{Answer, Arrival, Encoded, Handler, Service};
///
/// struct Echo;
/// impl Handler for Echo {
///     fn call(&self, call: &Arrival<'_>) -> Answer {
///         Answer::Ready(Ok(Encoded::new(call.encoding(), call.body().to_vec())))
///     }
/// }
/// let service = Service::new("raw").handler("echo", Echo);
/// # let _ = service;
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Begins to serve a call. Runs on the thread that reads the link, so it must not block: answer with a future, or with [`Answer::Blocking`].
    fn call(&self, call: &Arrival<'_>) -> Answer;
}
