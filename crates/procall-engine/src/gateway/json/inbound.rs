//! Calls that are made to the peer.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use procall::json::{self, JsonId};
use procall::{CallId, Encoded, Encoding, Error, ErrorCode, Executed, Shape};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::inbox::Arrival;
use super::names;
use super::object::{quoted, result_to_json, value_from_json, value_to_json};
use super::outbound::{Items, or_nil};
use super::peer::{self, Forwarded};
use super::ready::Key;
use super::streams::{Receiving, Sending};
use super::task::Gate;

/// Calls that the peer may still answer although nobody waits any more; answers to older ones count as unasked.
const MAX_LATE: usize = 1024;

/// A call that the peer works on.
#[derive(Debug)]
pub(super) struct Inbound {
    id: CallId,
    /// The id that the peer knows.
    uuid: String,
    waker: Waker,
    shape: Shape,
    sending: Sending,
    receiving: Receiving,
    /// Items of the peer's and the length of their text; bounded by the credit that it has.
    held: VecDeque<(Vec<u8>, usize)>,
    /// What the peer sends.
    items: Items,
    /// What the caller sends.
    caller: Items,
    /// The item that waits for the peer's credit.
    item_in: Option<Encoded>,
}

impl Gate {
    /// Sends a call or a notification to the peer.
    pub(super) fn forward(&mut self, arrival: Arrival) {
        let meta = metadata(&arrival.meta);
        let names = self.names.get(&arrival.method);
        let named = names.and_then(|names| names::by_name(names, arrival.encoding, &arrival.body));
        let body = named.as_deref().unwrap_or(&arrival.body);
        let params = value_to_json(arrival.encoding, body, "the params");
        let Some(id) = arrival.id else {
            return self.forward_notification(&arrival, params, &meta);
        };
        if let Err(error) = self.forward_call(id, &arrival, params, meta) {
            self.native.fail(id, &error);
        }
    }

    fn forward_notification(
        &mut self,
        arrival: &Arrival,
        params: Result<String, String>,
        meta: &Map<String, Value>,
    ) {
        if !self.peer.hears && peer::is_broadcast(meta) {
            return;
        }
        match params.map(|params| self.peer.notify(&arrival.method, &params, meta)) {
            Ok(text) if self.wire.fits(text.len()) => self.wire.send(text),
            // Nobody waits for a notification, so nobody can be told.
            Ok(_) | Err(_) => self.inbox.drop_one(),
        }
    }

    fn forward_call(
        &mut self,
        id: CallId,
        arrival: &Arrival,
        params: Result<String, String>,
        meta: Map<String, Value>,
    ) -> Result<(), Error> {
        let invalid = |message| Error::new(ErrorCode::InvalidArgument, message);
        if arrival.shape != Shape::Unary && !self.peer.hello {
            let message = "the peer speaks JSON and has not said hello, so it knows no streams";
            return Err(invalid(message.to_owned()));
        }
        let params = params.map_err(invalid)?;
        let left = self.native.remaining(id);
        if left.is_some_and(|left| left.is_zero()) {
            let message = "the deadline passed before the call was sent to the peer";
            return Err(
                Error::new(ErrorCode::DeadlineExceeded, message).with_executed(Executed::No)
            );
        }
        if !self.native.is_wanted(id) {
            let message = "the call was given up before it was sent to the peer";
            return Err(Error::new(ErrorCode::Cancelled, message).with_executed(Executed::No));
        }
        let uuid = Uuid::new_v4().to_string();
        let text = self.peer.call(&Forwarded {
            id: &uuid,
            method: &arrival.method,
            params: &params,
            left,
            opening: arrival.opening,
            idempotent: arrival.idempotent,
            shape: arrival.shape,
            meta,
        });
        if !self.wire.fits(text.len()) {
            return Err(invalid("the call is too long for one JSON message".to_owned()));
        }
        self.wire.send(text);
        let key = Key::Served(self.served.vacant_key());
        let coming = |is: bool| if is { Items::Coming } else { Items::Done };
        let place = self.served.insert(Inbound {
            id,
            uuid: uuid.clone(),
            waker: self.ready.signal(key),
            shape: arrival.shape,
            sending: Sending::new(self.peer.window),
            receiving: Receiving::new(),
            held: VecDeque::new(),
            items: coming(arrival.shape.items_out()),
            caller: coming(arrival.shape.items_in()),
            item_in: None,
        });
        self.by_uuid.insert(uuid, place);
        self.keys.push_back(key);
        Ok(())
    }

