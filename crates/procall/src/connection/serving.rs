//! Serving on a connection: take calls from the inbox, answer them.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use procall_proto::{Blocked, Body, CallId, Encoding, ErrorCode, Executed, Reason, Time};

use super::After;
use super::Connection;
use super::inbox::Batch;
use super::slot::Encoded;
use super::state::{Served, State};
use super::wait::{Interrupt, WaitError};
use crate::clock;
use crate::error::Error;

impl Connection {
    /// Swaps the calls that wait with `batch`, which should be empty; true when there are any.
    pub fn take_calls(&self, batch: &mut Batch) -> bool {
        std::mem::swap(&mut self.shared.lock().inbox, batch);
        !batch.is_empty()
    }

    /// The same; and whether a registration of the peer's waits for its answer, which comes first.
    #[cfg(feature = "tokio")]
    pub(crate) fn take_news(&self, batch: &mut Batch) -> (bool, bool) {
        let mut state = self.shared.lock();
        std::mem::swap(&mut state.inbox, batch);
        (state.asked.is_some(), !batch.is_empty())
    }

    /// The same; with nothing there, the waker is woken when something comes, or when the connection ends.
    pub fn poll_calls(&self, batch: &mut Batch, waker: &Waker) -> Poll<Result<(), Error>> {
        poll_calls(&mut self.shared.lock(), batch, waker)
    }

    /// Waits on this thread for calls; `Ok(false)` when the time was up, an error when the connection is over.
    pub fn wait_calls(
        &self,
        batch: &mut Batch,
        timeout: Option<Duration>,
        interrupt: Interrupt<'_>,
    ) -> Result<bool, Error> {
        let deadline = timeout.map_or(Time::NEVER, |timeout| clock::now() + timeout);
        let waited = self.shared.wait(
            deadline,
            interrupt,
            |state, waker| poll_calls(state, batch, waker),
            || Poll::Pending,
        );
        match waited {
            Ok(result) => result.map(|()| true),
            Err(WaitError::TimedOut) => Ok(false),
            Err(WaitError::Interrupted) => {
                Err(Error::new(ErrorCode::Cancelled, "the wait for calls was interrupted"))
            }
        }
    }

    /// Answers a call with its result and sends the answer. An answer to a call that is over is dropped.
    pub fn reply(&self, id: CallId, value: Encoded) {
        self.shared.with(|state, after| state.reply(id, value, after));
    }

    /// Answers a call with an error and sends the answer.
    pub fn fail(&self, id: CallId, error: &Error) {
        self.shared.with(|state, after| state.fail(id, error, after));
    }

    /// Answers many calls with one lock and one write.
    pub fn answer_all(&self, answers: &mut Vec<(CallId, Result<Encoded, Error>)>) {
        self.shared.with(|state, after| {
            for (id, answer) in answers.drain(..) {
                match answer {
                    Ok(value) => state.reply(id, value, after),
                    Err(error) => state.fail(id, &error, after),
                }
            }
        });
    }

    /// Whether the caller still waits for the answer.
    pub fn is_wanted(&self, id: CallId) -> bool {
        self.shared.lock().session.is_wanted(id)
    }

    /// Time left until the caller of an open call gives up; `None` when it never does. For a stream this changes once it is open.
    pub fn remaining(&self, id: CallId) -> Option<Duration> {
        let deadline = self.shared.lock().session.deadline_of(id);
        clock::left(deadline)
    }

    /// Whether a call that is no longer wanted was given up because its time is over, by our clock or, as it says, the caller's. The latter is
    /// known while somebody follows the call with [`poll_cancelled`](Self::poll_cancelled).
    pub fn is_late(&self, id: CallId) -> bool {
        let state = self.shared.lock();
        let told = state.served.get(&id).and_then(|served| served.cancelled);
        told == Some(Reason::Deadline) || state.session.deadline_of(id) <= clock::now()
    }

