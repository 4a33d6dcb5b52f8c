//! A call of ours, from its start to its outcome.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use procall_proto::{Body, Encoding, ErrorCode, Executed, Failure, Time};

use super::slot::{Encoded, Outcome, Progress, Slot};
use super::wait::{Interrupt, WaitError};
use super::{Connection, Shared, State, line, standby};
use crate::chain::Chain;
use crate::clock;
use crate::error::Error;
use crate::metrics::Ending;

/// When a call is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deadline {
    /// After 30 s; for a stream, if its first item has not come by then.
    #[default]
    Default,
    /// After this long; for a stream, if its first item has not come by then.
    Opening(Duration),
    /// After this long, the whole of a stream included.
    After(Duration),
    /// Never.
    Never,
}

impl Deadline {
    /// What [`Deadline::Default`] means, 30 s.
    pub const USUAL: Duration = Duration::from_secs(30);

    /// The time that a call has whose maker has `inherited` left, and whether that covers only a stream's opening.
    pub fn within(self, inherited: Option<Duration>) -> (Option<Duration>, bool) {
        let (own, opening) = match self {
            Self::Default => (Some(Self::USUAL), true),
            Self::Opening(time) => (Some(time), true),
            Self::After(time) => (Some(time), false),
            Self::Never => (None, false),
        };
        match (own, inherited) {
            (Some(own), Some(inherited)) if inherited < own => (Some(inherited), false),
            (Some(own), _) => (Some(own), opening),
            (None, inherited) => (inherited, false),
        }
    }
}

/// What happens to a pool's worker that is still busy with a call when the caller's deadline passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnTimeout {
    /// It is asked to cancel, and gets no other call in that slot before it is done.
    #[default]
    Return,
    /// It is started anew: at once when it has no other call, else when those are done.
    Restart,
}

/// How a call is to be made. All fields have defaults.
///
/// ```
/// use std::time::Duration;
/// use procall::{CallOptions, Deadline};
///
/// let options = CallOptions { deadline: Deadline::After(Duration::from_millis(80)), ..CallOptions::default() };
/// assert!(!options.idempotent);
/// ```
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// When to give up.
    pub deadline: Deadline,
    /// The method may run more than once without harm.
    pub idempotent: bool,
    /// The metadata map, encoded as MessagePack; empty for none.
    pub meta: Vec<u8>,
    /// This side sends a stream.
    pub items_in: bool,
    /// The answer is a stream.
    pub items_out: bool,
    /// Affinity: calls with the same key go to the same worker of a pool and start in the order of sending. A connection tells it to the
    /// other side, where it counts if that hands its calls on to a pool.
    pub key: Option<Arc<str>>,
    /// The one worker of a pool that is to get the call, by its name such as `calc/2`. A connection tells it to the other side too.
    pub to: Option<Arc<str>>,
    /// The version of the service that is meant, where an engine knows several. A connection tells it to the other side.
    pub version: Option<Arc<str>>,
    /// While nobody serves the method with the engine, the call waits for a worker until its deadline, instead of ending with NO_WORKER.
    pub wait: bool,
    /// What happens to a pool's worker that is busy when the deadline passes.
    pub on_timeout: OnTimeout,
    /// How often the call may be made again by [`start_retrying`](crate::start_retrying), which clients and pools call with: 2 times without
    /// it, never with 0.
    pub retries: Option<u32>,
    /// With an engine: a call with a key that the same caller used for the same method in the last 5 minutes gets that call's outcome instead
    /// of being executed again. 1 to 255 bytes. A connection tells it to the other side.
    pub idempotency_key: Option<Arc<str>>,
    /// The calls that wait for this one. Without it, those that wait for the handler that makes the call, and the handler's own.
    pub chain: Option<Arc<Chain>>,
}

/// What to call: a method, its encoded params, and how.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Full or bare method name.
    pub method: &'a str,
    /// The params.
    pub body: Body<'a>,
    /// How.
    pub options: CallOptions,
}

impl<'a> Request<'a> {
    /// A request with default options.
    pub fn new(method: &'a str, encoding: Encoding, params: &'a [u8]) -> Self {
        Self { method, body: Body::new(encoding, params), options: CallOptions::default() }
    }

    /// The same with other options.
    #[must_use]
    pub fn with_options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }
}

/// A call that was started. Dropping it cancels the call.
///
/// As a future it gives the reply; [`Pending::wait`] gives it to a thread without a runtime.
#[must_use = "dropping it cancels the call"]
pub struct Pending {
    pub(super) shared: Arc<Shared>,
    pub(super) token: usize,
    done: bool,
}

impl Pending {
    /// The call of this slot.
    pub(super) fn of(connection: &Connection, token: usize) -> Self {
        Self { shared: connection.shared.clone(), token, done: false }
    }

    /// Waits on this thread for the reply, reading the link itself when nobody else does.
    pub fn wait(self) -> Result<Encoded, Error> {
        self.wait_interruptibly(&mut || false)
    }

