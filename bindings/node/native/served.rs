//! Calls of peers, from their arrival to our answer.

use std::task::{Poll, Waker};

use napi_derive::napi;
use procall::{CallId, Connection, Encoded, Encoding, Error};

use crate::calls::{put_error, put_value};
use crate::errors;
use crate::events::{Event, Events};
use crate::records::{
    CANCELLED, SENT_LATER, SENT_NEVER, SENT_NOW, SERVED_END, SERVED_FAILED, SERVED_ITEM,
    SERVED_SENT,
};
use crate::state::{self, Kind, State, token};

/// A call of a peer's that was not answered yet.
pub(crate) struct Served {
    pub(crate) connection: Connection,
    pub(crate) id: CallId,
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
    pub(crate) fn new(connection: Connection, id: CallId) -> Self {
        Self { connection, id, waker: None, wanted: 0, sending: None, watched: false }
    }
}

impl State {
    /// Answers a call with its result.
    pub(crate) fn answer(&mut self, at: usize, body: &[u8]) {
        if let Some(served) = self.served.try_remove(at) {
            let encoding = if body.is_empty() { Encoding::None } else { Encoding::Msgpack };
            served.connection.reply(served.id, Encoded { encoding, bytes: body.to_vec() });
        }
    }

    /// Answers a call with an error.
    pub(crate) fn fail(&mut self, at: usize, error: &Error) {
        if let Some(served) = self.served.try_remove(at) {
            served.connection.fail(served.id, error);
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
        let Served { connection, id, wanted, sending, watched, .. } = served;
        if *watched && connection.poll_cancelled(*id, &waker).is_ready() {
            *watched = false;
            events.put(&Event::new(CANCELLED, at));
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
        Ok(match call.connection.poll_item_out(call.id, Encoding::Msgpack, item, &waker) {
            Poll::Ready(Ok(())) => SENT_NOW,
            Poll::Ready(Err(_)) => SENT_NEVER,
            Poll::Pending => {
                call.sending = Some(Encoded { encoding: Encoding::Msgpack, bytes: item.to_vec() });
                SENT_LATER
            }
        })
    })
}

/// Completes the stream of an answer, and with it the call.
#[napi]
pub(crate) fn end_served(served: u32) -> napi::Result<()> {
    state::with(|state| {
        if let Some(served) = state.served.try_remove(served as usize) {
            served.connection.end_items_out(served.id);
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

/// Asks to be told when the caller no longer wants the answer; true when that is so already.
#[napi]
pub(crate) fn watch_served(served: u32) -> napi::Result<bool> {
    state::with(|state| {
        let Some((call, waker)) = state.served_waker(served as usize) else { return Ok(true) };
        call.watched = call.connection.poll_cancelled(call.id, &waker).is_pending();
        Ok(!call.watched)
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
        if let Some(served) = state.served.get(served as usize) {
            // Counts of steps; what does not fit is cut off, as `as` does.
            served.connection.progress(
                served.id,
                done as u64,
                total.map(|total| total as u64),
                &text,
            );
        }
        Ok(())
    })
}
