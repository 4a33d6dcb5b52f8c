//! Calls that the peer makes and this side serves.

use std::borrow::Cow;
use std::time::Duration;

use super::assembly::{Chunked, Head};
use super::event::{Blocked, Body, CallId, Event, IncomingCall, Payload, Reason};
use super::outbox::more;
use super::window::{RecvWindow, SendWindow};
use super::{Session, clip};
use crate::wire::Writer;
use crate::{CallHeader, Encoding, ErrorCode, Executed, Fault, Flags, Message, NotifyHeader, Time};

/// Progress of one call is sent at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// Longest text of a progress report, in bytes.
const MAX_TEXT: usize = 1 << 10;
/// What a refused caller is told to wait before it tries again, in milliseconds.
const RETRY_AFTER_MS: u64 = 100;

/// A call of the peer's that has not been answered.
#[derive(Debug)]
pub(super) struct Serving {
    deadline: Time,
    /// For streams: the deadline covers only the opening.
    opening: Option<Duration>,
    /// The application knows that the call is no longer wanted.
    cancelled: Option<Reason>,
    items_in: Option<Box<RecvWindow>>,
    items_out: Option<Box<SendWindow>>,
    progress_at: Time,
    /// The last report that was sent completed the total.
    completed: bool,
}

impl Session {
    fn next_peer_id(&mut self, id: CallId) -> Result<(), Fault> {
        if id == 0 || self.is_own_id(id) {
            return Err(Fault::protocol(format!("id {id} is not from the peer's range")));
        }
        if id <= self.last_peer_id {
            return Err(Fault::protocol(format!("id {id} came after id {}", self.last_peer_id)));
        }
        self.last_peer_id = id;
        Ok(())
    }

