//! A call as a value: set its options, then await it, wait for it, or start it.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use procall_proto::ErrorCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::encode_params;
use super::items::{DuplexCall, Pump};
use crate::channel::{Channel, Started};
use crate::clock;
use crate::codec;
#[cfg(feature = "tokio")]
use crate::connection::Request;
use crate::connection::{CallOptions, Connection, Deadline, Encoded, OnTimeout, Progress};
use crate::error::Error;
use crate::retry::Again;
#[cfg(feature = "tokio")]
use crate::retry::RetryBudgets;
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
        self.channel().start(request)
    }

    fn notify(&self, request: Request<'_>) -> Result<(), Error> {
        self.channel().notify(request)
    }

    fn registration(&self) -> Option<Arc<crate::registration::Registration>> {
        self.channel().registration()
    }

    fn metrics(&self) -> crate::metrics::Metrics {
        self.channel().metrics()
    }

    fn retry_budgets(&self) -> Option<&RetryBudgets> {
        self.channel().retry_budgets()
    }

    fn arena(&self) -> Option<procall_transport::shm::Arena> {
        self.channel().arena()
    }

    fn is_lost(&self) -> bool {
        self.channel().is_lost()
    }

    fn close(&self) {
        self.channel().close();
    }
}

/// What a call is made of, until it starts.
struct Parts {
    call: Box<Again>,
    /// Why it cannot be made: something of it could not be encoded.
    wrong: Option<Error>,
    /// What the caller sends, if it does.
    items: Option<Pump>,
}

impl Parts {
    fn new(channel: &(impl AsChannel + ?Sized), method: &str, params: impl Serialize) -> Self {
        let channel = channel.as_channel();
        let (params, wrong) = match encode_params(&channel, params) {
            Ok(params) => (params, None),
            Err(error) => (Encoded::NONE, Some(error)),
        };
        let call = Box::new(Again::owning(channel, method, params));
        Self { call, wrong, items: None }
    }

    fn options(&mut self) -> &mut CallOptions {
        &mut self.call.options
    }

    fn set_meta(&mut self, meta: &impl Serialize) {
        match codec::encode(meta) {
            Ok(meta) => self.options().meta = meta,
            Err(error) => {
                let wrong = format!("the metadata cannot be encoded: {error}");
                self.wrong = Some(Error::invalid(wrong));
            }
        }
    }

    fn set_items<T>(&mut self, items: impl Into<Stream<T>>)
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        self.options().items_in = true;
        self.items = Some(Pump::new(items.into()));
    }

    fn start(self) -> Result<(Started, Option<Pump>), Error> {
        match self.wrong {
            Some(error) => Err(error),
            None => Ok((self.call.start()?, self.items)),
        }
    }
}

/// The options that calls of every shape have.
macro_rules! common_options {
    () => {
        /// Never gives up.
        pub fn no_deadline(mut self) -> Self {
            self.parts.options().deadline = Deadline::Never;
            self
        }

        /// Says that the method may run more than once without harm, so that the call is also made again when nobody knows whether it ran.
        pub fn idempotent(mut self) -> Self {
            self.parts.options().idempotent = true;
            self
        }

        /// How often the call may be made again when it fails in a way that allows it: 2 times without this, never with 0. See
        /// [`start_retrying`](crate::start_retrying).
        pub fn retries(mut self, retries: u32) -> Self {
            self.parts.options().retries = Some(retries);
            self
        }

        /// Of a pool: calls with the same key go to the same worker, and start in the order of sending. When that worker is lost, calls that
        /// wait for it, or else the next call with the key, end with WORKER_LOST; the one after that finds a new worker.
        pub fn key(mut self, key: impl Into<Arc<str>>) -> Self {
            self.parts.options().key = Some(key.into());
            self
        }

        /// Of a pool: the call goes to this worker, named such as `calc/2`, and waits for it when it is busy.
        pub fn to(mut self, worker: impl Into<Arc<str>>) -> Self {
            self.parts.options().to = Some(worker.into());
            self
        }

        /// With an engine: only workers that registered this version of the service get the call.
        pub fn version(mut self, version: impl Into<Arc<str>>) -> Self {
            self.parts.options().version = Some(version.into());
            self
        }

        /// With an engine: a call with a key that this caller used for the same method in the last 5 minutes gets that call's outcome, or waits for
        /// it, instead of being executed again.
        pub fn idempotency_key(mut self, key: impl Into<Arc<str>>) -> Self {
            self.parts.options().idempotency_key = Some(key.into());
            self
        }

        /// With an engine: while nobody serves the method, the call waits for a worker, until its deadline.
        pub fn wait_for_worker(mut self) -> Self {
            self.parts.options().wait = true;
            self
        }

        /// Of a pool: what happens to a worker that is busy with this call when the deadline passes.
        pub fn on_timeout(mut self, then: OnTimeout) -> Self {
            self.parts.options().on_timeout = then;
            self
        }

        /// Sends facts along that are no arguments: anything that serde makes a map of.
        pub fn meta(mut self, meta: &impl Serialize) -> Self {
            self.parts.set_meta(meta);
            self
        }
    };
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
    on_progress: Option<Report>,
    result: PhantomData<fn() -> R>,
}

