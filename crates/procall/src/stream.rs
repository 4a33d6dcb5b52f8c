//! Ordered values inside a call, from either side.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream as FutureStream;
use procall_proto::CallId;
use serde::de::DeserializeOwned;

use crate::channel::Started;
use crate::client::{Pump, Report};
use crate::codec;
use crate::connection::{Connection, Encoded, thread_waker};
use crate::error::Error;

/// Ordered values inside a call: what a client reads, what a handler takes, and what a handler returns.
///
/// It is a [`futures_core::Stream`] of results. A stream that is cut short ends with an error, never silently.
/// Dropping a client's stream cancels the call.
///
/// ```
/// use procall::Stream;
///
/// fn countdown(from: u32) -> Stream<u32> {
///     Stream::from_iter((0..from).rev())
/// }
/// # let _ = countdown(3);
/// ```
#[must_use = "dropping it cancels the call"]
pub struct Stream<T> {
    inner: Inner<T>,
}

enum Inner<T> {
    Made(Pin<Box<dyn FutureStream<Item = Result<T, Error>> + Send>>),
    Wire(Box<StreamSource>, PhantomData<fn() -> T>),
    Failed(Option<Error>),
    Over,
}

/// Where encoded items come from.
#[derive(Debug)]
pub(crate) enum StreamSource {
    /// The answer to a call of ours.
    Call(Started, Option<Pump>, Option<Report>),
    /// What the caller of a served call sends.
    Served(Connection, CallId),
}

impl StreamSource {
    pub(crate) fn served(connection: Connection, id: CallId) -> Self {
        Self::Served(connection, id)
    }

    fn poll_item(&mut self, waker: &Waker) -> Poll<Option<Result<Encoded, Error>>> {
        match self {
            Self::Call(started, items, report) => poll_call(started, items, report, waker),
            Self::Served(connection, id) => connection.poll_item_in(*id, waker),
        }
    }

    fn wait_item(&mut self) -> Option<Result<Encoded, Error>> {
        match self {
            Self::Call(started, None, None) => started.wait_item(&mut || false),
            Self::Call(started, items, report) => {
                // Without an interrupt the wait cannot end early.
                let poll =
                    |started: &mut Started, waker: &Waker| poll_call(started, items, report, waker);
                started.wait_with(&mut || false, poll).unwrap_or(None)
            }
            Self::Served(connection, id) => {
                // Without an interrupt the wait cannot end early.
                connection.wait_item_in(*id, &mut || false).unwrap_or(None)
            }
        }
    }
}

/// Sends what can be sent, tells what was reported, then looks for an item of the answer.
fn poll_call(
    started: &mut Started,
    items: &mut Option<Pump>,
    report: &mut Option<Report>,
    waker: &Waker,
) -> Poll<Option<Result<Encoded, Error>>> {
    if let Some(items) = items
        && let Err(error) = items.poll(started, waker)
    {
        started.cancel();
        return Poll::Ready(Some(Err(error)));
    }
    if let Some(report) = report {
        report.hear(started, waker);
    }
    started.poll_item(waker)
}

impl<T> Stream<T> {
    /// A stream of what another stream gives.
    pub fn new(stream: impl FutureStream<Item = Result<T, Error>> + Send + 'static) -> Self {
        Self { inner: Inner::Made(Box::pin(stream)) }
    }

    /// A stream without values.
    pub fn empty() -> Self {
        Self { inner: Inner::Over }
    }

    /// A stream whose first item is an error.
    pub(crate) fn failed(error: Error) -> Self {
        Self { inner: Inner::Failed(Some(error)) }
    }

    pub(crate) fn from_source(source: StreamSource) -> Self {
        Self { inner: Inner::Wire(Box::new(source), PhantomData) }
    }
}

impl<T: Send + 'static> Stream<T> {
    /// A stream of an iterator's values; each is made when the reader has room for it.
    #[expect(
        clippy::should_implement_trait,
        reason = "FromIterator would collect; this stays lazy"
    )]
    pub fn from_iter<I>(values: I) -> Self
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        struct Iter<I>(I);
        impl<I: Iterator + Unpin> FutureStream for Iter<I> {
            type Item = Result<I::Item, Error>;

            fn poll_next(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                Poll::Ready(self.0.next().map(Ok))
            }
        }
        Self::new(Iter(Box::new(values.into_iter())))
    }
}

impl<T, I> From<I> for Stream<T>
where
    T: Send + 'static,
    I: IntoIterator<Item = T>,
    I::IntoIter: Send + 'static,
{
    /// A stream of an iterator's values, as [`Stream::from_iter`] makes it.
    fn from(values: I) -> Self {
        Self::from_iter(values)
    }
}

impl<T: DeserializeOwned> Stream<T> {
    /// The next value; `None` is the end.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        std::future::poll_fn(|cx| self.poll_value(cx)).await
    }

    /// All values in a list; the first error instead, if there is one.
    pub async fn collect(mut self) -> Result<Vec<T>, Error> {
        let mut values = Vec::new();
        while let Some(value) = self.next().await {
            values.push(value?);
        }
        Ok(values)
    }

    /// The next value, waited for on this thread: for clients without a runtime.
    pub fn wait_next(&mut self) -> Option<Result<T, Error>> {
        match &mut self.inner {
            Inner::Wire(source, _) => {
                let item = source.wait_item();
                self.take(item)
            }
            Inner::Failed(error) => error.take().map(Err),
            Inner::Over => None,
            Inner::Made(stream) => {
                let waker = thread_waker();
                loop {
                    match stream.as_mut().poll_next(&mut Context::from_waker(&waker)) {
                        Poll::Ready(value) => return value,
                        Poll::Pending => std::thread::park(),
                    }
                }
            }
        }
    }

    fn poll_value(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        match &mut self.inner {
            Inner::Made(stream) => stream.as_mut().poll_next(cx),
            Inner::Wire(source, _) => match source.poll_item(cx.waker()) {
                Poll::Ready(item) => Poll::Ready(self.take(item)),
                Poll::Pending => Poll::Pending,
            },
            Inner::Failed(error) => Poll::Ready(error.take().map(Err)),
            Inner::Over => Poll::Ready(None),
        }
    }

    fn take(&mut self, item: Option<Result<Encoded, Error>>) -> Option<Result<T, Error>> {
        let value =
            item.map(|item| item.and_then(|item| codec::decode_result(item.encoding, &item.bytes)));
        // After the end or an error there is nothing more.
        if !matches!(value, Some(Ok(_))) {
            self.inner = Inner::Over;
        }
        value
    }
}

impl<T: DeserializeOwned> FutureStream for Stream<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_value(cx)
    }
}

impl<T> Unpin for Stream<T> {}

impl<T> std::fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
