//! Going away without losing a call.
//!
//! Step 1 asks the peer to start no more calls; a ping then acts as a barrier: once its pong is back, every call that the peer sent before it
//! knew has arrived. Step 2 names the last call that will be served. When those are answered, the session is drained.

use std::borrow::Cow;

use super::event::{CallId, Event};
use super::{Session, clip};
use crate::{ErrorCode, Executed, Failure, Message, Time};

/// Longest text of an announcement, in bytes.
const MAX_TEXT: usize = 1 << 10;

#[derive(Debug, Default)]
pub(super) enum Drain {
    #[default]
    No,
    /// It began before the handshake was done: no call can be in flight, so the event was given; the peer is told in the handshake.
    Early { text: String },
    /// Step 1 is sent; the barrier is this ping.
    Announced { barrier: u64, text: String },
    /// Step 2 is sent.
    Final,
    /// The event was given.
    Done,
}

impl Session {
    /// Starts to go away: the peer is asked for no more calls, those in flight finish, then [`Event::Drained`] comes.
    /// Calls of our own may go on. A second drain does nothing.
    pub fn drain(&mut self, now: Time, text: &str) {
        if self.is_ended() || !matches!(self.drain, Drain::No) {
            return;
        }
        let text = clip(text, MAX_TEXT);
        if !self.is_ready() {
            self.drain = Drain::Early { text: text.to_owned() };
            self.events.push_back(Event::Drained);
            return;
        }
        self.outbox.control(&Message::Goaway { step: 1, last_id: 0, text });
        let barrier = self.send_ping(now);
        self.drain = Drain::Announced { barrier, text: text.to_owned() };
    }

    /// Tells the peer of a drain that began before the handshake was done.
    pub(super) fn announce_early_drain(&mut self) {
        if let Drain::Early { text } = &self.drain {
            self.outbox.control(&Message::Goaway { step: 2, last_id: 0, text });
            self.drain = Drain::Done;
        }
    }

    /// Whether a drain has begun.
    pub fn is_draining(&self) -> bool {
        !matches!(self.drain, Drain::No)
    }

    pub(super) fn drain_pong(&mut self, nonce: u64) {
        if let Drain::Announced { barrier, text } = &self.drain
            && *barrier == nonce
        {
            let message = Message::Goaway { step: 2, last_id: self.last_peer_id, text };
            self.outbox.control(&message);
            self.drain = Drain::Final;
            self.check_drained();
        }
    }

    /// Whether calls that arrive now are refused.
    pub(super) fn refuses_calls(&self) -> bool {
        matches!(self.drain, Drain::Final | Drain::Done)
    }

    pub(super) fn check_drained(&mut self) {
        if matches!(self.drain, Drain::Final)
            && self.serving.is_empty()
            && self.assembly.calls() == 0
        {
            self.drain = Drain::Done;
            self.events.push_back(Event::Drained);
        }
    }

    pub(super) fn handle_goaway<'a>(
        &mut self,
        step: u64,
        last_id: u64,
        text: &'a str,
    ) -> Option<Event<'a>> {
        let first = !std::mem::replace(&mut self.going_away, true);
        if step == 2 {
            let mut refused: Vec<CallId> =
                self.calling.keys().copied().filter(|&id| id > last_id).collect();
            refused.sort_unstable();
            for id in refused {
                self.fail_call(
                    id,
                    Failure::local(
                        ErrorCode::Unavailable,
                        format!("the peer is going away: {text}"),
                    ),
                    Executed::No,
                );
            }
        }
        first.then_some(Event::GoingAway { text: Cow::Borrowed(text) })
    }

    /// Whether the peer takes no new calls.
    pub fn is_going_away(&self) -> bool {
        self.going_away
    }
}