    /// Ready once the call is no longer wanted.
    pub fn poll_cancelled(&self, id: CallId, waker: &Waker) -> Poll<()> {
        let mut state = self.shared.lock();
        if !state.session.is_wanted(id) {
            return Poll::Ready(());
        }
        let wakers = &mut state.served.entry(id).or_default().cancel_wakers;
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        Poll::Pending
    }

    /// Says how far the handler of a call has come.
    pub fn progress(&self, id: CallId, done: u64, total: Option<u64>, text: &str) {
        self.shared.with(|state, _| state.session.progress(clock::now(), id, done, total, text));
    }

    /// Polls until an item of the answer can be sent, then sends it.
    pub fn poll_item_out(
        &self,
        id: CallId,
        encoding: Encoding,
        item: &[u8],
        waker: &Waker,
    ) -> Poll<Result<(), Blocked>> {
        self.shared.with(|state, _| poll_item_out(state, id, Body::new(encoding, item), waker))
    }

    /// Waits on this thread until an item of the answer can be sent, then sends it.
    pub fn wait_item_out(
        &self,
        id: CallId,
        encoding: Encoding,
        item: &[u8],
        interrupt: Interrupt<'_>,
    ) -> Result<Result<(), Blocked>, WaitError> {
        self.wait_body_out(id, &Body::new(encoding, item), interrupt)
    }

    /// Completes the stream of the answer, and with it the call.
    pub fn end_items_out(&self, id: CallId) {
        self.shared.with(|state, after| {
            // A call that is over has no stream to end.
            let _ = state.session.end_stream(clock::now(), id);
            state.forget_served(id, after);
        });
    }

    /// Polls for the next item that the caller sends; `None` is the end, an error a stream cut short.
    pub fn poll_item_in(&self, id: CallId, waker: &Waker) -> Poll<Option<Result<Encoded, Error>>> {
        self.shared.with(|state, _| poll_item_in(state, id, waker))
    }

    /// Waits on this thread for the next item that the caller sends.
    pub fn wait_item_in(
        &self,
        id: CallId,
        interrupt: Interrupt<'_>,
    ) -> Result<Option<Result<Encoded, Error>>, WaitError> {
        let item = self.shared.wait(
            Time::NEVER,
            interrupt,
            |state, waker| poll_item_in(state, id, waker),
            || Poll::Pending,
        );
        self.shared.with(|_, _| ());
        item
    }

    /// Polls until an item can be sent, then sends it; its large arrays may be lent.
    pub fn poll_value_out(
        &self,
        id: CallId,
        item: &Encoded,
        waker: &Waker,
    ) -> Poll<Result<(), Blocked>> {
        self.shared.with(|state, _| poll_item_out(state, id, item.body(), waker))
    }

    /// The same, waiting on this thread.
    pub fn wait_value_out(
        &self,
        id: CallId,
        item: &Encoded,
        interrupt: Interrupt<'_>,
    ) -> Result<Result<(), Blocked>, WaitError> {
        self.wait_body_out(id, &item.body(), interrupt)
    }

    fn wait_body_out(
        &self,
        id: CallId,
        item: &Body<'_>,
        interrupt: Interrupt<'_>,
    ) -> Result<Result<(), Blocked>, WaitError> {
        let sent = self.shared.wait(
            Time::NEVER,
            interrupt,
            |state, waker| poll_item_out(state, id, item.clone(), waker),
            || Poll::Pending,
        );
        self.shared.with(|_, _| ());
        sent
    }

    /// A handle that answers one call, from any thread; dropped without an answer it answers with an error.
    pub fn responder(&self, id: CallId) -> Responder {
        Responder { connection: self.clone(), id, answered: false }
    }

    /// Whether two handles are of the same connection.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

/// Answers one call, from any thread, at any time. Dropped without an answer, the caller gets an error: nobody waits for ever.
#[derive(Debug)]
#[must_use = "a dropped responder answers with an error"]
pub struct Responder {
    connection: Connection,
    id: CallId,
    answered: bool,
}

impl Responder {
    /// Answers with the result.
    pub fn reply(mut self, value: Encoded) {
        self.answered = true;
        self.connection.reply(self.id, value);
    }

