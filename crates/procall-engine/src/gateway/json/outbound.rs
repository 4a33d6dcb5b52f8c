//! Calls that the peer makes.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::task::{Poll, Waker};
use std::time::Duration;

use procall::json::JsonId;
use procall::{
    Body, CallOptions, Deadline, Encoded, Encoding, Error, ErrorCode, Executed, Pending, Request,
    Shape,
};
use tokio::time::Instant;

use super::object::{id_json, result_to_json, value_from_json};
use super::peer;
use super::ready::Key;
use super::streams::{Receiving, Sending};
use super::task::Gate;
use crate::gateway::roadmap;

/// Calls of one peer in flight; the next one is refused with OVERLOADED.
const MAX_CALLS: usize = 1024;
/// When a refused caller may try again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Who made a call, and how it is answered.
#[derive(Debug)]
pub(super) enum Asker {
    Engine(JsonId),
    Roadmap(roadmap::Asker),
}

/// What the peer sends on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Items {
    Coming,
    /// All have come; the other side has yet to be told.
    End,
    Done,
}

/// A call of the peer's that is under way.
#[derive(Debug)]
pub(super) struct Outbound {
    asker: Asker,
    pending: Pending,
    waker: Waker,
    shape: Shape,
    sending: Sending,
    receiving: Receiving,
    /// Items of the peer's and the length of their text; bounded by the credit that it has.
    held: VecDeque<(Vec<u8>, usize)>,
    items: Items,
    /// The item that waits for the peer's credit.
    item_out: Option<Encoded>,
}

/// A call as the peer asks for it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) params: Result<Encoded, Error>,
    pub(super) options: CallOptions,
}

impl Gate {
    /// Begins a call, or says why not.
    pub(super) fn call(&mut self, asker: Asker, asked: Asked) {
        if let Err((asker, error)) = self.start(asker, asked) {
            self.answer(&asker, Err(&error));
        }
    }

    fn start(&mut self, asker: Asker, asked: Asked) -> Result<(), (Asker, Error)> {
        if self.calls.len() >= MAX_CALLS {
            let message = format!("{MAX_CALLS} calls of this connection are in flight already");
            let error = Error::new(ErrorCode::Overloaded, message).with_retry_after(RETRY_AFTER);
            return Err((asker, error));
        }
        let place = self.calls.vacant_key();
        if let Asker::Engine(id) = &asker {
            // Items and credit name a call by its id alone.
            if self.is_serving(id) {
                let message =
                    "this id is that of a call which the peer works on; choose another for its own";
                let error = Error::new(ErrorCode::ProtocolError, message);
                return Err((asker, error.with_executed(Executed::No)));
            }
            match self.by_id.entry(id.clone()) {
                Entry::Occupied(_) => {
                    let message = "a call with this id is in flight already; ids are for one call";
                    let error = Error::new(ErrorCode::ProtocolError, message);
                    return Err((asker, error.with_executed(Executed::No)));
                }
                Entry::Vacant(vacant) => _ = vacant.insert(place),
            }
        }
        let shape = Shape::new(asked.options.items_in, asked.options.items_out);
        let started = asked.params.and_then(|params| {
            let body = Body::owned(params.encoding, params.bytes);
            self.native.start(Request { method: &asked.method, body, options: asked.options })
        });
        let pending = match started {
            Ok(pending) => pending,
            Err(error) => {
                self.forget_id(&asker);
                return Err((asker, error));
            }
        };
        let key = Key::Call(place);
        let call = Outbound {
            asker,
            pending,
            waker: self.ready.signal(key),
            shape,
            sending: Sending::new(self.peer.window),
            receiving: Receiving::new(),
            held: VecDeque::new(),
            items: if shape.items_in() { Items::Coming } else { Items::Done },
            item_out: None,
        };
        self.calls.insert(call);
        self.keys.push_back(key);
        Ok(())
    }

    fn forget_id(&mut self, asker: &Asker) {
        if let Asker::Engine(id) = asker {
            self.by_id.remove(id);
        }
    }