impl<R> Call<R> {
    /// A call on anything that takes calls; generated clients use it.
    pub fn new(channel: &(impl AsChannel + ?Sized), method: &str, params: impl Serialize) -> Self {
        Self { parts: Parts::new(channel, method, params), on_progress: None, result: PhantomData }
    }

    /// Gives up after this long; the default is 30 s.
    pub fn deadline(mut self, timeout: Duration) -> Self {
        self.parts.options().deadline = Deadline::After(timeout);
        self
    }

    common_options!();

    /// Sends a stream of items: what an iterator gives, or a [`Stream`]. They leave while the call is awaited, as fast as the service takes
    /// them. A service may answer before it has taken them all; an error of the stream itself cancels the call.
    ///
    /// ```no_run
    /// # async fn f(calc: procall::Client) -> Result<(), procall::Error> {
    /// let sum: i64 = calc.call("sum", ()).items(1_i64..=100).await?;
    /// # Ok(()) }
    /// ```
    pub fn items<T>(mut self, items: impl Into<Stream<T>>) -> Self
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        self.parts.set_items(items);
        self
    }

    /// Calls this with every progress report that arrives before the answer.
    pub fn on_progress(mut self, report: impl FnMut(Progress) + Send + 'static) -> Self {
        self.on_progress = Some(Report::new(report));
        self
    }
}

impl<R: DeserializeOwned> Call<R> {
    /// Makes the call and waits on this thread, without a runtime.
    pub fn wait(self) -> Result<R, Error> {
        if self.parts.items.is_some() || self.on_progress.is_some() {
            return self.into_future().wait();
        }
        // The start and the beginning of the wait are one moment.
        let reply = clock::turn(|| self.parts.start()?.0.wait())?;
        codec::decode_result(reply.encoding, &reply.bytes)
    }
}

impl<R: DeserializeOwned> IntoFuture for Call<R> {
    type Output = Result<R, Error>;
    type IntoFuture = CallFuture<R>;

    /// Starts the call.
    fn into_future(self) -> CallFuture<R> {
        let (started, items) = match self.parts.start() {
            Ok((started, items)) => (Ok(started), items),
            Err(error) => (Err(Some(error)), None),
        };
        CallFuture { started, items, on_progress: self.on_progress, result: PhantomData }
    }
}

impl<R> std::fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("method", &self.parts.call.method()).finish_non_exhaustive()
    }
}

/// A call under way. Dropping it cancels the call.
pub struct CallFuture<R> {
    /// The call, or the error that kept it from starting, until that is taken.
    started: Result<Started, Option<Error>>,
    items: Option<Pump>,
    on_progress: Option<Report>,
    result: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> CallFuture<R> {
    /// Waits on this thread.
    pub fn wait(mut self) -> Result<R, Error> {
        let mut started = match std::mem::replace(&mut self.started, Err(None)) {
            Ok(started) => started,
            Err(error) => return Err(error.unwrap_or_else(taken)),
        };
        started
            // Without an interrupt the wait cannot end early.
            .wait_with(&mut || false, |started, waker| self.poll_with(started, waker))
            .unwrap_or_else(|_| Err(taken()))
    }

    fn poll_with(&mut self, started: &mut Started, waker: &Waker) -> Poll<Result<R, Error>> {
        if let Some(items) = &mut self.items
            && let Err(error) = items.poll(started, waker)
        {
            started.cancel();
            return Poll::Ready(Err(error));
        }
        if let Some(report) = &mut self.on_progress {
            report.hear(started, waker);
        }
        started
            .poll_reply(waker)
            .map(|reply| reply.and_then(|reply| codec::decode_result(reply.encoding, &reply.bytes)))
    }
}

impl<R: DeserializeOwned> Future for CallFuture<R> {
    type Output = Result<R, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut started = match std::mem::replace(&mut self.started, Err(None)) {
            Ok(started) => started,
            Err(error) => return Poll::Ready(Err(error.unwrap_or_else(taken))),
        };
        let polled = self.poll_with(&mut started, cx.waker());
        if polled.is_pending() {
            self.started = Ok(started);
        }
        polled
    }
}