    /// Answers with an error.
    pub fn fail(mut self, error: &Error) {
        self.answered = true;
        self.connection.fail(self.id, error);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        // Whoever lets work be that nobody wants has made no mistake. The caller's clock may not have told yet that its time is over.
        let late = self.connection.remaining(self.id).is_some_and(|left| left.is_zero());
        let (code, message) = if late {
            (ErrorCode::DeadlineExceeded, "the deadline passed before the handler was done")
        } else if !self.connection.is_wanted(self.id) {
            (ErrorCode::Cancelled, "the handler let the call be, which nobody wanted any more")
        } else {
            (ErrorCode::HandlerError, "the handler dropped the call without an answer")
        };
        let error = Error::new(code, message).with_executed(Executed::Yes);
        self.connection.fail(self.id, &error);
    }
}

impl State {
    fn reply(&mut self, id: CallId, value: Encoded, after: &mut After) {
        let value = match self.lend_value(value) {
            Ok(value) => value,
            Err(error) => return self.fail(id, &error, after),
        };
        let (value, held) = value;
        let limit = self.session.limits().max_body;
        if value.bytes.len() > limit {
            let message =
                format!("the result takes {} bytes, the limit is {limit}", value.bytes.len());
            return self.fail(id, &Error::new(ErrorCode::ResultTooLarge, message), after);
        }
        let mut bytes = value.bytes;
        let body = Body::taken(value.encoding, &mut bytes).holding(held);
        // The caller may have given up meanwhile; then nobody wants the answer.
        let _ = self.session.reply(clock::recent(), id, body);
        self.forget_served(id, after);
    }

    fn fail(&mut self, id: CallId, error: &Error, after: &mut After) {
        // The caller may have given up meanwhile; then nobody wants the answer.
        let _ = error.send(&mut self.session, id);
        self.forget_served(id, after);
    }

    /// The call is answered: whoever still follows it hears of that.
    fn forget_served(&mut self, id: CallId, after: &mut After) {
        if !self.served.is_empty()
            && let Some(mut served) = self.served.remove(&id)
        {
            after.wakes.extend(served.cancel_wakers.drain(..));
            after.wake(&mut served.waker);
            after.wake(&mut served.send_waker);
        }
    }
}

fn poll_calls(state: &mut State, batch: &mut Batch, waker: &Waker) -> Poll<Result<(), Error>> {
    if !state.inbox.is_empty() {
        std::mem::swap(&mut state.inbox, batch);
        return Poll::Ready(Ok(()));
    }
    if let Some(fault) = &state.ended {
        return Poll::Ready(Err(Error::from_fault(fault)));
    }
    state.inbox_waker = Some(waker.clone());
    Poll::Pending
}

fn poll_item_out(
    state: &mut State,
    id: CallId,
    item: Body<'_>,
    waker: &Waker,
) -> Poll<Result<(), Blocked>> {
    match state.lend_item(id, item) {
        Err(Blocked::Credit) => {
            state.served.entry(id).or_default().send_waker = Some(waker.clone());
            Poll::Pending
        }
        sent => Poll::Ready(sent),
    }
}

fn poll_item_in(
    state: &mut State,
    id: CallId,
    waker: &Waker,
) -> Poll<Option<Result<Encoded, Error>>> {
    let Some(served) = state.served.get_mut(&id) else {
        let error =
            Error::new(ErrorCode::Cancelled, "the call was answered before its stream was read");
        return Poll::Ready(Some(Err(error)));
    };
    if let Some(item) = served.items.pop_front() {
        state.session.consumed(id, 1, item.bytes.len());
        return Poll::Ready(Some(item.arrived()));
    }
    let Served { cancelled, ended, .. } = served;
    if cancelled.is_some() {
        let error =
            Error::new(ErrorCode::Cancelled, "the caller gave the call up while it was sending");
        return Poll::Ready(Some(Err(error)));
    }
    if *ended {
        return Poll::Ready(None);
    }
    served.waker = Some(waker.clone());
    Poll::Pending
}
