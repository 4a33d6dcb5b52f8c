//! Calls of peers, from their arrival to our answer.

use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use procall::{CallId, Connection, Encoded, Encoding, Error, ErrorCode};

use crate::calls::{put_error, put_value, sent};
use crate::errors;
use crate::events::{Event, Events};
use crate::records::{
    CANCELLED, SENT_NEVER, SERVED_END, SERVED_FAILED, SERVED_ITEM, SERVED_SENT, WANTED,
    WANTED_NO_LONGER, WANTED_NOT,
};
use crate::services::Inbound;
use crate::state::{self, Kind, State, token};

/// Time left travels in whole milliseconds, rounded up, and the caller's cancel takes a while: it may be here a little before its time.
const ROUNDING: Duration = Duration::from_millis(2);

/// A call of a peer's that was not answered yet.
pub(crate) struct Served {
    /// `None` once it is over. The number stays taken until JavaScript has answered, so that the answer cannot meet another call.
    connection: Option<Connection>,
    id: CallId,
    /// When the caller gives up.
    deadline: Option<Instant>,
    /// The metadata map, as MessagePack; empty for none.
    meta: Vec<u8>,
    /// Made when something of the call has to be waited for.
    waker: Option<Waker>,
    /// Items of the caller's that JavaScript would take now.
    wanted: u32,
    /// An item that waits for credit.
    sending: Option<Encoded>,
    /// JavaScript wants to hear of a cancel.
    watched: bool,
}

impl Served {
    pub(crate) fn new(
        connection: Connection,
        id: CallId,
        left: Option<Duration>,
        meta: &[u8],
    ) -> Self {
        Self {
            connection: Some(connection),
            id,
            deadline: left.and_then(|left| Instant::now().checked_add(left)),
            meta: meta.to_vec(),
            waker: None,
            wanted: 0,
            sending: None,
            watched: false,
        }
    }

    /// Where it came from, and its number there; nothing once the connection is over.
    pub(crate) fn place(&self) -> Option<(&Connection, CallId)> {
        self.connection.as_ref().map(|connection| (connection, self.id))
    }

    /// Whether the caller gave the call up because its time was over.
    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() + ROUNDING >= deadline)
    }
}

impl State {
    /// Answers a call with its result.
    pub(crate) fn answer(&mut self, at: usize, body: &[u8]) {
        if let Some((connection, id)) = self.answered(at) {
            let encoding = if body.is_empty() { Encoding::None } else { Encoding::Msgpack };
            connection.reply(id, Encoded::new(encoding, body.to_vec()));
        }
    }

    /// Answers a call with an error.
    pub(crate) fn fail(&mut self, at: usize, error: &Error) {
        if let Some((connection, id)) = self.answered(at) {
            connection.fail(id, error);
        }
    }

    /// The call's number is free again; where to send its answer, if anywhere.
    fn answered(&mut self, at: usize) -> Option<(Connection, CallId)> {
        let served = self.served.try_remove(at)?;
        Some((served.connection?, served.id))
    }

    /// Lets go of a connection that is over; handlers that want to hear of it do.
    pub(crate) fn leave(&mut self, over: &Connection) {
        for (at, served) in &mut self.served {
            if served.connection.as_ref().is_some_and(|connection| connection.same(over)) {
                served.connection = None;
                self.woken.push_back(token(Kind::Served, at));
            }
        }
    }

    fn served_waker(&mut self, at: usize) -> Option<(&mut Served, Waker)> {
        let hub = &self.hub;
        let served = self.served.get_mut(at)?;
        let waker = served.waker.get_or_insert_with(|| hub.waker(token(Kind::Served, at))).clone();
        Some((served, waker))
    }

    /// Looks at a call whose waker was woken, and writes what it has. False when there was no room for all of it.
    pub(crate) fn look_at_served(&mut self, at: usize, events: &mut Events<'_>) -> bool {
        let Some((served, waker)) = self.served_waker(at) else { return true };
        let late = served.is_late();
        let Served { connection, id, wanted, sending, watched, .. } = served;
        let Some(connection) = connection else {
            if std::mem::take(watched) {
                events.put(&Event { flags: u32::from(late), ..Event::new(CANCELLED, at) });
            }
            if sending.take().is_some() {
                events.put(&Event { flags: 1, ..Event::new(SERVED_SENT, at) });
            }
            if std::mem::take(wanted) > 0 {
                let error = Error::new(ErrorCode::ConnectionLost, "the caller is gone");
                put_error(events, SERVED_FAILED, at, &error);
            }
            return true;
        };
        if *watched && connection.poll_cancelled(*id, &waker).is_ready() {
            *watched = false;
            events.put(&Event { flags: u32::from(late), ..Event::new(CANCELLED, at) });
        }
        if let Some(item) = sending
            && let Poll::Ready(sent) =
                connection.poll_item_out(*id, item.encoding, &item.bytes, &waker)
        {
            *sending = None;
            events.put(&Event { flags: u32::from(sent.is_err()), ..Event::new(SERVED_SENT, at) });
        }
        while *wanted > 0 {
            if !events.has_room() {
                return false;
            }
            match connection.poll_item_in(*id, &waker) {
                Poll::Ready(Some(Ok(item))) => {
                    *wanted -= 1;
                    put_value(events, SERVED_ITEM, at, item);
                }
                Poll::Ready(Some(Err(error))) => {
                    *wanted = 0;
                    put_error(events, SERVED_FAILED, at, &error);
                }
                Poll::Ready(None) => {
                    *wanted = 0;
                    events.put(&Event::new(SERVED_END, at));
                }
                Poll::Pending => break,
            }
        }
        true
    }
}