fn taken() -> Error {
    Error::new(ErrorCode::Internal, "this call was polled after its outcome")
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
    on_progress: Option<Report>,
    result: PhantomData<fn() -> T>,
}

impl<T> StreamCall<T> {
    /// A call on anything that takes calls; generated clients use it.
    pub fn new(channel: &(impl AsChannel + ?Sized), method: &str, params: impl Serialize) -> Self {
        let mut parts = Parts::new(channel, method, params);
        parts.options().items_out = true;
        Self { parts, on_progress: None, result: PhantomData }
    }

    /// Gives the whole stream up after this long. Without it only its first item must come within 30 s.
    pub fn deadline(mut self, timeout: Duration) -> Self {
        self.parts.options().deadline = Deadline::After(timeout);
        self
    }

    common_options!();

    /// Sends a stream of items too: what an iterator gives, or a [`Stream`]. They leave while the answer is being read, as fast as the service
    /// takes them. An error of the stream itself cancels the call, and is the answer's last item.
    ///
    /// ```no_run
    /// # async fn f(chat: procall::Client) -> Result<(), procall::Error> {
    /// let words = ["to".to_owned(), "and".to_owned(), "fro".to_owned()];
    /// let mut echoed = chat.duplex::<String, _>("echo", (), words);
    /// while let Some(word) = echoed.next().await {
    ///     println!("{}", word?);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn items<I>(mut self, items: impl Into<Stream<I>>) -> Self
    where
        I: Serialize + DeserializeOwned + 'static,
    {
        self.parts.set_items(items);
        self
    }

    /// Calls this with the progress reports that have arrived whenever the stream is read, before what is read.
    ///
    /// ```no_run
    /// # async fn f(model: procall::Client) -> Result<(), procall::Error> {
    /// use procall::StreamCall;
    ///
    /// let training = StreamCall::<f64>::new(&model, "train", (3,));
    /// let mut losses = training.on_progress(|progress| eprintln!("{progress}")).start();
    /// while let Some(loss) = losses.next().await {
    ///     println!("{}", loss?);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn on_progress(mut self, report: impl FnMut(Progress) + Send + 'static) -> Self {
        self.on_progress = Some(Report::new(report));
        self
    }

    /// Starts the call. An error that keeps it from starting is the stream's first item.
    pub fn start(self) -> Stream<T> {
        match self.parts.start() {
            Ok((started, items)) => {
                Stream::from_source(StreamSource::Call(started, items, self.on_progress))
            }
            Err(error) => Stream::failed(error),
        }
    }

    /// Starts the call with items that will be sent by hand, from a thread.
    pub fn open<I>(mut self) -> DuplexCall<I, T> {
        self.parts.options().items_in = true;
        DuplexCall::new(self.parts.start().map(|(started, _)| started), self.on_progress)
    }
}

impl<T> std::fmt::Debug for StreamCall<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamCall")
            .field("method", &self.parts.call.method())
            .finish_non_exhaustive()
    }
}

/// Who is told how far a call has come.
pub(crate) struct Report(Box<dyn FnMut(Progress) + Send>);

impl Report {
    fn new(report: impl FnMut(Progress) + Send + 'static) -> Self {
        Self(Box::new(report))
    }

    fn say(&mut self, progress: Progress) {
        (self.0)(progress);
    }

    /// Says what has arrived of a call, and has the waker woken by what is still to come.
    pub(crate) fn hear(&mut self, started: &mut Started, waker: &Waker) {
        while let Poll::Ready(Some(progress)) = started.poll_progress(waker) {
            self.say(progress);
        }
    }
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Report")
    }
}
