//! Calls that this side makes.

use std::time::Duration;

use super::Session;
use super::assembly::Head;
use super::event::{Blocked, Body, CallId, Event, Options, Payload};
use super::outbox::{Place, more};
use super::window::{RecvWindow, SendWindow};
use crate::message::is_meta;
use crate::{
    CallHeader, Encoding, ErrorCode, Executed, Failure, Fault, Flags, Message, NotifyHeader, Time,
};

/// A call that waits for its outcome.
#[derive(Debug)]
pub(super) struct Calling {
    token: u64,
    place: Place,
    deadline: Time,
    /// For streams: the deadline covers only the opening and starts anew when our items are all sent.
    opening: Option<Duration>,
    stage: Stage,
    /// Present when the answer is a stream.
    items_out: Option<Box<RecvWindow>>,
    /// Present when the caller sends a stream.
    items_in: Option<Box<SendWindow>>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The answer may come.
    Waiting,
    /// The caller gave up; until the moment given, the peer may say whether the handler ran.
    Verdict { code: ErrorCode, until: Time },
    /// The caller has its outcome, or wants none; the peer has not answered yet and may still be busy with it.
    Abandoned,
}

/// The remaining time as the wire carries it, in whole milliseconds rounded up.
fn millis(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl Session {
    /// Starts a call. `token` comes back with each of its events. Refusals are local: nothing was sent.
    pub fn call(
        &mut self,
        now: Time,
        method: &str,
        body: Body<'_>,
        options: Options<'_>,
        token: u64,
    ) -> Result<CallId, Failure> {
        self.admit(method, body.bytes().len(), options.meta)?;
        if !self.has_room() {
            self.counters.refused += 1;
            return Err(Failure::local(
                ErrorCode::Overloaded,
                format!("{} calls are in flight on this connection already", self.calling.len()),
            ));
        }
        let id = self.take_id();
        let opening = (options.items_in || options.items_out) && !options.whole;
        let header = CallHeader {
            id,
            method,
            encoding: body.encoding,
            flags: Flags::default()
                .with(Flags::ITEMS_IN, options.items_in)
                .with(Flags::ITEMS_OUT, options.items_out)
                .with(Flags::IDEMPOTENT, options.idempotent)
                .with(Flags::OPENING, opening),
            total: None,
            timeout_ms: options.timeout.map(millis),
            meta: options.meta,
        };
        let place = match self.is_long(&body) {
            None => {
                self.outbox.holding(id, &Message::Call(header, body.bytes()), body.held.clone())
            }
            Some(total) => {
                let header = CallHeader { flags: more(header.flags), total: Some(total), ..header };
                self.outbox.long(id, &Message::Call(header, &[]), Self::into_bytes(body))
            }
        };
        let deadline = options.timeout.map_or(Time::NEVER, |timeout| now + timeout);
        self.wake_at(deadline);
        let (items, bytes) = self.peer_window();
        let limits = &self.config.limits;
        let calling = Calling {
            token,
            place,
            deadline,
            opening: options.timeout.filter(|_| opening),
            stage: Stage::Waiting,
            items_out: options
                .items_out
                .then(|| Box::new(RecvWindow::new(limits.stream_items, limits.stream_bytes))),
            items_in: options.items_in.then(|| Box::new(SendWindow::new(items, bytes))),
        };
        self.calling.insert(id, calling);
        Ok(id)
    }

    /// Sends a notification: at most once, never answered.
    pub fn notify(&mut self, method: &str, body: Body<'_>, meta: &[u8]) -> Result<(), Failure> {
        self.admit(method, body.bytes().len(), meta)?;
        let id = self.take_id();
        let flags = Flags::default();
        let header = NotifyHeader { id, method, encoding: body.encoding, flags, total: None, meta };
        match self.is_long(&body) {
            None => {
                self.outbox.holding(id, &Message::Notify(header, body.bytes()), body.held.clone())
            }
            Some(total) => {
                let header = NotifyHeader { flags: more(flags), total: Some(total), ..header };
                self.outbox.long(id, &Message::Notify(header, &[]), Self::into_bytes(body))
            }
        };
        Ok(())
    }

    /// Whether a request may be sent at all, were there room for it. Refusals are local.
    pub fn admit(&mut self, method: &str, len: usize, meta: &[u8]) -> Result<(), Failure> {
        let refuse =
            |code, message: String| Err(Failure::local(code, message).with_executed(Executed::No));
        if let super::Stage::Ended(code) = self.stage {
            return refuse(code, "the connection is closed".to_owned());
        }
        if self.going_away {
            return refuse(
                ErrorCode::Unavailable,
                "the peer is going away and takes no new calls".to_owned(),
            );
        }
        if method.is_empty() || method.len() > 255 {
            return refuse(
                ErrorCode::InvalidArgument,
                format!("a method name has 1 to 255 bytes, this one has {}", method.len()),
            );
        }
        if !is_meta(meta) {
            return refuse(
                ErrorCode::InvalidArgument,
                "the metadata is not one MessagePack map of at most 16 KiB and 8 levels".to_owned(),
            );
        }
        if len > self.config.limits.max_body {
            return refuse(
                ErrorCode::InvalidArgument,
                format!(
                    "the arguments take {len} bytes, the limit is {}",
                    self.config.limits.max_body
                ),
            );
        }
        if self.outbox.queued() + len > self.config.limits.max_queued {
            self.counters.refused += 1;
            return refuse(
                ErrorCode::Overloaded,
                format!("{} bytes wait to be sent already", self.outbox.queued()),
            );
        }
        Ok(())
    }

    /// Gives a call up: its outcome is CANCELLED. When the request is out, the peer gets a moment to say whether the handler ran.
    pub fn cancel(&mut self, now: Time, id: CallId) {
        self.give_up(now, id, ErrorCode::Cancelled);
    }

    /// Gives a call up without waiting for an outcome. The only event that follows is [`Event::Settled`], once the peer is done with it.
    pub fn abandon(&mut self, id: CallId) {
        let Some(calling) = self.calling.get_mut(&id) else { return };
        let stage = std::mem::replace(&mut calling.stage, Stage::Abandoned);
        let (token, place) = (calling.token, calling.place);
        if matches!(stage, Stage::Waiting) {
            let unheard = self.retract_or_cancel(id, place, 0);
            if unheard | self.drop_answer(id) {
                self.calling.remove(&id);
                self.events.push_back(Event::Settled { id, token });
            }
        }
    }

    /// Drops what is queued; tells the peer when it knows of the call. True when it does not.
    fn retract_or_cancel(&mut self, id: CallId, place: Place, reason: u64) -> bool {
        let unheard = self.outbox.retract(id, place);
        if !unheard {
            self.outbox.control(&Message::Cancel { id, reason });
        }
        unheard
    }

    fn give_up(&mut self, now: Time, id: CallId, code: ErrorCode) {
        let Some(calling) = self.calling.get_mut(&id) else { return };
        if !matches!(calling.stage, Stage::Waiting) {
            return;
        }
        let place = calling.place;
        let sent = self.outbox.is_sent(id, place);
        if sent {
            // A driver that comes late shortens the wait, not the promise.
            let from = if code == ErrorCode::DeadlineExceeded { calling.deadline } else { now };
            let until = from + self.config.limits.slack;
            calling.stage = Stage::Verdict { code, until };
            calling.deadline = Time::NEVER;
            self.wake_at(until);
        }
        self.retract_or_cancel(id, place, u64::from(code == ErrorCode::DeadlineExceeded));
        if !sent {
            self.fail_call(id, given_up(code), Executed::No);
        } else if self.drop_answer(id) {
            self.fail_call(id, given_up(code), Executed::Yes);
        }
    }

    /// Forgets a body of the peer's that is still arriving; true when it is the answer itself, so that the peer is done with the call.
    fn drop_answer(&mut self, id: CallId) -> bool {
        matches!(self.assembly.remove(id), Some((Head::Reply { .. }, _)))
    }

    /// Ends every call whose time has come; returns when the next one is due.
    pub(super) fn expire_calls(&mut self, now: Time) -> Time {
        let mut next = Time::NEVER;
        let mut due = Vec::new();
        for (&id, calling) in &self.calling {
            let at = calling.due();
            if at <= now { due.push(id) } else { next = next.min(at) }
        }
        due.sort_unstable();
        for id in due {
            let Some(calling) = self.calling.get(&id) else { continue };
            match calling.stage {
                Stage::Waiting => self.give_up(now, id, ErrorCode::DeadlineExceeded),
                Stage::Verdict { code, .. } => {
                    let token = calling.token;
                    self.events.push_back(Event::failed(
                        id,
                        token,
                        given_up(code),
                        Executed::Maybe,
                    ));
                    if let Some(calling) = self.calling.get_mut(&id) {
                        calling.stage = Stage::Abandoned;
                    }
                }
                Stage::Abandoned => {}
            }
            if let Some(calling) = self.calling.get(&id) {
                next = next.min(calling.due());
            }
        }
        next
    }

    /// Ends a call of ours with a failure, as an event. One that the caller gave up before keeps the outcome it has.
    pub(super) fn fail_call(&mut self, id: CallId, failure: Failure, executed: Executed) {
        if let Some(calling) = self.calling.remove(&id) {
            self.outbox.retract(id, calling.place);
            self.assembly.remove(id);
            let token = calling.token;
            self.events.push_back(match calling.stage {
                Stage::Waiting => Event::failed(id, token, failure, executed),
                Stage::Verdict { code, .. } => Event::failed(id, token, given_up(code), executed),
                Stage::Abandoned => Event::Settled { id, token },
            });
        }
    }

    /// Ends every call of ours because the session is over.
    pub(super) fn fail_all_calls(&mut self, code: ErrorCode, message: &str) {
        let mut ended: Vec<_> = self.calling.drain().collect();
        ended.sort_unstable_by_key(|(id, _)| *id);
        for (id, calling) in ended {
            let (failure, executed) = match calling.stage {
                Stage::Abandoned => {
                    self.events.push_back(Event::Settled { id, token: calling.token });
                    continue;
                }
                Stage::Verdict { code, .. } => (given_up(code), Executed::Maybe),
                Stage::Waiting if !self.outbox.is_sent(id, calling.place) => {
                    (Failure::local(code, message), Executed::No)
                }
                Stage::Waiting => (Failure::local(code, message), Executed::Maybe),
            };
            self.events.push_back(Event::failed(id, calling.token, failure, executed));
        }
    }

    /// An answer for an id that never was is a lie; one for a call that has its outcome is merely late.
    fn unknown_answer(&mut self, id: CallId) -> Result<(), Fault> {
        if !self.is_own_id(id) || id == 0 || id >= self.next_id {
            return Err(Fault::protocol(format!(
                "an answer came for call {id}, which was never made"
            )));
        }
        self.counters.late += 1;
        Ok(())
    }

    /// The event for an answer to a call that the caller gave up; `None` when the caller still waits.
    fn settle(
        &mut self,
        id: CallId,
        calling: &Calling,
        executed: Executed,
    ) -> Option<Event<'static>> {
        let token = calling.token;
        let event = match calling.stage {
            Stage::Waiting => return None,
            Stage::Verdict { code, .. } => Event::failed(id, token, given_up(code), executed),
            Stage::Abandoned => Event::Settled { id, token },
        };
        // The peer's own verdict on a call it was asked to drop is not late; a result or a stream's end is.
        self.counters.late += u64::from(executed == Executed::Yes);
        Some(event)
    }

    pub(super) fn handle_reply<'a>(
        &mut self,
        id: CallId,
        encoding: Encoding,
        body: Payload<'a>,
    ) -> Result<Option<Event<'a>>, Fault> {
        let Some(calling) = self.calling.remove(&id) else {
            self.unknown_answer(id)?;
            return Ok(None);
        };
        self.outbox.drop_bulk(id);
        self.assembly.remove(id);
        let token = calling.token;
        if let Some(settled) = self.settle(id, &calling, Executed::Yes) {
            return Ok(Some(settled));
        }
        if calling.items_out.is_some() {
            let failure = Failure::local(
                ErrorCode::ProtocolError,
                "the peer answered with one value where a stream was asked for",
            );
            return Ok(Some(Event::failed(id, token, failure, Executed::Yes)));
        }
        Ok(Some(Event::Reply { id, token, encoding, body }))
    }

    pub(super) fn handle_error(
        &mut self,
        id: CallId,
        code: u64,
        executed: u64,
        encoding: Encoding,
        body: &[u8],
    ) -> Result<Option<Event<'static>>, Fault> {
        let Some(calling) = self.calling.remove(&id) else {
            self.unknown_answer(id)?;
            return Ok(None);
        };
        self.outbox.drop_bulk(id);
        self.assembly.remove(id);
        let verdict = Executed::from_number(executed);
        if let Some(settled) = self.settle(id, &calling, verdict) {
            return Ok(Some(settled));
        }
        let failure = Failure::remote(code, executed, encoding, body.to_vec());
        Ok(Some(Event::Failed { id, token: calling.token, failure }))
    }

    /// Accounts for an item of an answer, or its first part; `false` when nobody waits for it.
    pub(super) fn receive_item_out(&mut self, id: CallId, len: u64) -> Result<bool, Fault> {
        let Some(calling) = self.calling.get_mut(&id) else {
            self.unknown_answer(id)?;
            return Ok(false);
        };
        if !matches!(calling.stage, Stage::Waiting) {
            return Ok(false);
        }
        let Some(window) = &mut calling.items_out else {
            let failure = Failure::local(
                ErrorCode::ProtocolError,
                "the peer answered with a stream where one value was asked for",
            );
            self.outbox.control(&Message::Cancel { id, reason: 0 });
            self.fail_call(id, failure, Executed::Yes);
            return Ok(false);
        };
        if !window.receive(len) {
            return Err(Fault::protocol(format!("an item of call {id} came without credit")));
        }
        if calling.opening.take().is_some() {
            calling.deadline = Time::NEVER;
        }
        Ok(true)
    }

    pub(super) fn item_out<'a>(
        &self,
        id: CallId,
        encoding: Encoding,
        body: Payload<'a>,
    ) -> Option<Event<'a>> {
        let token = Some(self.calling.get(&id)?.token);
        Some(Event::Item { id, token, encoding, body })
    }

    pub(super) fn handle_end_out(
        &mut self,
        id: CallId,
        count: u64,
    ) -> Result<Option<Event<'static>>, Fault> {
        let Some(mut calling) = self.calling.remove(&id) else {
            self.unknown_answer(id)?;
            return Ok(None);
        };
        self.outbox.drop_bulk(id);
        let token = calling.token;
        if let Some(settled) = self.settle(id, &calling, Executed::Yes) {
            return Ok(Some(settled));
        }
        let whole = calling.items_out.as_mut().is_some_and(|window| window.end(count));
        if !whole || self.assembly.is_open(id) {
            self.assembly.remove(id);
            let failure = Failure::local(
                ErrorCode::ProtocolError,
                format!(
                    "the stream ended after another number of items than the {count} it announces"
                ),
            );
            return Ok(Some(Event::failed(id, token, failure, Executed::Yes)));
        }
        Ok(Some(Event::End { id, token: Some(token), count }))
    }

    pub(super) fn calling_credit(
        &mut self,
        id: CallId,
        items: u32,
        bytes: u32,
    ) -> Option<Event<'static>> {
        let calling = self.calling.get_mut(&id)?;
        if !matches!(calling.stage, Stage::Waiting) {
            return None;
        }
        let woken = calling.items_in.as_mut().is_some_and(|window| window.grant(items, bytes));
        woken.then_some(Event::Writable { id, token: Some(calling.token) })
    }

    pub(super) fn calling_token(&self, id: CallId) -> Option<u64> {
        let calling = self.calling.get(&id)?;
        matches!(calling.stage, Stage::Waiting).then_some(calling.token)
    }

    /// Takes credit for an item of ours on a call of ours.
    pub(super) fn take_credit_in(&mut self, id: CallId, len: usize) -> Result<(), Blocked> {
        if !self.calling_window(id).ok_or(Blocked::Over)?.take(len) {
            return Err(Blocked::Credit);
        }
        // While the caller is still sending, the opening's deadline rests.
        if let Some(calling) = self.calling.get_mut(&id)
            && calling.opening.is_some()
        {
            calling.deadline = Time::NEVER;
        }
        Ok(())
    }

    /// The window of our stream on a call of ours, while it may be used.
    pub(super) fn calling_window(&mut self, id: CallId) -> Option<&mut SendWindow> {
        let calling = self.calling.get_mut(&id)?;
        let open = matches!(calling.stage, Stage::Waiting);
        calling.items_in.as_deref_mut().filter(|window| open && window.is_open())
    }

    /// Ends our stream on a call of ours; `None` when there is none.
    pub(super) fn end_items_in(&mut self, now: Time, id: CallId) -> Option<u64> {
        let count = self.calling_window(id)?.end();
        let calling = self.calling.get_mut(&id)?;
        let due = calling.opening.map(|timeout| now + timeout);
        if let Some(due) = due {
            calling.deadline = due;
            self.wake_at(due);
        }
        Some(count)
    }

    pub(super) fn consumed_out(
        &mut self,
        id: CallId,
        items: u32,
        bytes: usize,
    ) -> Option<(u32, u32)> {
        self.calling.get_mut(&id)?.items_out.as_mut()?.consumed(items, bytes)
    }

    /// Gives the streams that were opened during the handshake their credit.
    pub(super) fn open_windows(&mut self) {
        let (items, bytes) = self.peer_window();
        let mut waiting: Vec<_> = self.calling.keys().copied().collect();
        waiting.sort_unstable();
        for id in waiting {
            let woken = self.calling_credit(id, items, bytes);
            self.events.extend(woken);
        }
    }
}

impl Calling {
    fn due(&self) -> Time {
        match self.stage {
            Stage::Waiting => self.deadline,
            Stage::Verdict { until, .. } => until,
            Stage::Abandoned => Time::NEVER,
        }
    }
}

fn given_up(code: ErrorCode) -> Failure {
    let message = match code {
        ErrorCode::DeadlineExceeded => "the deadline passed before the answer came",
        _ => "the caller cancelled the call",
    };
    Failure::local(code, message)
}