    /// The same; an interrupt cancels the call.
    pub fn wait_interruptibly(mut self, interrupt: Interrupt<'_>) -> Result<Encoded, Error> {
        let token = self.token;
        let outcome = self.shared.wait(
            Time::NEVER,
            interrupt,
            |state, waker| state.poll_outcome(token, waker),
            || Poll::Pending,
        );
        match outcome {
            Ok(outcome) => {
                self.done = true;
                one_value(outcome)
            }
            Err(_) => Err(Error::new(ErrorCode::Cancelled, "the wait was interrupted")),
        }
    }

    /// Polls for the reply with a waker of the caller's own making.
    pub fn poll_reply(&mut self, waker: &Waker) -> Poll<Result<Encoded, Error>> {
        let mut state = self.shared.lock();
        let outcome = state.poll_outcome(self.token, waker);
        if outcome.is_pending() {
            standby::look_after(&self.shared, &mut state);
        }
        self.done |= outcome.is_ready();
        outcome.map(one_value)
    }

    /// Polls for whichever comes next, progress or the reply: both with one look.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_step(&mut self, waker: &Waker) -> Poll<Step> {
        let mut state = self.shared.lock();
        let slot = state.slots.get_mut(self.token);
        if let Some(progress) = slot.and_then(|slot| slot.progress.take()) {
            return Poll::Ready(Step::Progress(progress));
        }
        let outcome = state.poll_outcome(self.token, waker);
        if outcome.is_pending() {
            standby::look_after(&self.shared, &mut state);
        }
        self.done |= outcome.is_ready();
        outcome.map(|outcome| Step::Reply(one_value(outcome)))
    }

    /// Polls for the next item of the answer; `None` is its end.
    pub fn poll_item(&mut self, waker: &Waker) -> Poll<Option<Result<Encoded, Error>>> {
        let token = self.token;
        let polled = self.shared.with(|state, _| {
            let polled = poll_item(state, token, waker);
            if polled.is_pending() {
                standby::look_after(&self.shared, state);
            }
            polled
        });
        polled.map(|item| match item {
            Ok(item) => Some(Ok(item)),
            Err(outcome) => self.finish(outcome).transpose(),
        })
    }

    /// Waits on this thread for the next item of the answer; `None` is its end.
    pub fn wait_item(&mut self, interrupt: Interrupt<'_>) -> Option<Result<Encoded, Error>> {
        let token = self.token;
        let waited = self.shared.wait(
            Time::NEVER,
            interrupt,
            |state, waker| poll_item(state, token, waker),
            || Poll::Pending,
        );
        // Credit for the item just taken leaves now.
        self.shared.with(|_, _| ());
        match waited {
            Ok(Ok(item)) => Some(Ok(item)),
            Ok(Err(outcome)) => self.finish(outcome).transpose(),
            Err(_) => Some(Err(Error::new(ErrorCode::Cancelled, "the wait was interrupted"))),
        }
    }

    /// No more items will be sent. Does nothing when the call is over already.
    pub fn end_items(&mut self) {
        let token = self.token;
        self.shared.with(|state, _| {
            if state.end_waiting_items(token) {
                return;
            }
            if let Some(slot) = state.slots.get(token) {
                // An ended call has no stream to end.
                let _ = state.session.end_stream(clock::now(), slot.id);
            }
        });
    }

    /// The newest progress report that was not taken yet; the waker is woken for the next one.
    pub fn poll_progress(&mut self, waker: &Waker) -> Poll<Option<Progress>> {
        self.poll_slot(|slot| match slot.progress.take() {
            Some(progress) => Poll::Ready(Some(progress)),
            None if slot.outcome.is_some() => Poll::Ready(None),
            None => {
                slot.register(waker);
                Poll::Pending
            }
        })
        .unwrap_or(Poll::Ready(None))
    }

    /// Waits on this thread for whichever comes first: progress (`Some`), or anything else (`None`).
    pub fn wait_progress(
        &mut self,
        interrupt: Interrupt<'_>,
    ) -> Result<Option<Progress>, WaitError> {
        let token = self.token;
        self.shared.wait(
            Time::NEVER,
            interrupt,
            |state, waker| match state.slots.get_mut(token) {
                Some(slot) => match slot.progress.take() {
                    Some(progress) => Poll::Ready(Some(progress)),
                    None if slot.outcome.is_some() || !slot.items.is_empty() => Poll::Ready(None),
                    None => {
                        slot.register(waker);
                        Poll::Pending
                    }
                },
                None => Poll::Ready(None),
            },
            || Poll::Pending,
        )
    }

    /// The connection the call is on.
    pub(crate) fn connection(&self) -> Connection {
        Connection { shared: self.shared.clone() }
    }

    /// Asks for the call to end: its outcome will be CANCELLED, unless it has one already.
    pub fn cancel(&self) {
        let token = self.token;
        self.shared.with(|state, after| {
            if state.withdraw(token) {
                state.finish(token, Outcome::Failed(Box::new(line::withdrawn())), after);
            } else if let Some(slot) = state.slots.get(token) {
                state.session.cancel(clock::now(), slot.id);
            }
        });
    }

    fn poll_slot<R>(&self, poll: impl FnOnce(&mut Slot) -> Poll<R>) -> Option<Poll<R>> {
        let mut state = self.shared.lock();
        let polled = state.slots.get_mut(self.token).map(poll)?;
        if polled.is_pending() {
            standby::look_after(&self.shared, &mut state);
        }
        Some(polled)
    }

    /// A reply, the end of the stream (`None`), or the error.
    fn finish(&mut self, outcome: Outcome) -> Result<Option<Encoded>, Error> {
        self.release();
        value_of(outcome)
    }

    /// The handle needs its slot no more.
    fn release(&mut self) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let mut state = self.shared.lock();
        if let Some(slot) = state.slots.get_mut(self.token) {
            slot.dropped = true;
            slot.items.clear();
        }
        state.free_slot(self.token);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let token = self.token;
        self.shared.with(|state, after| {
            let withdrawn = state.withdraw(token);
            if let Some(slot) = state.slots.get_mut(token) {
                slot.dropped = true;
                // Of one that never left the session knows nothing.
                slot.settled |= withdrawn;
                slot.items.clear();
                if slot.outcome.is_none() {
                    let (id, began) = (slot.id, slot.began);
                    after
                        .given_up
                        .extend(slot.lease.clone().map(|lease| (lease, ErrorCode::Cancelled)));
                    state.meter.end(clock::now() - began, Ending::Cancelled);
                    state.session.abandon(id);
                }
            }
            state.free_slot(token);
        });
    }
}

