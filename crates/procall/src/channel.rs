//! The untyped thing that clients call on and policies wrap: a connection, a pool, later an engine.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use procall_proto::{Blocked, Body, Encoding, ErrorCode};
use procall_transport::shm::Arena;

use crate::clock;
#[cfg(feature = "tokio")]
use crate::connection::Step;
use crate::connection::{Connection, Encoded, Interrupt, Pending, Progress, Request, WaitError};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::registration::Registration;
use crate::retry::{Again, Next, Pause, RetryBudgets};
use crate::trace::Spanned;

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

    /// What its callers may spend on retries. Calls on a channel that has none are never made again.
    fn retry_budgets(&self) -> Option<&RetryBudgets> {
        None
    }

    /// Where the large arrays of its calls can lie so that they need not be copied; `None` when they have to travel among other bytes.
    fn arena(&self) -> Option<Arena> {
        None
    }

    /// Whether it is over for good, so that no other attempt can end well.
    fn is_lost(&self) -> bool {
        false
    }

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

    fn retry_budgets(&self) -> Option<&RetryBudgets> {
        Some(Self::retry_budgets(self))
    }

    fn arena(&self) -> Option<Arena> {
        Self::arena(self)
    }

    fn is_lost(&self) -> bool {
        self.is_closed()
    }

    fn close(&self) {
        Self::close(self);
    }
}

/// A call that waits for a worker.
pub trait Queued: Send {
    /// Ready once the call was handed to a worker, or will not be. The waker replaces the one given before.
    fn poll_started(&mut self, waker: &Waker) -> Poll<Result<Pending, Error>>;

    /// Of a call that never gets a worker of its own, since it waits for the outcome of another: that outcome. `None` of all others.
    fn poll_outcome(&mut self, _waker: &Waker) -> Poll<Option<Result<Encoded, Error>>> {
        Poll::Ready(None)
    }

    /// Takes it out of the queue, and wakes whoever waits: its outcome is CANCELLED, `executed: no`, unless a worker has it already, which is
    /// then asked to cancel it.
    fn cancel(&self);
}

enum Stage {
    Queued(Box<dyn Queued>),
    Active(Pending),
    /// Between two attempts.
    Pausing(Box<Pause>),
    /// It is over; the outcome waits to be taken.
    Over(Option<Result<Encoded, Error>>),
}

/// A call in progress on any channel: waiting for a worker, or under way. Dropping it cancels it.
#[must_use = "dropping it cancels the call"]
pub struct Started {
    stage: Stage,
    /// What another attempt is made of, as long as there may be one.
    again: Option<Box<Again>>,
    /// Where calls are traced.
    span: Option<Box<Spanned>>,
}

impl From<Pending> for Started {
    fn from(pending: Pending) -> Self {
        Self { stage: Stage::Active(pending), again: None, span: None }
    }
}

impl From<Result<Encoded, Error>> for Started {
    /// A call that has its outcome already.
    fn from(outcome: Result<Encoded, Error>) -> Self {
        Self { stage: Stage::Over(Some(outcome)), again: None, span: None }
    }
}

impl From<Box<dyn Queued>> for Started {
    fn from(queued: Box<dyn Queued>) -> Self {
        Self { stage: Stage::Queued(queued), again: None, span: None }
    }
}

impl Started {
    /// A first attempt that may be followed by others.
    pub(crate) fn retried(first: Result<Self, Error>, again: Box<Again>) -> Result<Self, Error> {
        let stage = match first {
            Ok(first) => return Ok(Self { again: Some(again), ..first }),
            Err(error) => Stage::Over(Some(Err(error))),
        };
        let mut started = Self { stage, again: Some(again), span: None };
        let failure = started.outcome();
        match started.settle(failure) {
            None => Ok(started),
            Some(Err(error)) => Err(error),
            Some(outcome) => Ok(Self { stage: Stage::Over(Some(outcome)), ..started }),
        }
    }

    /// The same call, whose span ends with it.
    pub(crate) fn within(self, span: Spanned) -> Self {
        Self { span: Some(Box::new(span)), ..self }
    }

    #[cfg(test)]
    pub(crate) fn pausing(pause: Pause, again: Again) -> Self {
        Self { stage: Stage::Pausing(Box::new(pause)), again: Some(Box::new(again)), span: None }
    }