    /// Passes on what is new of a call to the peer.
    pub(super) fn drive_served(&mut self, place: usize) {
        let Some(call) = self.served.get_mut(place) else { return };
        if self.native.poll_cancelled(call.id, &call.waker).is_ready() {
            return self.give_up(place);
        }
        let id = quoted(&call.uuid);
        while let Some((item, len)) = call.held.front() {
            match self.native.poll_item_out(call.id, Encoding::Msgpack, item, &call.waker) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => {
                    let credit = call.receiving.consumed(*len);
                    call.held.pop_front();
                    if let Some(credit) = credit.filter(|_| call.items == Items::Coming) {
                        self.wire.send(peer::credit(&id, credit));
                    }
                }
                // The caller has gone, and the next look at the call says so.
                Poll::Ready(Err(_)) => return self.give_up(place),
            }
        }
        if call.held.is_empty() && call.items == Items::End {
            self.native.end_items_out(call.id);
            return self.forget_served(place);
        }
        while call.caller == Items::Coming {
            if call.item_in.is_none() {
                match self.native.poll_item_in(call.id, &call.waker) {
                    Poll::Pending => return,
                    Poll::Ready(Some(Ok(item))) => call.item_in = Some(item),
                    // Cut short: the caller's cancel is the next thing that is seen.
                    Poll::Ready(Some(Err(_))) => call.caller = Items::Done,
                    Poll::Ready(None) => {
                        call.caller = Items::Done;
                        self.wire.send(peer::end(&id, call.sending.count));
                        return;
                    }
                }
            }
            if !call.sending.has_credit() {
                return;
            }
            if !self.wire.has_room() {
                // Once the peer reads again.
                call.waker.wake_by_ref();
                return;
            }
            if let Some(item) = call.item_in.take() {
                match result_to_json(&item) {
                    Ok(text) if self.wire.fits(text.len() + id.len() + 64) => {
                        call.sending.take(text.len());
                        self.wire.send(peer::item(&id, &text));
                    }
                    refused => {
                        let message = refused.map_or_else(
                            |error| error.message().to_owned(),
                            |_| "an item is too long for one JSON message".to_owned(),
                        );
                        let error = Error::new(ErrorCode::InvalidArgument, message)
                            .with_executed(Executed::Maybe);
                        return self.break_off(place, &error);
                    }
                }
            }
        }
    }

    fn forget_served(&mut self, place: usize) {
        if let Some(call) = self.served.try_remove(place) {
            self.by_uuid.remove(&call.uuid);
        }
    }

    /// Nobody waits for the answer any more. What the peer makes of it is not known, and not waited for.
    fn give_up(&mut self, place: usize) {
        let Some(call) = self.served.get(place) else { return };
        let (code, reason) = if self.native.is_late(call.id) {
            (ErrorCode::DeadlineExceeded, 1)
        } else {
            (ErrorCode::Cancelled, 0)
        };
        self.tell_cancelled(place, reason);
        let Some(call) = self.served.get(place) else { return };
        let error = Error::new(code, "the peer was working on the call when it was given up");
        self.native.fail(call.id, &error.with_executed(Executed::Maybe));
        self.remember_late(place);
    }

    /// Ends a call for its caller, and at the peer.
    fn break_off(&mut self, place: usize, error: &Error) {
        self.tell_cancelled(place, 0);
        if let Some(call) = self.served.get(place) {
            self.native.fail(call.id, error);
        }
        self.remember_late(place);
    }

    fn tell_cancelled(&mut self, place: usize, reason: u64) {
        if let Some(call) = self.served.get(place)
            && self.peer.hello
        {
            self.wire.send(peer::cancel(&quoted(&call.uuid), reason));
        }
    }

    fn remember_late(&mut self, place: usize) {
        let Some(call) = self.served.try_remove(place) else { return };
        self.by_uuid.remove(&call.uuid);
        if self.late.len() == MAX_LATE
            && let Some(oldest) = self.late.pop_front()
        {
            self.late_ids.remove(&oldest);
        }
        self.late.push_back(call.uuid.clone());
        self.late_ids.insert(call.uuid);
    }

    /// A call to the peer by the id that the peer knows.
    fn serving(&mut self, id: &JsonId) -> Option<(usize, &mut Inbound)> {
        let JsonId::Text(uuid) = id else { return None };
        let place = match self.by_uuid.get(uuid) {
            Some(place) => *place,
            // The same UUID in other letters.
            None => *self.by_uuid.get(&uuid.parse::<Uuid>().ok()?.to_string())?,
        };
        Some((place, self.served.get_mut(place)?))
    }

    /// Whether the peer works on a call with this id.
    pub(super) fn is_serving(&mut self, id: &JsonId) -> bool {
        self.serving(id).is_some()
    }

    /// The peer answers a call. `None` is an answer that could not be read. False when nobody asked: not now, and not a while ago.
    pub(super) fn answered(&mut self, id: &JsonId, answer: Result<Option<&[u8]>, Error>) -> bool {
        let Some((place, call)) = self.serving(id) else {
            let JsonId::Text(uuid) = id else { return false };
            // Late: its caller has gone.
            let late = self.late_ids.contains(uuid);
            self.counters.late += u64::from(late);
            return late;
        };
        let (native, streams) = (call.id, call.shape.items_out());
        match answer {
            Ok(_) if streams => {
                let message = "the peer answered with one result where a stream was asked for";
                let error = Error::new(ErrorCode::ProtocolError, message);
                self.native.fail(native, &error.with_executed(Executed::Yes));
            }
            Ok(text) => match value_from_json(text) {
                Ok(value) => self.native.reply(native, value),
                Err(error) => self.native.fail(native, &unreadable(&error.to_string())),
            },
            Err(error) => self.native.fail(native, &error),
        }
        self.forget_served(place);
        true
    }

    /// More credit for the items of a caller; false when no call has this id.
    pub(super) fn credit_served(&mut self, id: &JsonId, items: u32, bytes: u32) -> bool {
        let Some((place, call)) = self.serving(id) else { return false };
        call.sending.grant(items, bytes);
        self.keys.push_back(Key::Served(place));
        true
    }

    /// How far the peer has come with a call.
    pub(super) fn progress_of_served(
        &mut self,
        id: &JsonId,
        done: u64,
        total: Option<u64>,
        text: &str,
    ) {
        if let Some((_, call)) = self.serving(id) {
            let native = call.id;
            self.native.progress(native, done, total, text);
        }
    }

    /// An item of the peer's answer.
    pub(super) fn item_of_served(&mut self, id: &JsonId, text: Option<&[u8]>) {
        let Some((place, call)) = self.serving(id) else { return };
        let len = text.map_or(4, <[u8]>::len);
        let error = if call.items != Items::Coming {
            wrong("the peer sent an item where none was due")
        } else if !call.receiving.receive(len) {
            wrong("the peer sent an item without credit")
        } else {
            match value_from_json(text) {
                Ok(item) => {
                    call.held.push_back((or_nil(item.bytes), len));
                    self.keys.push_back(Key::Served(place));
                    return;
                }
                Err(error) => unreadable(&error.to_string()),
            }
        };
        self.break_off(place, &error);
    }

    /// The end of the peer's answer.
    pub(super) fn end_of_served(&mut self, id: &JsonId, count: u64) {
        let Some((place, call)) = self.serving(id) else { return };
        if call.items != Items::Coming || call.receiving.count != count {
            let came = call.receiving.count;
            let error = wrong(&format!("{came} items of the peer's came, its end says {count}"));
            return self.break_off(place, &error);
        }
        call.items = Items::End;
        self.keys.push_back(Key::Served(place));
    }
}

/// Metadata as JSON; a map that JSON cannot say is none.
fn metadata(meta: &[u8]) -> Map<String, Value> {
    if meta.is_empty() {
        return Map::new();
    }
    let text = json::to_json(meta).unwrap_or_default();
    let mut meta: Map<String, Value> = serde_json::from_slice(&text).unwrap_or_default();
    // Where it was to go, it has arrived.
    meta.remove("to");
    meta
}

/// The answer of a peer that cannot be passed on.
pub(super) fn unreadable(problem: &str) -> Error {
    let message = format!("the peer's answer cannot be read: {problem}");
    Error::new(ErrorCode::InvalidResult, message).with_executed(Executed::Yes)
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorCode::ProtocolError, message).with_executed(Executed::Yes)
}
