//! What a caller sends: items that leave as the service grants credit.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream as FutureStream;
use procall_proto::{Encoding, Executed};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::Report;
use crate::channel::Started;
use crate::codec;
use crate::connection::{Encoded, Interrupt, WaitError};
use crate::error::Error;
use crate::service::EncodeItems;
use crate::stream::Stream;

/// Items sent in one poll; then the answer gets a look.
const BURST: usize = 64;

type Source = Pin<Box<dyn FutureStream<Item = Result<Encoded, Error>> + Send>>;

/// Sends the items of a call while somebody polls it.
pub(crate) struct Pump {
    source: Source,
    /// Waits for credit.
    next: Option<Encoded>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Items,
    /// All are sent; the peer has yet to be told.
    End,
    Done,
}

impl Pump {
    pub(crate) fn new<T>(items: Stream<T>) -> Self
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        Self { source: Box::pin(EncodeItems(items)), next: None, stage: Stage::Items }
    }

    /// Sends what can be sent now. An error is the source's own: the call has lost its sense.
    pub(crate) fn poll(&mut self, started: &mut Started, waker: &Waker) -> Result<(), Error> {
        let mut sent = 0;
        while self.stage == Stage::Items {
            let item = match self.next.take() {
                Some(item) => item,
                None => match self.source.as_mut().poll_next(&mut Context::from_waker(waker)) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Some(Ok(item))) => item,
                    Poll::Ready(Some(Err(error))) => {
                        self.stage = Stage::Done;
                        // Some items may have reached the handler.
                        return Err(error.with_executed(Executed::Maybe));
                    }
                    Poll::Ready(None) => {
                        self.stage = Stage::End;
                        break;
                    }
                },
            };
            if sent == BURST {
                self.next = Some(item);
                waker.wake_by_ref();
                return Ok(());
            }
            match started.poll_send(item.encoding, &item.bytes, waker) {
                Poll::Pending => {
                    self.next = Some(item);
                    return Ok(());
                }
                Poll::Ready(Ok(())) => sent += 1,
                // The call is over: its outcome says why.
                Poll::Ready(Err(_)) => self.stage = Stage::Done,
            }
        }
        if self.stage == Stage::End && started.poll_end_items(waker).is_ready() {
            self.stage = Stage::Done;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pump").field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// A call with streams both ways, driven by hand from a thread: send items, read the answer, in any order.
///
/// Each side may be some 64 items ahead of the other. Who only sends waits for ever once the service waits for its answer to be read, so read
/// now and then; [`StreamCall::items`](crate::StreamCall::items) does both by itself. Dropping it cancels the call.
///
/// ```no_run
/// # fn f() -> Result<(), procall::Error> {
/// let client = procall::BlockingClient::connect("chat")?;
/// let mut echo = client.open::<String, String>("echo", ());
/// echo.send(&"hello".to_owned())?;
/// assert_eq!(echo.next().unwrap()?, "hello");
/// echo.finish();
/// assert!(echo.next().is_none());
/// # Ok(()) }
/// ```
#[must_use = "dropping it cancels the call"]
pub struct DuplexCall<I, O> {
    /// The call, or the error that kept it from starting until that is taken.
    started: Result<Started, Option<Error>>,
    on_progress: Option<Report>,
    over: bool,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> DuplexCall<I, O> {
    pub(crate) fn new(started: Result<Started, Error>, on_progress: Option<Report>) -> Self {
        Self { started: started.map_err(Some), on_progress, over: false, types: PhantomData }
    }

    /// No more items will be sent.
    pub fn finish(&mut self) {
        if let Ok(started) = &mut self.started {
            // Without an interrupt the wait cannot end early.
            let _ = started.wait_with(&mut || false, Started::poll_end_items);
        }
    }
}

impl<I: Serialize, O: DeserializeOwned> DuplexCall<I, O> {
    /// Sends an item, waiting on this thread while the service has no room for it. False when the call is over already: the rest of its
    /// answer, or its error, is still to be read.
    pub fn send(&mut self, item: &I) -> Result<bool, Error> {
        self.send_interruptibly(item, &mut || false)
    }

    /// The same; an interrupt ends the wait with CANCELLED, and the item is not sent.
    pub fn send_interruptibly(
        &mut self,
        item: &I,
        interrupt: Interrupt<'_>,
    ) -> Result<bool, Error> {
        let bytes = codec::encode(item)
            .map_err(|error| Error::invalid(format!("the item cannot be encoded: {error}")))?;
        match &mut self.started {
            Err(_) => Ok(false),
            Ok(started) => match started.wait_send(Encoding::Msgpack, &bytes, interrupt) {
                Ok(sent) => Ok(sent.is_ok()),
                Err(WaitError::Interrupted | WaitError::TimedOut) => {
                    Err(Error::new(procall_proto::ErrorCode::Cancelled, "the wait was interrupted"))
                }
            },
        }
    }

    /// The next value of the answer, waited for on this thread; `None` is its end.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would promise to end after an error"
    )]
    pub fn next(&mut self) -> Option<Result<O, Error>> {
        if self.over {
            return None;
        }
        let value = match &mut self.started {
            Err(error) => error.take().map(Err),
            Ok(started) => match &mut self.on_progress {
                None => started.wait_item(&mut || false),
                Some(report) => started
                    // Without an interrupt the wait cannot end early.
                    .wait_with(&mut || false, |started, waker| {
                        report.hear(started, waker);
                        started.poll_item(waker)
                    })
                    .unwrap_or(None),
            }
            .map(|item| item.and_then(|item| codec::decode_result(item.encoding, &item.bytes))),
        };
        self.over = !matches!(value, Some(Ok(_)));
        value
    }
}

impl<I, O> std::fmt::Debug for DuplexCall<I, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DuplexCall").field("started", &self.started).finish_non_exhaustive()
    }
}