    /// The outcome of an attempt: that of the whole, or `None` when there is another attempt.
    fn settle(&mut self, outcome: Result<Encoded, Error>) -> Option<Result<Encoded, Error>> {
        let outcome = match outcome {
            Ok(value) => {
                self.succeed();
                Ok(value)
            }
            Err(error) => Err(self.fail(error)?),
        };
        self.end_span(outcome.as_ref().err());
        Some(outcome)
    }

    fn end_span(&mut self, failure: Option<&Error>) {
        if let Some(span) = &mut self.span {
            span.end(failure);
        }
    }

    /// There will be no other attempt: this one went well.
    fn succeed(&mut self) {
        if let Some(again) = self.again.take() {
            again.succeeded();
        }
    }

    /// An attempt failed; `None` when there is another one.
    fn fail(&mut self, error: Error) -> Option<Error> {
        let Some(again) = &mut self.again else { return Some(error) };
        match again.failed(error) {
            Ok(pause) => {
                self.stage = Stage::Pausing(Box::new(pause));
                None
            }
            Err(error) => {
                self.again = None;
                Some(error)
            }
        }
    }

    /// Makes the next attempt if it is time for it.
    fn poll_again(&mut self, waker: &Waker) -> Poll<()> {
        while let (Stage::Pausing(pause), Some(again)) = (&mut self.stage, &mut self.again) {
            match again.poll(pause, waker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Next::Attempt(Ok(started))) => self.stage = started.stage,
                Poll::Ready(Next::Attempt(Err(error))) => {
                    if let Some(error) = self.fail(error) {
                        self.stage = Stage::Over(Some(Err(error)));
                    }
                }
                Poll::Ready(Next::Over(error)) => {
                    self.again = None;
                    self.stage = Stage::Over(Some(Err(error)));
                }
            }
        }
        Poll::Ready(())
    }

    /// The call once a worker has it; `None` when none will, and [`Self::outcome`] says why.
    fn poll_active(&mut self, waker: &Waker) -> Poll<Option<&mut Pending>> {
        if self.poll_again(waker).is_pending() {
            return Poll::Pending;
        }
        if let Stage::Queued(queued) = &mut self.stage {
            if let Some(outcome) = std::task::ready!(queued.poll_outcome(waker)) {
                self.stage = Stage::Over(Some(outcome));
                return Poll::Ready(None);
            }
            match queued.poll_started(waker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(pending)) => self.stage = Stage::Active(pending),
                Poll::Ready(Err(error)) => self.stage = Stage::Over(Some(Err(error))),
            }
        }
        Poll::Ready(match &mut self.stage {
            Stage::Active(pending) => Some(pending),
            Stage::Queued(_) | Stage::Pausing(_) | Stage::Over(_) => None,
        })
    }

    /// What became of a call that is not active.
    fn outcome(&mut self) -> Result<Encoded, Error> {
        let outcome = match &mut self.stage {
            Stage::Over(outcome) => outcome.take(),
            Stage::Queued(_) | Stage::Pausing(_) | Stage::Active(_) => None,
        };
        outcome.unwrap_or_else(|| {
            Err(Error::new(ErrorCode::Internal, "the outcome of this call was taken before"))
        })
    }

    /// The same of a stream.
    fn ended(&mut self) -> Option<Result<Encoded, Error>> {
        Some(self.outcome())
    }

    /// Waits on this thread until a worker has the call, or none will.
    fn wait_active(&mut self, interrupt: Interrupt<'_>) -> Result<Option<&mut Pending>, WaitError> {
        let waker = crate::connection::thread_waker();
        while self.poll_active(&waker).is_pending() {
            std::thread::park_timeout(QUEUE_SLICE);
            clock::let_go();
            if clock::outside_turn(&mut *interrupt) {
                return Err(WaitError::Interrupted);
            }
        }
        Ok(match &mut self.stage {
            Stage::Active(pending) => Some(pending),
            Stage::Queued(_) | Stage::Pausing(_) | Stage::Over(_) => None,
        })
    }

    /// Polls for the reply.
    pub fn poll_reply(&mut self, waker: &Waker) -> Poll<Result<Encoded, Error>> {
        loop {
            let outcome = match self.poll_active(waker) {
                Poll::Ready(Some(pending)) => std::task::ready!(pending.poll_reply(waker)),
                Poll::Ready(None) => self.outcome(),
                Poll::Pending => return Poll::Pending,
            };
            if let Some(outcome) = self.settle(outcome) {
                return Poll::Ready(outcome);
            }
        }
    }

    /// Polls for whichever comes next of a call with one answer: progress or the reply.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_step(&mut self, waker: &Waker) -> Poll<Step> {
        loop {
            let outcome = match self.poll_active(waker) {
                Poll::Ready(Some(pending)) => match std::task::ready!(pending.poll_step(waker)) {
                    Step::Reply(outcome) => outcome,
                    progress @ Step::Progress(_) => return Poll::Ready(progress),
                },
                Poll::Ready(None) => self.outcome(),
                Poll::Pending => return Poll::Pending,
            };
            if let Some(outcome) = self.settle(outcome) {
                return Poll::Ready(Step::Reply(outcome));
            }
        }
    }

    /// Waits on this thread for the reply.
    pub fn wait(self) -> Result<Encoded, Error> {
        self.wait_interruptibly(&mut || false)
    }

    /// The same; an interrupt cancels the call.
    pub fn wait_interruptibly(mut self, interrupt: Interrupt<'_>) -> Result<Encoded, Error> {
        loop {
            let outcome = match self.wait_active(interrupt) {
                Err(_) => Err(interrupted_in_queue()),
                Ok(_) => match std::mem::replace(&mut self.stage, Stage::Over(None)) {
                    Stage::Active(pending) => pending.wait_interruptibly(interrupt),
                    stage => {
                        self.stage = stage;
                        self.outcome()
                    }
                },
            };
            if let Some(outcome) = self.settle(outcome) {
                return outcome;
            }
        }
    }

    /// What comes of a look for an item: `None` when there is another attempt to look at.
    #[expect(clippy::option_option, reason = "the inner one is the end of the stream")]
    fn settle_item(
        &mut self,
        item: Option<Result<Encoded, Error>>,
    ) -> Option<Option<Result<Encoded, Error>>> {
        match item {
            Some(Err(error)) => {
                let error = self.fail(error)?;
                self.end_span(Some(&error));
                Some(Some(Err(error)))
            }
            item => {
                self.succeed();
                if item.is_none() {
                    self.end_span(None);
                }
                Some(item)
            }
        }
    }

    /// Polls for the next item of the answer; `None` is its end.
    pub fn poll_item(&mut self, waker: &Waker) -> Poll<Option<Result<Encoded, Error>>> {
        loop {
            let item = match self.poll_active(waker) {
                Poll::Ready(Some(pending)) => std::task::ready!(pending.poll_item(waker)),
                Poll::Ready(None) => self.ended(),
                Poll::Pending => return Poll::Pending,
            };
            if let Some(item) = self.settle_item(item) {
                return Poll::Ready(item);
            }
        }
    }

    /// Waits on this thread for the next item of the answer; `None` is its end.
    pub fn wait_item(&mut self, interrupt: Interrupt<'_>) -> Option<Result<Encoded, Error>> {
        loop {
            let item = match self.wait_active(interrupt) {
                Ok(Some(pending)) => pending.wait_item(interrupt),
                Ok(None) => self.ended(),
                Err(_) => Some(Err(interrupted_in_queue())),
            };
            if let Some(item) = self.settle_item(item) {
                return item;
            }
        }
    }

    /// Polls until an item can be sent, then sends it. When the call is over, its outcome says why.
    pub fn poll_send(
        &mut self,
        encoding: Encoding,
        item: &[u8],
        waker: &Waker,
    ) -> Poll<Result<(), Blocked>> {
        self.poll_send_body(&Body::new(encoding, item), waker)
    }

    /// Polls until an item can be sent, then sends it; its large arrays may be lent. When the call is over, its outcome says why.
    pub fn poll_send_value(&mut self, item: &Encoded, waker: &Waker) -> Poll<Result<(), Blocked>> {
        self.poll_send_body(&item.body(), waker)
    }

    /// The same, waiting on this thread.
    pub fn wait_send_value(
        &mut self,
        item: &Encoded,
        interrupt: Interrupt<'_>,
    ) -> Result<Result<(), Blocked>, WaitError> {
        self.wait_send_body(&item.body(), interrupt)
    }

    /// Waits on this thread until an item can be sent, then sends it.
    pub fn wait_send(
        &mut self,
        encoding: Encoding,
        item: &[u8],
        interrupt: Interrupt<'_>,
    ) -> Result<Result<(), Blocked>, WaitError> {
        self.wait_send_body(&Body::new(encoding, item), interrupt)
    }

    fn poll_send_body(&mut self, item: &Body<'_>, waker: &Waker) -> Poll<Result<(), Blocked>> {
        match self.poll_active(waker) {
            Poll::Ready(Some(pending)) => pending.poll_send_body(item, waker),
            Poll::Ready(None) => Poll::Ready(Err(Blocked::Over)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn wait_send_body(
        &mut self,
        item: &Body<'_>,
        interrupt: Interrupt<'_>,
    ) -> Result<Result<(), Blocked>, WaitError> {
        match self.wait_active(interrupt)? {
            Some(pending) => pending.wait_send_body(item, interrupt),
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
        loop {
            let Some(pending) = self.wait_active(interrupt)? else { return Ok(None) };
            let progress = pending.wait_progress(interrupt)?;
            // Of a stream the outcome is looked at when its items are read.
            let last = self.again.as_ref().is_none_or(|again| again.is_stream());
            if progress.is_some() || last {
                return Ok(progress);
            }
            // An attempt that failed may not be all: the next one has progress of its own.
            let Stage::Active(pending) = &mut self.stage else { return Ok(None) };
            let Poll::Ready(outcome) = pending.poll_reply(Waker::noop()) else { return Ok(None) };
            if let Some(outcome) = self.settle(outcome) {
                self.stage = Stage::Over(Some(outcome));
                return Ok(None);
            }
        }
    }

    /// Waits on this thread until `poll` is ready, reading the link meanwhile.
    pub(crate) fn wait_with<R>(
        &mut self,
        interrupt: Interrupt<'_>,
        mut poll: impl FnMut(&mut Self, &Waker) -> Poll<R>,
    ) -> Result<R, WaitError> {
        loop {
            let connection = self.wait_active(interrupt)?.map(|pending| pending.connection());
            let Some(connection) = connection else {
                // Of a call that is over everything is known.
                match poll(self, Waker::noop()) {
                    Poll::Ready(result) => return Ok(result),
                    // But for whether there is another attempt.
                    Poll::Pending if matches!(self.stage, Stage::Over(_)) => {
                        return Err(WaitError::Interrupted);
                    }
                    Poll::Pending => continue,
                }
            };
            let found = connection.wait_for(None, interrupt, |connection, waker| {
                match poll(self, waker) {
                    Poll::Ready(result) => Poll::Ready(Some(result)),
                    Poll::Pending if self.is_on(connection) => Poll::Pending,
                    // Between two attempts, or on another connection.
                    Poll::Pending => Poll::Ready(None),
                }
            })?;
            if let Some(result) = found {
                return Ok(result);
            }
        }
    }

    fn is_on(&self, connection: &Connection) -> bool {
        matches!(&self.stage, Stage::Active(pending) if pending.connection().same(connection))
    }

    /// Whether no worker had the call when this was polled last, and none has failed with it.
    pub fn is_queued(&self) -> bool {
        let first = !self.again.as_ref().is_some_and(|again| again.has_retried());
        matches!(self.stage, Stage::Queued(_)) && first
    }

    /// Asks for the call to end: its outcome will be CANCELLED, unless it has one already.
    pub fn cancel(&self) {
        let pause = if let Stage::Pausing(pause) = &self.stage { Some(&**pause) } else { None };
        if let Some(again) = &self.again {
            again.cancel(pause);
        }
        match &self.stage {
            Stage::Active(pending) => pending.cancel(),
            Stage::Queued(queued) => queued.cancel(),
            Stage::Pausing(_) | Stage::Over(_) => {}
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
            Stage::Pausing(_) => "pausing",
            Stage::Over(_) => "over",
        };
        f.debug_struct("Started").field("stage", &stage).finish()
    }
}
