//! Serving by pulling: a loop takes one call after the other, in its own time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use procall_proto::{Encoding, ErrorCode, Executed};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::{Answer, Arrival, Handler};
use super::{Params, Service};
use crate::codec;
use crate::connection::Responder;
use crate::context::Context;
use crate::error::{Error, IntoError};
use crate::registration::MethodInfo;
use crate::stream::Stream;

/// Calls that wait to be pulled. The next one is refused with OVERLOADED, `executed: no`.
const MAX_WAITING: usize = 1024;

#[derive(Default)]
struct Queue {
    calls: VecDeque<PulledCall>,
    waker: Option<Waker>,
    /// Handlers that still bring calls.
    handlers: usize,
    /// Nobody pulls any more.
    closed: bool,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Queue>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing under the lock panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The calls of some methods of a service, to be taken one after the other instead of by handlers.
///
/// For loops that stay in charge: a GPU that takes one batch at a time, a device, another language.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), procall::Error> {
/// use procall::transport::{LinkOptions, mem};
/// use procall::{Client, Error, ErrorCode, Service};
///
/// let (service, mut calls) = Service::new("calc").pull(&["add", "mul"]);
/// # let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
/// service.serve_link(Box::new(theirs))?;
/// tokio::spawn(async move {
///     while let Some(call) = calls.next().await {
///         match (call.method(), call.params::<(i64, i64)>()) {
///             ("calc.add", Ok((a, b))) => call.reply(&(a + b)),
///             ("calc.mul", Ok((a, b))) => call.reply(&(a * b)),
///             (_, Err(error)) => call.fail(error),
///             _ => call.fail(Error::new(ErrorCode::NotFound, "no such method")),
///         }
///     }
/// });
/// let calc = Client::over(Box::new(ours)).await?;
/// assert_eq!(calc.call::<i64>("mul", (3, 4)).await?, 12);
/// # Ok(()) }
/// ```
pub struct Calls {
    shared: Shared,
}

impl Service {
    /// Adds methods without types, whose calls wait in the [`Calls`] to be pulled. [`Calls::handler`] adds one with all that is known of it.
    ///
    /// # Panics
    ///
    /// When a name is not one, or is taken.
    #[must_use]
    pub fn pull(mut self, methods: &[&str]) -> (Self, Calls) {
        let calls = Calls { shared: Shared::default() };
        for &name in methods {
            let info = MethodInfo { name: name.to_owned(), ..MethodInfo::default() };
            self = self.method_info(info, calls.handler());
        }
        (self, calls)
    }
}

impl Calls {
    /// A handler whose calls come here too; for [`Service::method_info`].
    pub fn handler(&self) -> impl Handler + use<> {
        self.shared.lock().handlers += 1;
        Pulled(self.shared.clone())
    }

    /// The next call that its caller still wants, in the order of arrival; `None` once the service is gone.
    pub async fn next(&mut self) -> Option<PulledCall> {
        std::future::poll_fn(|cx| self.poll_next(cx.waker())).await
    }

    /// Polls for the next call.
    pub fn poll_next(&mut self, waker: &Waker) -> Poll<Option<PulledCall>> {
        loop {
            let call = {
                let mut queue = self.shared.lock();
                match queue.calls.pop_front() {
                    Some(call) => call,
                    None if queue.handlers == 0 => return Poll::Ready(None),
                    None => {
                        queue.waker = Some(waker.clone());
                        return Poll::Pending;
                    }
                }
            };
            // Not under the lock: an answer may wake whoever waits here.
            match call.refused() {
                None => return Poll::Ready(Some(call)),
                Some(error) => call.fail(error),
            }
        }
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        let waiting = {
            let mut queue = self.shared.lock();
            queue.closed = true;
            std::mem::take(&mut queue.calls)
        };
        for call in waiting {
            call.fail(closed());
        }
    }
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").field("waiting", &self.shared.lock().calls.len()).finish()
    }
}

fn closed() -> Error {
    Error::new(ErrorCode::Unavailable, "nobody takes calls of this method any more")
}

struct Pulled(Shared);

impl Handler for Pulled {
    fn call(&self, call: &Arrival<'_>) -> Answer {
        let mut queue = self.0.lock();
        if queue.closed {
            return Answer::Ready(Err(closed()));
        }
        if queue.calls.len() >= MAX_WAITING {
            let message = format!("{MAX_WAITING} calls wait to be taken already");
            return Answer::Ready(Err(Error::new(ErrorCode::Overloaded, message)));
        }
        queue.calls.push_back(PulledCall {
            method: call.method().to_owned(),
            encoding: call.encoding(),
            body: call.body().to_vec(),
            context: call.context(),
            items_in: call.shape().items_in(),
            responder: call.responder(),
        });
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        Answer::Later
    }
}

impl Drop for Pulled {
    fn drop(&mut self) {
        let waker = {
            let mut queue = self.0.lock();
            queue.handlers -= 1;
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A call that was taken from [`Calls`]. Dropped without an answer, its caller gets an error.
#[must_use = "a call that is dropped is answered with an error"]
pub struct PulledCall {
    method: String,
    encoding: Encoding,
    body: Vec<u8>,
    context: Context,
    items_in: bool,
    /// `None` for a notification.
    responder: Option<Responder>,
}

impl PulledCall {
    /// The method's full name.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The params as one value: a tuple for a call by position, a struct or map for one by name.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, Error> {
        codec::decode(self.encoding, &self.body)
    }

    /// The params, taken apart.
    pub fn arguments(&self) -> Result<Params<'_>, Error> {
        Params::new(self.encoding, &self.body)
    }

    /// The facts that travel with the call.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Whether nobody waits for an answer.
    pub fn is_notification(&self) -> bool {
        self.responder.is_none()
    }

    /// The stream that the caller sends; empty for a call without one.
    pub fn items<T: DeserializeOwned + 'static>(&self) -> Stream<T> {
        self.context.items(self.items_in)
    }

    /// Answers with the result; one that cannot be encoded is INVALID_RESULT.
    pub fn reply<T: Serialize + ?Sized>(self, value: &T) {
        if let Some(responder) = self.responder {
            match crate::connection::Encoded::of(value) {
                Ok(value) => responder.reply(value),
                Err(error) => responder.fail(&error),
            }
        }
    }

    /// Answers with an error: an [`Error`], or one of the service's own.
    pub fn fail(self, error: impl IntoError) {
        if let Some(responder) = self.responder {
            responder.fail(&error.into_error());
        }
    }

    /// What is left once the arguments were taken: the facts, and the way to answer unless it is a notification.
    #[cfg(feature = "tokio")]
    pub(crate) fn into_parts(self) -> (Context, Option<Responder>) {
        (self.context, self.responder)
    }

    /// Why it is not worth taking: its caller gave it up while it waited.
    fn refused(&self) -> Option<Error> {
        let late = self.context.remaining().is_some_and(|left| left.is_zero());
        let (code, message) = if late {
            (ErrorCode::DeadlineExceeded, "the deadline passed before the call was taken")
        } else if self.context.is_cancelled() {
            (ErrorCode::Cancelled, "cancelled before the call was taken")
        } else {
            return None;
        };
        Some(Error::new(code, message).with_executed(Executed::No))
    }
}

impl std::fmt::Debug for PulledCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PulledCall").field("method", &self.method).finish_non_exhaustive()
    }
}
