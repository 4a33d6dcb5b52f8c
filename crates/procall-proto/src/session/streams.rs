//! Items, their credit and their end, for both sides of a call.

use super::Session;
use super::event::{Blocked, Body, CallId};
use super::outbox::more;
use crate::{Flags, Message, Time};

impl Session {
    /// Whether a stream has credit for one more item; when not, [`Event::Writable`](crate::Event::Writable) will say so.
    pub fn poll_writable(&mut self, id: CallId) -> Result<(), Blocked> {
        let own = self.is_own_id(id);
        let window = if own { self.calling_window(id) } else { self.serving_window(id) }
            .ok_or(Blocked::Over)?;
        if window.has_credit() { Ok(()) } else { Err(Blocked::Credit) }
    }

    /// Sends one value of a stream. Values longer than a body may be are a mistake of the caller: [`Blocked::Over`] is for the stream only, so check first.
    pub fn item(&mut self, id: CallId, body: Body<'_>) -> Result<(), Blocked> {
        let len = body.bytes().len();
        if self.is_own_id(id) {
            self.take_credit_in(id, len)?;
        } else {
            self.take_credit_out(id, len)?;
        }
        let encoding = body.encoding;
        match self.is_long(&body) {
            None => {
                let flags = Flags::default();
                let message =
                    Message::Item { id, encoding, flags, total: None, body: body.bytes() };
                self.outbox.holding(id, &message, body.held.clone());
            }
            Some(total) => {
                let flags = more(Flags::default());
                let message = Message::Item { id, encoding, flags, total: Some(total), body: &[] };
                self.outbox.long(id, &message, Self::into_bytes(body));
            }
        }
        Ok(())
    }

    /// Completes our stream. On a call of the peer's this is the answer; on a call of ours it is a half-close.
    pub fn end_stream(&mut self, now: Time, id: CallId) -> Result<(), Blocked> {
        let own = self.is_own_id(id);
        let count = if own { self.end_items_in(now, id) } else { self.end_items_out(id) };
        let count = count.ok_or(Blocked::Over)?;
        self.outbox.small(id, &Message::End { id, count });
        self.check_drained();
        Ok(())
    }

    /// Items of a stream were taken by the application: the peer may send more.
    pub fn consumed(&mut self, id: CallId, items: u32, bytes: usize) {
        let own = self.is_own_id(id);
        let credit = if own {
            self.consumed_out(id, items, bytes)
        } else {
            self.consumed_in(id, items, bytes)
        };
        if let Some((items, bytes)) = credit {
            self.outbox.control(&Message::Credit { id, items, bytes });
        }
    }
}
