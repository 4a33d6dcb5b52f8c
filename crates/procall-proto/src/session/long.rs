//! Values of the peer's that come in more than one message.

use super::Session;
use super::assembly::Head;
use super::event::{CallId, Event, Payload, Reason};
use crate::{ErrorCode, Executed, Failure, Fault, Message, Time};

impl Session {
    /// Begins to collect a long reply or item; one that is not allowed makes its call fail.
    pub(super) fn begin_long<'a>(
        &mut self,
        now: Time,
        id: CallId,
        head: Head,
        total: u64,
        first: &[u8],
    ) -> Result<Option<Event<'a>>, Fault> {
        let reply = matches!(head, Head::Reply { .. });
        let wanted = if self.is_own_id(id) { self.calling_token(id).is_some() } else { !reply };
        if !wanted {
            // Nobody wants it, but a reply says that the peer is done with the call.
            return match head {
                Head::Reply { encoding } => self.handle_reply(id, encoding, Payload::Borrowed(&[])),
                _ => Ok(None),
            };
        }
        let Some(total) = self.body_len(total) else {
            let limit = self.config.limits.max_body;
            self.too_large(id, &format!("the value takes {total} bytes, the limit is {limit}"));
            return Ok(None);
        };
        let begun = self.assembly.begin(id, head, total, first);
        self.handle_chunked(now, id, begun)
    }

    /// A value from the peer is too long: the call it belongs to fails.
    pub(super) fn too_large(&mut self, id: CallId, message: &str) {
        if self.is_own_id(id) {
            self.outbox.control(&Message::Cancel { id, reason: 0 });
            self.fail_call(id, Failure::local(ErrorCode::ResultTooLarge, message), Executed::Yes);
        } else if self.serving.remove(&id).is_some() {
            // The handler has the call already, so that it did not run cannot be promised.
            self.events.push_back(Event::Cancelled { id, reason: Reason::Cancelled });
            self.refuse(id, ErrorCode::InvalidArgument, Executed::Maybe, message, None);
            self.check_drained();
        }
    }
}