/// Asks for up to `count` more items of a caller's stream; those that are here come with the turn that must follow.
#[napi]
pub(crate) fn pull_served(served: u32, count: u32) -> napi::Result<()> {
    state::with(|state| {
        if let Some(call) = state.served.get_mut(served as usize) {
            call.wanted = count;
            state.woken.push_back(token(Kind::Served, served as usize));
        }
        Ok(())
    })
}

/// Sends an item of an answer: 0 it is on its way, 1 it waits and an event will tell, 2 nobody wants it any more.
#[napi]
pub(crate) fn send_served(served: u32, item: &[u8]) -> napi::Result<u32> {
    state::with(|state| {
        let Some((call, waker)) = state.served_waker(served as usize) else {
            return Ok(SENT_NEVER);
        };
        let Some(connection) = &call.connection else { return Ok(SENT_NEVER) };
        let polled = connection.poll_item_out(call.id, Encoding::Msgpack, item, &waker);
        Ok(sent(&polled, item, &mut call.sending))
    })
}

/// Completes the stream of an answer, and with it the call.
#[napi]
pub(crate) fn end_served(served: u32) -> napi::Result<()> {
    state::with(|state| {
        if let Some((connection, id)) = state.answered(served as usize) {
            connection.end_items_out(id);
        }
        Ok(())
    })
}

/// Answers a call with an error, at once.
#[napi]
pub(crate) fn fail_served(served: u32, map: &[u8]) -> napi::Result<()> {
    state::with(|state| {
        state.fail(served as usize, &errors::from_map(map));
        Ok(())
    })
}

/// Asks to be told when the caller no longer wants the answer: 0 it still does, 1 it does not, 2 its time is over.
#[napi]
pub(crate) fn watch_served(served: u32) -> napi::Result<u32> {
    state::with(|state| {
        let Some((call, waker)) = state.served_waker(served as usize) else {
            return Ok(WANTED_NOT);
        };
        let wanted = match &call.connection {
            Some(connection) => connection.poll_cancelled(call.id, &waker).is_pending(),
            None => false,
        };
        call.watched = wanted;
        Ok(match (wanted, call.is_late()) {
            (true, _) => WANTED,
            (false, false) => WANTED_NOT,
            (false, true) => WANTED_NO_LONGER,
        })
    })
}

/// Tells the caller how far the work has come.
#[napi]
pub(crate) fn progress(
    served: u32,
    done: f64,
    total: Option<f64>,
    text: String,
) -> napi::Result<()> {
    state::with(|state| {
        if let Some(served) = state.served.get(served as usize)
            && let Some(connection) = &served.connection
        {
            // Counts of steps; what does not fit is cut off, as `as` does.
            connection.progress(served.id, done as u64, total.map(|total| total as u64), &text);
        }
        Ok(())
    })
}

/// The metadata that travels with a call that is not answered yet, as MessagePack.
#[napi]
pub(crate) fn meta(served: u32) -> napi::Result<Option<Buffer>> {
    state::with(|state| {
        let meta = state.served.get(served as usize).map(|call| call.meta.clone());
        Ok(meta.filter(|meta| !meta.is_empty()).map(Buffer::from))
    })
}

/// Who is at the other side, as it says itself.
#[napi(object)]
pub(crate) struct Peer {
    pub name: String,
    pub runtime: String,
    pub pid: u32,
}

/// Who makes a call, or sends a notification, of which `number` is the connection's; nothing once the connection is gone.
#[napi]
pub(crate) fn caller(number: u32, is_notification: bool) -> napi::Result<Option<Peer>> {
    state::with(|state| {
        let at = number as usize;
        let connection = if is_notification {
            state.inbound.get(at).map(Inbound::connection)
        } else {
            state.served.get(at).and_then(|call| call.connection.as_ref())
        };
        let peer = connection.and_then(Connection::peer);
        Ok(peer.map(|peer| Peer { name: peer.name, runtime: peer.runtime, pid: peer.pid }))
    })
}
