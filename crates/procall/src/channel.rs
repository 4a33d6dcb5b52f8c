//! The untyped thing that clients call on and policies wrap: a connection, a pool, later an engine.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use procall_proto::{Blocked, Encoding, ErrorCode};

use crate::connection::{Connection, Encoded, Interrupt, Pending, Progress, Request, WaitError};
use crate::error::Error;
use crate::registration::Registration;

/// Something that takes calls.
///
/// ```
/// use procall::{Channel, Error, Request};
///
/// fn start_twice(channel: &dyn Channel, request: Request<'_>) -> Result<(), Error> {
///     let first = channel.start(request.clone())?;
///     let second = channel.start(request)?;
///     first.wait()?;
///     second.wait()?;
///     Ok(())
/// }
/// ```
pub trait Channel: Send + Sync + 'static {
    /// Starts a call.
    fn start(&self, request: Request<'_>) -> Result<Started, Error>;

    /// Sends a notification: at most once, never answered.
    fn notify(&self, request: Request<'_>) -> Result<(), Error>;

    /// What is served at the other end, when that is known already.
    fn registration(&self) -> Option<Arc<Registration>>;

    /// Ends it: calls in flight end with CLOSED.
    fn close(&self);
}

impl Channel for Connection {
    fn start(&self, request: Request<'_>) -> Result<Started, Error> {
        Self::start(self, request).map(Started::from)
    }

    fn notify(&self, request: Request<'_>) -> Result<(), Error> {
        Self::notify(self, request)
    }

    fn registration(&self) -> Option<Arc<Registration>> {
        self.peer_registration()
    }

    fn close(&self) {
        Self::close(self);
    }
}

/// A call that waits for a worker.
pub trait Queued: Send {
    /// Ready once the call was handed to a worker, or will not be. The waker replaces the one given before.
    fn poll_started(&mut self, waker: &Waker) -> Poll<Result<Pending, Error>>;
}

enum Stage {
    Queued(Box<dyn Queued>),
    Active(Pending),
    /// The queue gave it up; the outcome was taken.
    Over,
}

/// A call in progress on any channel: waiting for a worker, or under way. Dropping it cancels it.
#[must_use = "dropping it cancels the call"]
pub struct Started {
    stage: Stage,
}

impl From<Pending> for Started {
    fn from(pending: Pending) -> Self {
        Self { stage: Stage::Active(pending) }
    }
}

impl From<Box<dyn Queued>> for Started {
    fn from(queued: Box<dyn Queued>) -> Self {
        Self { stage: Stage::Queued(queued) }
    }
}

impl Started {
    /// The call once a worker has it.
    fn poll_active(&mut self, waker: &Waker) -> Poll<Result<&mut Pending, Error>> {
        if let Stage::Queued(queued) = &mut self.stage {
            match queued.poll_started(waker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(pending)) => self.stage = Stage::Active(pending),
                Poll::Ready(Err(error)) => {
                    self.stage = Stage::Over;
                    return Poll::Ready(Err(error));
                }
            }
        }
        match &mut self.stage {
            Stage::Active(pending) => Poll::Ready(Ok(pending)),
            Stage::Queued(_) | Stage::Over => {
                Poll::Ready(Err(Error::new(ErrorCode::Internal, "the outcome of this call was taken before")))
            }
        }
    }

    /// Waits on this thread until a worker has the call.
    fn wait_active(&mut self, interrupt: Interrupt<'_>) -> Result<&mut Pending, Error> {
        if matches!(self.stage, Stage::Queued(_)) {
            let waker = crate::connection::thread_waker();
            loop {
                if self.poll_active(&waker).map_ok(|_| ())?.is_ready() {
                    break;
                }
                std::thread::park_timeout(Duration::from_millis(100));
                if interrupt() {
                    return Err(Error::new(ErrorCode::Cancelled, "the wait was interrupted")
                        .with_executed(procall_proto::Executed::No));
                }
            }
        }
        match self.poll_active(Waker::noop()) {
            Poll::Ready(active) => active,
            Poll::Pending => Err(Error::new(ErrorCode::Internal, "a started call is not active")),
        }
    }

    /// Polls for the reply.
    pub fn poll_reply(&mut self, waker: &Waker) -> Poll<Result<Encoded, Error>> {
        match self.poll_active(waker) {
            Poll::Ready(Ok(pending)) => pending.poll_reply(waker),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Waits on this thread for the reply.
    pub fn wait(self) -> Result<Encoded, Error> {
        self.wait_interruptibly(&mut || false)
    }

    /// The same; an interrupt cancels the call.
    pub fn wait_interruptibly(mut self, interrupt: Interrupt<'_>) -> Result<Encoded, Error> {
        self.wait_active(interrupt)?;
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Active(pending) => pending.wait_interruptibly(interrupt),
            Stage::Queued(_) | Stage::Over => {
                Err(Error::new(ErrorCode::Internal, "a started call is not active"))
            }
        }
    }

    /// Polls for the next item of the answer; `None` is its end.
    pub fn poll_item(&mut self, waker: &Waker) -> Poll<Option<Result<Encoded, Error>>> {
        match self.poll_active(waker) {
            Poll::Ready(Ok(pending)) => pending.poll_item(waker),
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Waits on this thread for the next item of the answer; `None` is its end.
    pub fn wait_item(&mut self, interrupt: Interrupt<'_>) -> Option<Result<Encoded, Error>> {
        match self.wait_active(interrupt) {
            Ok(pending) => pending.wait_item(interrupt),
            Err(error) => Some(Err(error)),
        }
    }

    /// Polls until an item can be sent, then sends it. When the call is over, its outcome says why.
    pub fn poll_send(&mut self, encoding: Encoding, item: &[u8], waker: &Waker) -> Poll<Result<(), Blocked>> {
        match self.poll_active(waker) {
            Poll::Ready(Ok(pending)) => pending.poll_send(encoding, item, waker),
            Poll::Ready(Err(_)) => Poll::Ready(Err(Blocked::Over)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Waits on this thread until an item can be sent, then sends it.
    pub fn wait_send(
        &mut self,
        encoding: Encoding,
        item: &[u8],
        interrupt: Interrupt<'_>,
    ) -> Result<Result<(), Blocked>, WaitError> {
        match self.wait_active(interrupt) {
            Ok(pending) => pending.wait_send(encoding, item, interrupt),
            Err(error) if error.code() == ErrorCode::Cancelled => Err(WaitError::Interrupted),
            Err(_) => Ok(Err(Blocked::Over)),
        }
    }

    /// No more items will be sent.
    pub fn end_items(&mut self) {
        if let Stage::Active(pending) = &mut self.stage {
            pending.end_items();
        }
    }

    /// Polls for the newest progress report; `None` when the call is over.
    pub fn poll_progress(&mut self, waker: &Waker) -> Poll<Option<Progress>> {
        match self.poll_active(waker) {
            Poll::Ready(Ok(pending)) => pending.poll_progress(waker),
            Poll::Ready(Err(_)) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Waits on this thread for progress (`Some`), or for anything else (`None`).
    pub fn wait_progress(&mut self, interrupt: Interrupt<'_>) -> Result<Option<Progress>, WaitError> {
        match self.wait_active(interrupt) {
            Ok(pending) => pending.wait_progress(interrupt),
            Err(error) if error.code() == ErrorCode::Cancelled => Err(WaitError::Interrupted),
            Err(_) => Ok(None),
        }
    }

    /// Asks for the call to end: its outcome will be CANCELLED. A call that waits for a worker is taken from the queue when this is dropped.
    pub fn cancel(&self) {
        if let Stage::Active(pending) = &self.stage {
            pending.cancel();
        }
    }
}

impl Future for Started {
    type Output = Result<Encoded, Error>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        self.poll_reply(cx.waker())
    }
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stage = match &self.stage {
            Stage::Queued(_) => "queued",
            Stage::Active(_) => "active",
            Stage::Over => "over",
        };
        f.debug_struct("Started").field("stage", &stage).finish()
    }
}