    /// Passes on what is new of a call.
    pub(super) fn drive_call(&mut self, place: usize) {
        let Some(call) = self.calls.get_mut(place) else { return };
        let Outbound { asker, pending, waker, shape, sending, receiving, held, items, item_out } =
            call;
        let id = match asker {
            Asker::Engine(id) => id_json(id),
            Asker::Roadmap(_) => String::new(),
        };
        if self.peer.hello && !id.is_empty() {
            while let Poll::Ready(Some(progress)) = pending.poll_progress(waker) {
                self.wire.send(peer::progress(&id, &progress));
            }
        }
        while let Some((item, len)) = held.front() {
            match pending.poll_send(Encoding::Msgpack, item, waker) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => {
                    let credit = receiving.consumed(*len);
                    held.pop_front();
                    if let Some(credit) = credit.filter(|_| *items == Items::Coming) {
                        self.wire.send(peer::credit(&id, credit));
                    }
                }
                // The call is over: its outcome says why.
                Poll::Ready(Err(_)) => {
                    held.clear();
                    *items = Items::Done;
                }
            }
        }
        if held.is_empty() && *items == Items::End {
            pending.end_items();
            *items = Items::Done;
        }
        if !shape.items_out() {
            if let Poll::Ready(outcome) = pending.poll_reply(waker) {
                self.finish_call(place, outcome.as_ref());
            }
            return;
        }
        loop {
            if item_out.is_none() {
                match pending.poll_item(waker) {
                    Poll::Pending => return,
                    Poll::Ready(Some(Ok(item))) => *item_out = Some(item),
                    Poll::Ready(Some(Err(error))) => {
                        return self.finish_call(place, Err(&error));
                    }
                    Poll::Ready(None) => {
                        self.wire.send(peer::end(&id, sending.count));
                        return self.forget_call(place);
                    }
                }
            }
            if !sending.has_credit() {
                return;
            }
            if !self.wire.has_room() {
                // Once the peer reads again.
                waker.wake_by_ref();
                return;
            }
            if let Some(item) = item_out.take() {
                let text = match result_to_json(&item) {
                    Ok(text) if self.wire.fits(text.len() + id.len() + 64) => text,
                    Ok(_) => return self.finish_call(place, Err(&too_large("an item"))),
                    Err(error) => return self.finish_call(place, Err(&error)),
                };
                sending.take(text.len());
                self.wire.send(peer::item(&id, &text));
            }
        }
    }

    fn forget_call(&mut self, place: usize) {
        if let Some(call) = self.calls.try_remove(place) {
            self.forget_id(&call.asker);
        }
    }

    /// The call is over for the peer; dropping it cancels what is not over for the engine.
    fn finish_call(&mut self, place: usize, outcome: Result<&Encoded, &Error>) {
        if let Some(call) = self.calls.try_remove(place) {
            self.forget_id(&call.asker);
            self.answer(&call.asker, outcome);
        }
    }

    /// Answers a call of the peer's.
    pub(super) fn answer(&mut self, asker: &Asker, outcome: Result<&Encoded, &Error>) {
        let mut text = self.answer_text(asker, outcome);
        if !self.wire.fits(text.len()) {
            text = self.answer_text(asker, Err(&too_large("the result")));
        }
        self.wire.send(text);
        // A peer that was answered is not idle yet.
        self.heard = Instant::now();
    }

    fn answer_text(&self, asker: &Asker, outcome: Result<&Encoded, &Error>) -> String {
        match asker {
            Asker::Roadmap(asker) => asker.answer(outcome),
            Asker::Engine(id) => match outcome.map_err(Error::clone).and_then(result_to_json) {
                Ok(result) => self.peer.result(id, &result),
                Err(error) => self.peer.failure(id, &error),
            },
        }
    }

    /// A call of the peer's by the peer's id.
    fn calling(&mut self, id: &JsonId) -> Option<(usize, &mut Outbound)> {
        let place = *self.by_id.get(id)?;
        Some((place, self.calls.get_mut(place)?))
    }

    /// The peer gives a call up; the outcome will say so. One that is over is ignored.
    pub(super) fn cancel_call(&mut self, id: &JsonId) {
        if let Some((_, call)) = self.calling(id) {
            call.pending.cancel();
        }
    }

    /// More credit for the stream of an answer; false when no call has this id.
    pub(super) fn credit_call(&mut self, id: &JsonId, items: u32, bytes: u32) -> bool {
        let Some((place, call)) = self.calling(id) else { return false };
        call.sending.grant(items, bytes);
        self.keys.push_back(Key::Call(place));
        true
    }

    /// An item of the peer's for its own call. One for a call that is over is dropped.
    pub(super) fn item_of_call(&mut self, id: &JsonId, text: Option<&[u8]>) {
        let Some((place, call)) = self.calling(id) else { return };
        let len = text.map_or(4, <[u8]>::len);
        let error = if call.items != Items::Coming {
            // After an answer came, the peer may still be sending.
            if call.shape.items_in() {
                return;
            }
            wrong("the call was not begun with `items_in`, so it takes no items")
        } else if !call.receiving.receive(len) {
            wrong("an item came without credit")
        } else {
            match value_from_json(text) {
                Ok(item) => {
                    call.held.push_back((or_nil(item.bytes), len));
                    self.keys.push_back(Key::Call(place));
                    return;
                }
                Err(error) => {
                    let message = format!("an item cannot be read: {error}");
                    Error::new(ErrorCode::InvalidArgument, message).with_executed(Executed::Maybe)
                }
            }
        };
        self.finish_call(place, Err(&error));
    }

    /// The end of the peer's items for its own call.
    pub(super) fn end_of_call(&mut self, id: &JsonId, count: u64) {
        let Some((place, call)) = self.calling(id) else { return };
        if call.items != Items::Coming {
            return;
        }
        if call.receiving.count != count {
            let came = call.receiving.count;
            let error = wrong(format!("{came} items came, the end says {count}"));
            return self.finish_call(place, Err(&error));
        }
        call.items = Items::End;
        self.keys.push_back(Key::Call(place));
    }
}

/// The deadline that a call of the peer's asks for.
pub(super) fn deadline(timeout_ms: Option<u64>, opening: bool) -> Deadline {
    match timeout_ms.map(Duration::from_millis) {
        None => Deadline::Default,
        Some(left) if opening => Deadline::Opening(left),
        Some(left) => Deadline::After(left),
    }
}

/// An item has a body, be it nil.
pub(crate) fn or_nil(bytes: Vec<u8>) -> Vec<u8> {
    if bytes.is_empty() { vec![0xc0] } else { bytes }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::ProtocolError, message)
}

fn too_large(what: &str) -> Error {
    let message = format!("{what} is too long for one JSON message");
    Error::new(ErrorCode::ResultTooLarge, message)
}