    pub(super) fn handle_call<'a>(
        &mut self,
        now: Time,
        header: &CallHeader<'a>,
        body: &'a [u8],
    ) -> Result<Option<Event<'a>>, Fault> {
        let id = header.id;
        self.next_peer_id(id)?;
        let timeout = header.timeout_ms.map(Duration::from_millis);
        let deadline = timeout.map_or(Time::NEVER, |timeout| now + timeout);
        if self.outbox.queued() > self.config.limits.max_queued {
            return Err(Fault::protocol("the peer calls on without reading its answers"));
        }
        if self.refuses_calls() {
            self.refuse(
                id,
                ErrorCode::Unavailable,
                Executed::No,
                "this side is going away and takes no new calls",
                None,
            );
        } else if self.serving.len() + self.assembly.calls() >= self.config.limits.max_calls {
            self.counters.refused += 1;
            let message =
                format!("{} calls are in flight here already", self.config.limits.max_calls);
            self.refuse(id, ErrorCode::Overloaded, Executed::No, &message, Some(RETRY_AFTER_MS));
        } else if let Some(total) = header.total {
            let Some(total) = self.body_len(total) else {
                let message = format!(
                    "the arguments take {total} bytes, the limit is {}",
                    self.config.limits.max_body
                );
                self.refuse(id, ErrorCode::InvalidArgument, Executed::No, &message, None);
                return Ok(None);
            };
            let begun = self.assembly.begin(id, Head::call(header, deadline), total, body);
            return self.handle_chunked(now, id, begun);
        } else {
            let head = IncomingCall {
                id,
                method: Cow::Borrowed(header.method),
                encoding: header.encoding,
                body: Payload::Borrowed(body),
                items_in: header.flags.contains(Flags::ITEMS_IN),
                items_out: header.flags.contains(Flags::ITEMS_OUT),
                idempotent: header.flags.contains(Flags::IDEMPOTENT),
                deadline,
                opening: header.flags.contains(Flags::OPENING),
                meta: Cow::Borrowed(header.meta),
            };
            return Ok(self.begin_serving(now, head, header.flags, timeout));
        }
        Ok(None)
    }

    pub(super) fn begin_serving<'a>(
        &mut self,
        now: Time,
        call: IncomingCall<'a>,
        flags: Flags,
        timeout: Option<Duration>,
    ) -> Option<Event<'a>> {
        if call.deadline <= now {
            let message = "the deadline had passed on arrival";
            self.refuse(call.id, ErrorCode::DeadlineExceeded, Executed::No, message, None);
            return None;
        }
        self.wake_at(call.deadline);
        let (items, bytes) = self.peer_window();
        let limits = &self.config.limits;
        let serving = Serving {
            deadline: call.deadline,
            opening: timeout.filter(|_| flags.contains(Flags::OPENING)),
            cancelled: None,
            items_in: call
                .items_in
                .then(|| Box::new(RecvWindow::new(limits.stream_items, limits.stream_bytes))),
            items_out: call.items_out.then(|| Box::new(SendWindow::new(items, bytes))),
            progress_at: Time::ZERO,
            completed: false,
        };
        self.serving.insert(call.id, serving);
        Some(Event::Call(call))
    }

    pub(super) fn handle_notify<'a>(
        &mut self,
        now: Time,
        header: NotifyHeader<'a>,
        body: &'a [u8],
    ) -> Result<Option<Event<'a>>, Fault> {
        self.next_peer_id(header.id)?;
        let Some(total) = header.total else {
            return Ok(Some(Event::Notify {
                method: Cow::Borrowed(header.method),
                encoding: header.encoding,
                body: Payload::Borrowed(body),
                meta: Cow::Borrowed(header.meta),
            }));
        };
        // A notification that is too long is dropped, like one that finds a full queue.
        let full = self.assembly.notifications() >= self.config.limits.max_calls;
        let Some(total) = self.body_len(total).filter(|_| !full) else {
            self.counters.dropped += 1;
            return Ok(None);
        };
        let head = Head::Notify {
            method: header.method.to_owned(),
            encoding: header.encoding,
            meta: header.meta.to_vec(),
        };
        let begun = self.assembly.begin(header.id, head, total, body);
        self.handle_chunked(now, header.id, begun)
    }

    /// Answers a call in the application's stead.
    pub(super) fn refuse(
        &mut self,
        id: CallId,
        code: ErrorCode,
        executed: Executed,
        message: &str,
        retry_after: Option<u64>,
    ) {
        let mut map = Vec::new();
        let mut writer = Writer::new(&mut map);
        writer.map(1 + usize::from(retry_after.is_some())).text("message").text(message);
        if let Some(millis) = retry_after {
            writer.text("retry_after_ms").uint(millis);
        }
        let message = Message::Error {
            id,
            code: code.number().into(),
            executed: executed.number().into(),
            encoding: Encoding::Msgpack,
            body: &map,
        };
        self.outbox.small(id, &message);
    }

    /// The application has the answer: takes the call off the table, and what was to come for it.
    fn answered(&mut self, id: CallId) -> Result<Serving, Blocked> {
        let serving = self.serving.remove(&id).ok_or(Blocked::Over)?;
        // The peer sends no more of a long item once it has the answer.
        self.assembly.remove(id);
        Ok(serving)
    }

    /// Answers a call of the peer's with a result; one that is too long becomes RESULT_TOO_LARGE.
    /// An answer to a call that is over (the peer is gone, or the call was answered) is dropped.
    pub fn reply(&mut self, _now: Time, id: CallId, body: Body<'_>) -> Result<(), Blocked> {
        let (len, limit) = (body.bytes().len(), self.config.limits.max_body);
        if len > limit {
            let mut map = Vec::new();
            let message = format!("the result takes {len} bytes, the limit is {limit}");
            Writer::new(&mut map).map(1).text("message").text(&message);
            return self.fail(id, ErrorCode::ResultTooLarge, Executed::Yes, Body::msgpack(&map));
        }
        self.answered(id)?;
        match self.is_long(&body) {
            None => {
                let (flags, encoding) = (Flags::default(), body.encoding);
                let message =
                    Message::Reply { id, encoding, flags, total: None, body: body.bytes() };
                self.outbox.holding(id, &message, body.held.clone());
            }
            Some(total) => {
                let (flags, encoding) = (more(Flags::default()), body.encoding);
                let message = Message::Reply { id, encoding, flags, total: Some(total), body: &[] };
                self.outbox.long(id, &message, Self::into_bytes(body));
            }
        }
        self.check_drained();
        Ok(())
    }

    /// Answers a call of the peer's with an error; `map` is the error map. Too long a map is replaced by its code's sentence.
    ///
    /// CANCELLED after the deadline has passed becomes DEADLINE_EXCEEDED: a handler only knows that it was told to stop, and this side's
    /// clock may have noticed before the caller's.
    pub fn fail(
        &mut self,
        id: CallId,
        code: ErrorCode,
        executed: Executed,
        map: Body<'_>,
    ) -> Result<(), Blocked> {
        let serving = self.answered(id)?;
        let code = match (code, serving.cancelled) {
            (ErrorCode::Cancelled, Some(Reason::Deadline)) => ErrorCode::DeadlineExceeded,
            (code, _) => code,
        };
        let mut plain = Vec::new();
        let (encoding, body) = if map.bytes().len() <= self.outbox.chunk() {
            (map.encoding, map.bytes())
        } else {
            Writer::new(&mut plain).map(1).text("message").text(code.sentence());
            (Encoding::Msgpack, &plain[..])
        };
        let (code, executed) = (code.number().into(), executed.number().into());
        self.outbox.small(id, &Message::Error { id, code, executed, encoding, body });
        self.check_drained();
        Ok(())
    }

    /// Says how far the handler of a call of the peer's has come. At most ten a second are sent, the others are dropped;
    /// the one that completes the total is always sent, once. Of the text, 1 KiB is.
    pub fn progress(&mut self, now: Time, id: CallId, done: u64, total: Option<u64>, text: &str) {
        let Some(serving) = self.serving.get_mut(&id) else { return };
        // However often a handler says that it is done, or begins anew.
        let completes = total == Some(done) && !std::mem::replace(&mut serving.completed, true);
        if now < serving.progress_at && !completes {
            return;
        }
        serving.completed = total == Some(done);
        serving.progress_at = now + PROGRESS_INTERVAL;
        let text = clip(text, MAX_TEXT);
        self.outbox.small(id, &Message::Progress { id, done, total, text });
    }

    /// Whether the peer still waits for the answer to its call.
    pub fn is_wanted(&self, id: CallId) -> bool {
        self.serving.get(&id).is_some_and(|serving| serving.cancelled.is_none())
    }

    /// When the peer gives its call up; never when it does not, when the call rests on an open stream, or when it is over.
    pub fn deadline_of(&self, id: CallId) -> Time {
        self.serving.get(&id).map_or(Time::NEVER, |serving| serving.deadline)
    }

    /// Calls of the peer's that have not been answered.
    pub fn serving(&self) -> usize {
        self.serving.len()
    }

    pub(super) fn handle_cancel(
        &mut self,
        id: CallId,
        reason: u64,
    ) -> Result<Option<Event<'static>>, Fault> {
        if self.is_own_id(id) || id > self.last_peer_id {
            return Err(Fault::protocol(format!(
                "a cancel came for call {id}, which was never made"
            )));
        }
        if let Some((head, _)) = self.assembly.remove(id)
            && head.is_call()
        {
            self.refuse(
                id,
                ErrorCode::Cancelled,
                Executed::No,
                "the request was not complete",
                None,
            );
            self.check_drained();
            return Ok(None);
        }
        // What is left of a long item or result need not travel.
        let dropped = self.outbox.drop_bulk(id);
        let Some(serving) = self.serving.get_mut(&id) else {
            if dropped {
                // The end of a stream was behind a long item: the peer gets another verdict in its place.
                self.refuse(
                    id,
                    ErrorCode::Cancelled,
                    Executed::Yes,
                    "the answer was under way",
                    None,
                );
            }
            return Ok(None);
        };
        serving.deadline = Time::NEVER;
        let reason = if reason == 1 { Reason::Deadline } else { Reason::Cancelled };
        if serving.cancelled.is_some() {
            return Ok(None);
        }
        serving.cancelled = Some(reason);
        Ok(Some(Event::Cancelled { id, reason }))
    }

    /// Tells the application of calls whose deadline passed; returns when the next one is due.
    pub(super) fn expire_serving(&mut self, now: Time) -> Time {
        let mut next = Time::NEVER;
        let mut due = Vec::new();
        for (&id, serving) in &mut self.serving {
            if serving.deadline > now {
                next = next.min(serving.deadline);
            } else {
                serving.deadline = Time::NEVER;
                if serving.cancelled.is_none() {
                    serving.cancelled = Some(Reason::Deadline);
                    due.push(id);
                }
            }
        }
        due.sort_unstable();
        for id in due {
            self.assembly.remove(id);
            self.events.push_back(Event::Cancelled { id, reason: Reason::Deadline });
        }
        next
    }

    /// The caller is gone: its calls are no longer wanted and cannot be answered.
    pub(super) fn drop_all_serving(&mut self) {
        let mut ended: Vec<_> = self.serving.drain().map(|(id, _)| id).collect();
        ended.sort_unstable();
        for id in ended {
            self.events.push_back(Event::Cancelled { id, reason: Reason::Gone });
        }
    }

    /// Accounts for an item of a request stream, or its first part; `false` when nobody waits for it.
    pub(super) fn receive_item_in(&mut self, id: CallId, len: u64) -> Result<bool, Fault> {
        if id > self.last_peer_id {
            return Err(Fault::protocol(format!(
                "an item came for call {id}, which was never made"
            )));
        }
        // Items of a call that is answered or cancelled may still be on their way.
        let Some(serving) = self.serving.get_mut(&id).filter(|serving| serving.cancelled.is_none())
        else {
            return Ok(false);
        };
        let Some(window) = &mut serving.items_in else {
            return Err(Fault::protocol(format!(
                "an item came for call {id}, which has no stream of items"
            )));
        };
        if !window.receive(len) {
            return Err(Fault::protocol(format!("an item of call {id} came without credit")));
        }
        if serving.opening.is_some() {
            serving.deadline = Time::NEVER;
        }
        Ok(true)
    }

    pub(super) fn handle_end_in(
        &mut self,
        now: Time,
        id: CallId,
        count: u64,
    ) -> Result<Option<Event<'static>>, Fault> {
        if id > self.last_peer_id {
            return Err(Fault::protocol(format!(
                "an end came for call {id}, which was never made"
            )));
        }
        let Some(serving) = self.serving.get_mut(&id).filter(|serving| serving.cancelled.is_none())
        else {
            return Ok(None);
        };
        let whole = serving.items_in.as_mut().is_some_and(|window| window.end(count));
        if !whole || self.assembly.is_open(id) {
            return Err(Fault::protocol(format!(
                "the stream of call {id} ended after another number of items"
            )));
        }
        if let Some(timeout) = serving.opening {
            serving.deadline = now + timeout;
            let due = serving.deadline;
            self.wake_at(due);
        }
        Ok(Some(Event::End { id, token: None, count }))
    }

    pub(super) fn serving_credit(
        &mut self,
        id: CallId,
        items: u32,
        bytes: u32,
    ) -> Option<Event<'static>> {
        let serving = self.serving.get_mut(&id).filter(|serving| serving.cancelled.is_none())?;
        serving
            .items_out
            .as_mut()?
            .grant(items, bytes)
            .then_some(Event::Writable { id, token: None })
    }

    /// Takes credit for an item of ours on a call of the peer's.
    pub(super) fn take_credit_out(&mut self, id: CallId, len: usize) -> Result<(), Blocked> {
        if !self.serving_window(id).ok_or(Blocked::Over)?.take(len) {
            return Err(Blocked::Credit);
        }
        // The opening is over with the first item.
        if let Some(serving) = self.serving.get_mut(&id)
            && serving.opening.take().is_some()
        {
            serving.deadline = Time::NEVER;
        }
        Ok(())
    }

    /// The window of our stream on a call of the peer's, while it may be used.
    pub(super) fn serving_window(&mut self, id: CallId) -> Option<&mut SendWindow> {
        let serving = self.serving.get_mut(&id).filter(|serving| serving.cancelled.is_none())?;
        serving.items_out.as_deref_mut().filter(|window| window.is_open())
    }

    /// Ends our stream on a call of the peer's, and with it the call; `None` when there is none.
    pub(super) fn end_items_out(&mut self, id: CallId) -> Option<u64> {
        let count = self.serving.get_mut(&id)?.items_out.as_mut()?.end();
        self.answered(id).ok()?;
        Some(count)
    }

    pub(super) fn consumed_in(
        &mut self,
        id: CallId,
        items: u32,
        bytes: usize,
    ) -> Option<(u32, u32)> {
        self.serving.get_mut(&id)?.items_in.as_mut()?.consumed(items, bytes)
    }

    /// What a chunk, or the first part of a body, led to.
    pub(super) fn handle_chunked<'a>(
        &mut self,
        now: Time,
        id: CallId,
        chunked: Chunked,
    ) -> Result<Option<Event<'a>>, Fault> {
        match chunked {
            Chunked::Open => Ok(None),
            Chunked::Stray => {
                self.counters.stray_chunks += 1;
                Ok(None)
            }
            Chunked::Broken(message) => Err(Fault::protocol(format!("call {id}: {message}"))),
            Chunked::Full(head) => {
                let message = "the unfinished bodies on this connection take too much memory";
                if head.is_call() {
                    self.refuse(
                        id,
                        ErrorCode::Overloaded,
                        Executed::No,
                        message,
                        Some(RETRY_AFTER_MS),
                    );
                    self.check_drained();
                } else if head.is_notify() {
                    self.counters.dropped += 1;
                } else {
                    self.too_large(id, message);
                }
                Ok(None)
            }
            Chunked::Done(head, body) => self.handle_whole(now, id, head, Payload::Owned(body)),
        }
    }

    fn handle_whole<'a>(
        &mut self,
        now: Time,
        id: CallId,
        head: Head,
        body: Payload<'a>,
    ) -> Result<Option<Event<'a>>, Fault> {
        Ok(match head {
            Head::Call { method, encoding, flags, deadline, timeout, meta } => {
                let call = IncomingCall {
                    id,
                    method: Cow::Owned(method),
                    encoding,
                    body,
                    items_in: flags.contains(Flags::ITEMS_IN),
                    items_out: flags.contains(Flags::ITEMS_OUT),
                    idempotent: flags.contains(Flags::IDEMPOTENT),
                    deadline,
                    opening: flags.contains(Flags::OPENING),
                    meta: Cow::Owned(meta),
                };
                let event =
                    self.begin_serving(now, call, flags, timeout.map(Duration::from_millis));
                self.check_drained();
                event
            }
            Head::Notify { method, encoding, meta } => Some(Event::Notify {
                method: Cow::Owned(method),
                encoding,
                body,
                meta: Cow::Owned(meta),
            }),
            Head::Reply { encoding } => self.handle_reply(id, encoding, body)?,
            Head::Item { encoding } if self.is_own_id(id) => self.item_out(id, encoding, body),
            Head::Item { encoding } => Some(Event::Item { id, token: None, encoding, body }),
        })
    }
}