impl Future for Pending {
    type Output = Result<Encoded, Error>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_reply(cx.waker())
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("done", &self.done).finish_non_exhaustive()
    }
}

fn poll_item(state: &mut State, token: usize, waker: &Waker) -> Poll<Result<Encoded, Outcome>> {
    let Some(slot) = state.slots.get_mut(token) else { return Poll::Ready(Err(gone())) };
    match slot.items.pop_front() {
        Some(item) => {
            state.session.consumed(slot.id, 1, item.bytes.len());
            Poll::Ready(
                item.arrived().map_err(|error| Outcome::Failed(Box::new(as_failure(&error)))),
            )
        }
        None => slot.poll_outcome(waker).map(Err),
    }
}

/// An error of this side as the outcome of a call.
pub(super) fn as_failure(error: &Error) -> Failure {
    Failure::local(error.code(), error.message()).with_executed(error.executed())
}

impl State {
    /// The outcome of a call, whose slot its handle then needs no more.
    fn poll_outcome(&mut self, token: usize, waker: &Waker) -> Poll<Outcome> {
        let Some(slot) = self.slots.get_mut(token) else { return Poll::Ready(gone()) };
        let outcome = slot.poll_outcome(waker);
        if outcome.is_ready() {
            slot.dropped = true;
            self.free_slot(token);
        }
        outcome
    }
}

/// What comes next of a call.
#[cfg(feature = "tokio")]
pub(crate) enum Step {
    Progress(Progress),
    Reply(Result<Encoded, Error>),
}

fn value_of(outcome: Outcome) -> Result<Option<Encoded>, Error> {
    match outcome {
        Outcome::Reply(value) => value.arrived().map(Some),
        Outcome::End => Ok(None),
        Outcome::Failed(failure) => Err(Error::from_failure(*failure)),
    }
}

fn one_value(outcome: Outcome) -> Result<Encoded, Error> {
    value_of(outcome)?.ok_or_else(|| {
        Error::new(ErrorCode::InvalidResult, "the answer is a stream; read it as one")
            .with_executed(Executed::Yes)
    })
}

/// A slot goes only when its handle is done with it.
fn gone() -> Outcome {
    Outcome::Failed(Box::new(procall_proto::Failure::local(
        ErrorCode::Internal,
        "the outcome of this call was taken before",
    )))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use procall_transport::{LinkOptions, mem};

    use super::*;
    use crate::connection::{Lease, Side};

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Lease for Counted {
        fn release(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_call_that_cannot_be_started_keeps_no_lease() {
        let (ours, _theirs) = mem::pair(&LinkOptions::default()).unwrap();
        let connection = Connection::new(Box::new(ours), Side::Initiator, Default::default());
        let wrong = CallOptions {
            meta: vec![0x93, 1, 2, 3],
            key: Some("k".into()),
            ..CallOptions::default()
        };
        let request = Request::new("add", Encoding::None, &[]).with_options(wrong);
        let lease = Arc::new(Counted::default());
        let refused = connection.start_leased(request.clone(), lease.clone(), Duration::ZERO, None);
        assert_eq!(refused.unwrap_err().code(), ErrorCode::InvalidArgument);
        assert_eq!(lease.0.load(Ordering::Relaxed), 1);

        connection.start(request).unwrap_err();
        let metrics = connection.metrics();
        assert_eq!((metrics.total_requests, metrics.failed_requests), (1, 1));
    }
}
