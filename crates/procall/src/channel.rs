//! The untyped thing that clients call on and policies wrap: a connection, a pool, later an engine.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use procall_proto::{Blocked, Encoding, ErrorCode};

use crate::connection::{Connection, Encoded, Interrupt, Pending, Progress, Request, WaitError};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::registration::Registration;

/// How long a wait for a worker goes on before it looks for an interrupt.
const QUEUE_SLICE: Duration = Duration::from_millis(100);

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

    /// What was counted of the calls on it.
    fn metrics(&self) -> Metrics;

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

    fn metrics(&self) -> Metrics {
        Self::metrics(self)
    }

    fn close(&self) {
        Self::close(self);
    }
}

/// A call that waits for a worker.
pub trait Queued: Send {
    /// Ready once the call was handed to a worker, or will not be. The waker replaces the one given before.
    fn poll_started(&mut self, waker: &Waker) -> Poll<Result<Pending, Error>>;

    /// Takes it out of the queue, and wakes whoever waits: its outcome is CANCELLED, `executed: no`, unless a worker has it already, which is
    /// then asked to cancel it.
    fn cancel(&self);
}

enum Stage {
    Queued(Box<dyn Queued>),
    Active(Pending),
    /// The queue gave it up; the error waits to be taken as the outcome.
    Over(Option<Error>),
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
    /// The call once a worker has it; `None` when none will, and [`Self::outcome`] says why.
    fn poll_active(&mut self, waker: &Waker) -> Poll<Option<&mut Pending>> {
        if let Stage::Queued(queued) = &mut self.stage {
            match queued.poll_started(waker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(pending)) => self.stage = Stage::Active(pending),
                Poll::Ready(Err(error)) => self.stage = Stage::Over(Some(error)),
            }
        }
        Poll::Ready(match &mut self.stage {
            Stage::Active(pending) => Some(pending),
            Stage::Queued(_) | Stage::Over(_) => None,
        })
    }

    /// Why the call never became active.
    fn outcome(&mut self) -> Error {
        let error = match &mut self.stage {
            Stage::Over(error) => error.take(),
            Stage::Queued(_) | Stage::Active(_) => None,
        };
        error.unwrap_or_else(|| {
            Error::new(ErrorCode::Internal, "the outcome of this call was taken before")
        })
    }

    /// Waits on this thread until a worker has the call, or none will.
    fn wait_active(&mut self, interrupt: Interrupt<'_>) -> Result<Option<&mut Pending>, WaitError> {
        let waker = crate::connection::thread_waker();
        while self.poll_active(&waker).is_pending() {
            std::thread::park_timeout(QUEUE_SLICE);
            if interrupt() {
                return Err(WaitError::Interrupted);
            }
        }
        Ok(match &mut self.stage {
            Stage::Active(pending) => Some(pending),
            Stage::Queued(_) | Stage::Over(_) => None,
        })
    }

    /// Polls for the reply.
    pub fn poll_reply(&mut self, waker: &Waker) -> Poll<Result<Encoded, Error>> {
        match self.poll_active(waker) {
            Poll::Ready(Some(pending)) => pending.poll_reply(waker),
            Poll::Ready(None) => Poll::Ready(Err(self.outcome())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Waits on this thread for the reply.
    pub fn wait(self) -> Result<Encoded, Error> {
        self.wait_interruptibly(&mut || false)
    }

    /// The same; an interrupt cancels the call.
    pub fn wait_interruptibly(mut self, interrupt: Interrupt<'_>) -> Result<Encoded, Error> {
        self.wait_active(interrupt).map_err(|_| interrupted_in_queue())?;
        match std::mem::replace(&mut self.stage, Stage::Over(None)) {
            Stage::Active(pending) => pending.wait_interruptibly(interrupt),
            stage => {
                self.stage = stage;
                Err(self.outcome())
            }
        }
    }

    /// Polls for the next item of the answer; `None` is its end.
    pub fn poll_item(&mut self, waker: &Waker) -> Poll<Option<Result<Encoded, Error>>> {
        match self.poll_active(waker) {
            Poll::Ready(Some(pending)) => pending.poll_item(waker),
            Poll::Ready(None) => Poll::Ready(Some(Err(self.outcome()))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Waits on this thread for the next item of the answer; `None` is its end.
    pub fn wait_item(&mut self, interrupt: Interrupt<'_>) -> Option<Result<Encoded, Error>> {
        match self.wait_active(interrupt) {
            Ok(Some(pending)) => pending.wait_item(interrupt),
            Ok(None) => Some(Err(self.outcome())),
            Err(_) => Some(Err(interrupted_in_queue())),
        }
    }

    /// Polls until an item can be sent, then sends it. When the call is over, its outcome says why.
    pub fn poll_send(
        &mut self,
        encoding: Encoding,
        item: &[u8],
        waker: &Waker,
    ) -> Poll<Result<(), Blocked>> {
        match self.poll_active(waker) {
            Poll::Ready(Some(pending)) => pending.poll_send(encoding, item, waker),
            Poll::Ready(None) => Poll::Ready(Err(Blocked::Over)),
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
        match self.wait_active(interrupt)? {
            Some(pending) => pending.wait_send(encoding, item, interrupt),
            None => Ok(Err(Blocked::Over)),
        }
    }

    /// No more items will be sent. Of a call that still waits for a worker, [`poll_end_items`](Self::poll_end_items) tells it.
    pub fn end_items(&mut self) {
        if let Stage::Active(pending) = &mut self.stage {
            pending.end_items();
        }
    }

    /// Polls until the end of the items can be told, then tells it.
    pub fn poll_end_items(&mut self, waker: &Waker) -> Poll<()> {
        self.poll_active(waker).map(|pending| pending.map_or((), Pending::end_items))
    }

    /// Polls for the newest progress report; `None` when the call is over.
    pub fn poll_progress(&mut self, waker: &Waker) -> Poll<Option<Progress>> {
        match self.poll_active(waker) {
            Poll::Ready(Some(pending)) => pending.poll_progress(waker),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Waits on this thread for progress (`Some`), or for anything else (`None`).
    pub fn wait_progress(
        &mut self,
        interrupt: Interrupt<'_>,
    ) -> Result<Option<Progress>, WaitError> {
        match self.wait_active(interrupt)? {
            Some(pending) => pending.wait_progress(interrupt),
            None => Ok(None),
        }
    }

    /// Waits on this thread until `poll` is ready, reading the link meanwhile.
    pub(crate) fn wait_with<R>(
        &mut self,
        interrupt: Interrupt<'_>,
        mut poll: impl FnMut(&mut Self, &Waker) -> Poll<R>,
    ) -> Result<R, WaitError> {
        let connection = self.wait_active(interrupt)?.map(|pending| pending.connection());
        match connection {
            Some(connection) => connection.wait_for(None, interrupt, |_, waker| poll(self, waker)),
            // Of a call that is over everything is known.
            None => match poll(self, Waker::noop()) {
                Poll::Ready(result) => Ok(result),
                Poll::Pending => Err(WaitError::Interrupted),
            },
        }
    }

    /// Whether no worker had the call when this was polled last.
    pub fn is_queued(&self) -> bool {
        matches!(self.stage, Stage::Queued(_))
    }

    /// Asks for the call to end: its outcome will be CANCELLED, unless it has one already.
    pub fn cancel(&self) {
        match &self.stage {
            Stage::Active(pending) => pending.cancel(),
            Stage::Queued(queued) => queued.cancel(),
            Stage::Over(_) => {}
        }
    }
}

fn interrupted_in_queue() -> Error {
    Error::new(ErrorCode::Cancelled, "the wait was interrupted")
        .with_executed(procall_proto::Executed::No)
}

impl Future for Started {
    type Output = Result<Encoded, Error>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Self::Output> {
        self.poll_reply(cx.waker())
    }
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stage = match &self.stage {
            Stage::Queued(_) => "queued",
            Stage::Active(_) => "active",
            Stage::Over(_) => "over",
        };
        f.debug_struct("Started").field("stage", &stage).finish()
    }
}
