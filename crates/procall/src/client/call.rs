//! A call as a value: set its options, then await it, wait for it, or start it.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use procall_proto::Encoding;
use serde::de::DeserializeOwned;
use serde::Serialize;

use super::encode_params;
use crate::channel::{Channel, Started};
use crate::codec;
use crate::connection::{CallOptions, Connection, Deadline, Progress, Request};
use crate::error::Error;
use crate::stream::{Stream, StreamSource};

/// Anything that typed clients can be made on: a client, a connection, a pool.
pub trait AsChannel {
    /// The channel that takes its calls.
    fn as_channel(&self) -> Arc<dyn Channel>;
}

impl AsChannel for Connection {
    fn as_channel(&self) -> Arc<dyn Channel> {
        Arc::new(self.clone())
    }
}

impl AsChannel for Arc<dyn Channel> {
    fn as_channel(&self) -> Arc<dyn Channel> {
        self.clone()
    }
}

#[cfg(feature = "tokio")]
impl AsChannel for super::Client {
    fn as_channel(&self) -> Arc<dyn Channel> {
        Arc::new(self.clone())
    }
}

#[cfg(feature = "tokio")]
impl Channel for super::Client {
    fn start(&self, request: Request<'_>) -> Result<Started, Error> {
        self.connection().start(request).map(Started::from)
    }

    fn notify(&self, request: Request<'_>) -> Result<(), Error> {
        self.connection().notify(request)
    }

    fn registration(&self) -> Option<Arc<crate::registration::Registration>> {
        self.connection().peer_registration()
    }

    fn close(&self) {
        self.connection().close();
    }
}

/// What a call is made of, until it starts.
struct Parts {
    channel: Arc<dyn Channel>,
    method: String,
    params: Result<Vec<u8>, Error>,
    options: CallOptions,
}

impl Parts {
    fn new(channel: &(impl AsChannel + ?Sized), method: &str, params: impl Serialize) -> Self {
        Self {
            channel: channel.as_channel(),
            method: method.to_owned(),
            params: encode_params(params),
            options: CallOptions::default(),
        }
    }

    fn start(self) -> Result<Started, Error> {
        let params = self.params?;
        let request = Request::new(&self.method, Encoding::Msgpack, &params).with_options(self.options);
        self.channel.start(request)
    }
}

/// A call that has not started: await it, or [`wait`](Self::wait) for it on a thread. Dropping the future cancels the call.
///
/// ```no_run
/// # async fn f(calc: procall::Client) -> Result<(), procall::Error> {
/// use std::time::Duration;
///
/// let report: String = calc
///     .call("report", ("2026-11",))
///     .deadline(Duration::from_secs(120))
///     .on_progress(|progress| eprintln!("{progress}"))
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "a call does nothing until it is awaited or waited for"]
pub struct Call<R> {
    parts: Parts,
    on_progress: Option<Box<dyn FnMut(Progress) + Send>>,
    result: PhantomData<fn() -> R>,
}

impl<R> Call<R> {
    /// A call on anything that takes calls; generated clients use it.
    pub fn new(channel: &(impl AsChannel + ?Sized), method: &str, params: impl Serialize) -> Self {
        Self { parts: Parts::new(channel, method, params), on_progress: None, result: PhantomData }
    }

    /// Gives up after this long; the default is 30 s.
    pub fn deadline(mut self, timeout: Duration) -> Self {
        self.parts.options.deadline = Deadline::After(timeout);
        self
    }

    /// Never gives up.
    pub fn no_deadline(mut self) -> Self {
        self.parts.options.deadline = Deadline::Never;
        self
    }

    /// Says that the method may run more than once without harm.
    pub fn idempotent(mut self) -> Self {
        self.parts.options.idempotent = true;
        self
    }

    /// Sends facts along that are no arguments: anything that serde makes a map of.
    pub fn meta(mut self, meta: &impl Serialize) -> Self {
        match codec::encode(meta) {
            Ok(meta) => self.parts.options.meta = meta,
            Err(error) => self.parts.params = Err(Error::invalid(format!("the metadata cannot be encoded: {error}"))),
        }
        self
    }

    /// Calls this with every progress report that arrives before the answer.
    pub fn on_progress(mut self, report: impl FnMut(Progress) + Send + 'static) -> Self {
        self.on_progress = Some(Box::new(report));
        self
    }
}

impl<R: DeserializeOwned> Call<R> {
    /// Makes the call and waits on this thread, without a runtime.
    pub fn wait(self) -> Result<R, Error> {
        let mut started = self.parts.start()?;
        if let Some(mut report) = self.on_progress {
            // Without an interrupt the wait ends only with progress or the outcome.
            while let Ok(Some(progress)) = started.wait_progress(&mut || false) {
                report(progress);
            }
        }
        let reply = started.wait()?;
        codec::decode_result(reply.encoding, &reply.bytes)
    }
}

impl<R: DeserializeOwned> IntoFuture for Call<R> {
    type Output = Result<R, Error>;
    type IntoFuture = CallFuture<R>;

    /// Starts the call.
    fn into_future(self) -> CallFuture<R> {
        CallFuture { started: self.parts.start().map_err(Some), on_progress: self.on_progress, result: PhantomData }
    }
}

impl<R> std::fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("method", &self.parts.method).finish_non_exhaustive()
    }
}

/// A call under way. Dropping it cancels the call.
pub struct CallFuture<R> {
    /// The call, or the error that kept it from starting, until that is taken.
    started: Result<Started, Option<Error>>,
    on_progress: Option<Box<dyn FnMut(Progress) + Send>>,
    result: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Future for CallFuture<R> {
    type Output = Result<R, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let started = match &mut this.started {
            Ok(started) => started,
            Err(error) => {
                let taken = || Error::invalid("this call was polled after its outcome");
                return Poll::Ready(Err(error.take().unwrap_or_else(taken)));
            }
        };
        if let Some(report) = &mut this.on_progress {
            while let Poll::Ready(Some(progress)) = started.poll_progress(cx.waker()) {
                report(progress);
            }
        }
        started
            .poll_reply(cx.waker())
            .map(|reply| reply.and_then(|reply| codec::decode_result(reply.encoding, &reply.bytes)))
    }
}

impl<R> std::fmt::Debug for CallFuture<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallFuture").field("started", &self.started).finish_non_exhaustive()
    }
}

/// A call with streams that has not started.
#[must_use = "a call does nothing until it is started"]
pub struct StreamCall<T> {
    parts: Parts,
    result: PhantomData<fn() -> T>,
}

impl<T> StreamCall<T> {
    /// A call on anything that takes calls; generated clients use it.
    pub fn new(channel: &(impl AsChannel + ?Sized), method: &str, params: impl Serialize) -> Self {
        let mut parts = Parts::new(channel, method, params);
        parts.options.items_out = true;
        Self { parts, result: PhantomData }
    }

    /// Gives the whole stream up after this long. Without it only its first item must come within 30 s.
    pub fn deadline(mut self, timeout: Duration) -> Self {
        self.parts.options.deadline = Deadline::After(timeout);
        self
    }

    /// Starts the call. An error that keeps it from starting is the stream's first item.
    pub fn start(self) -> Stream<T> {
        match self.parts.start() {
            Ok(started) => Stream::from_source(StreamSource::Call(started)),
            Err(error) => Stream::failed(error),
        }
    }
}

impl<T> std::fmt::Debug for StreamCall<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamCall").field("method", &self.parts.method).finish_non_exhaustive()
    }
}
