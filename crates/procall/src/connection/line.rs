//! Calls that wait for their turn, because the connection carries as many as it may.
//!
//! They stand in the order in which they were made, and a call that comes while others stand here goes behind them. A place on the connection
//! comes free when the session is done with a call, so [`State::advance_line`] is part of every settling.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use procall_proto::{Body, ErrorCode, Executed, Failure, Options, Time};

use super::pending::as_failure;
use super::slot::{Outcome, Slot};
use super::{After, State};
use crate::error::Error;

/// What a full line asks callers to wait.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Calls that wait for their turn. Bounded by [`Limits::max_waiting`](procall_proto::Limits::max_waiting) and, for their bodies, by
/// [`Limits::max_queued`](procall_proto::Limits::max_queued): the next one is refused with OVERLOADED, `executed: no`.
#[derive(Default)]
pub(crate) struct Line {
    calls: BTreeMap<u64, Waiting>,
    /// When which of them is too late.
    due: BTreeSet<(Time, u64)>,
    /// Bytes of their bodies.
    bytes: usize,
    next: u64,
}

/// A call that waits.
struct Waiting {
    /// Its slot.
    token: usize,
    method: Box<str>,
    body: Body<'static>,
    meta: Box<[u8]>,
    due: Time,
    whole: bool,
    items_in: bool,
    items_out: bool,
    idempotent: bool,
    /// The caller has said that it sends no items.
    ended: bool,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// When the first of them is too late.
    pub(super) fn next_due(&self) -> Time {
        self.due.first().map_or(Time::NEVER, |&(due, _)| due)
    }

    fn push(&mut self, call: Waiting) -> u64 {
        self.next += 1;
        self.bytes += call.body.bytes().len();
        if call.due != Time::NEVER {
            self.due.insert((call.due, self.next));
        }
        self.calls.insert(self.next, call);
        self.next
    }

    fn remove(&mut self, place: u64) -> Option<Waiting> {
        let call = self.calls.remove(&place)?;
        self.bytes -= call.body.bytes().len();
        self.due.remove(&(call.due, place));
        Some(call)
    }

    fn pop_first(&mut self) -> Option<Waiting> {
        let (&place, _) = self.calls.first_key_value()?;
        self.remove(place)
    }

    /// Takes out one that is too late.
    fn pop_due(&mut self, now: Time) -> Option<Waiting> {
        let &(due, place) = self.due.first()?;
        if due > now { None } else { self.remove(place) }
    }
}

impl State {
    /// Whether a call may start at once.
    pub(super) fn takes_call(&self) -> bool {
        self.line.is_empty() && self.session.has_room()
    }

    /// Puts a call into the line; gives its slot.
    pub(super) fn wait_in_line(
        &mut self,
        now: Time,
        method: &str,
        body: Body<'_>,
        options: &Options<'_>,
    ) -> Result<usize, Error> {
        let len = body.bytes().len();
        self.session.admit(method, len, options.meta).map_err(Error::from_failure)?;
        let limits = self.session.limits();
        let (max_waiting, max_queued) = (limits.max_waiting, limits.max_queued);
        if self.line.len() >= max_waiting {
            return Err(full(format!("{max_waiting} calls wait for their turn already")));
        }
        if self.line.bytes + self.session.queued() + len > max_queued {
            return Err(full(format!("{} bytes of calls wait already", self.line.bytes)));
        }
        let token = self.slots.vacant_key();
        let place = self.line.push(Waiting {
            token,
            method: method.into(),
            body: body.into_owned(),
            meta: options.meta.into(),
            due: options.timeout.map_or(Time::NEVER, |timeout| now + timeout),
            whole: options.whole,
            items_in: options.items_in,
            items_out: options.items_out,
            idempotent: options.idempotent,
            ended: false,
        });
        self.slots.insert(Slot { place: Some(place), began: now, ..Slot::default() });
        Ok(token)
    }

    /// Starts the calls for which there is room. When the peer takes no new ones, those that wait end.
    pub(super) fn advance_line(&mut self, now: Time, after: &mut After) {
        while self.session.is_going_away() || self.session.has_room() {
            let Some(call) = self.line.pop_first() else { return };
            self.leave_line(now, call, after);
        }
    }

    /// Ends those whose time is up.
    pub(super) fn expire_line(&mut self, now: Time, after: &mut After) {
        while let Some(call) = self.line.pop_due(now) {
            self.fail_waiting(call.token, self.late(&call.method), after);
        }
    }

    /// Takes a call out of the line, because its caller wants it no more; false when it does not stand there.
    pub(super) fn withdraw(&mut self, token: usize) -> bool {
        let place = self.slots.get_mut(token).and_then(|slot| slot.place.take());
        place.is_some_and(|place| self.line.remove(place).is_some())
    }

    /// The caller sends no more items; false when the call is not waiting.
    pub(super) fn end_waiting_items(&mut self, token: usize) -> bool {
        let place = self.slots.get(token).and_then(|slot| slot.place);
        let call = place.and_then(|place| self.line.calls.get_mut(&place));
        call.map(|call| call.ended = true).is_some()
    }

    /// The connection is over: nobody in the line will be sent.
    pub(super) fn clear_line(&mut self, code: ErrorCode, message: &str, after: &mut After) {
        while let Some(call) = self.line.pop_first() {
            let failure = Failure::local(code, message).with_executed(Executed::No);
            self.fail_waiting(call.token, failure, after);
        }
    }

    fn leave_line(&mut self, now: Time, call: Waiting, after: &mut After) {
        if call.due <= now {
            let late = self.late(&call.method);
            return self.fail_waiting(call.token, late, after);
        }
        let options = Options {
            timeout: (call.due != Time::NEVER).then(|| call.due - now),
            whole: call.whole,
            items_in: call.items_in,
            items_out: call.items_out,
            idempotent: call.idempotent,
            meta: &call.meta,
        };
        let body = match self.lend(call.body) {
            Ok(body) => body,
            Err(error) => return self.fail_waiting(call.token, as_failure(&error), after),
        };
        match self.session.call(now, &call.method, body, options, call.token as u64) {
            Ok(id) => {
                if call.ended {
                    // It was opened a line ago, so there is a stream to end, if it was to have one.
                    let _ = self.session.end_stream(now, id);
                }
                let Some(slot) = self.slots.get_mut(call.token) else { return };
                (slot.id, slot.place) = (id, None);
                after.wake(&mut slot.send_waker);
            }
            Err(failure) => self.fail_waiting(call.token, failure, after),
        }
    }

    fn fail_waiting(&mut self, token: usize, failure: Failure, after: &mut After) {
        if let Some(slot) = self.slots.get_mut(token) {
            slot.place = None;
        }
        self.finish(token, Outcome::Failed(Box::new(failure)), after);
    }

    fn late(&self, method: &str) -> Failure {
        let message = format!(
            "the deadline passed while the call to {method} waited for its turn: {} calls are in flight on this connection",
            self.session.calling()
        );
        Failure::local(ErrorCode::DeadlineExceeded, message).with_executed(Executed::No)
    }
}

/// What becomes of a call that its caller gives up while it waits.
pub(super) fn withdrawn() -> Failure {
    Failure::local(ErrorCode::Cancelled, "the call was cancelled while it waited for its turn")
        .with_executed(Executed::No)
}

fn full(message: String) -> Error {
    Error::new(ErrorCode::Overloaded, message).with_retry_after(RETRY_AFTER)
}
