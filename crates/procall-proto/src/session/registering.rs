//! Telling the peer what is served.

use super::event::{Body, CallId, Event};
use super::{Session, Stage, clip};
use crate::{Encoding, ErrorCode, Executed, Failure, Fault, Message};

impl Session {
    /// Tells the peer what this side serves; [`Event::Registered`] is its answer. One registration at a time.
    pub fn register(&mut self, body: Body<'_>) -> Result<(), Failure> {
        if let Stage::Ended(code) = self.stage {
            return Err(
                Failure::local(code, "the connection is closed").with_executed(Executed::No)
            );
        }
        let theirs = self.peer.as_ref().map_or(usize::MAX, |peer| peer.max_message);
        let limit = self.config.limits.max_message.min(theirs).saturating_sub(64);
        if body.bytes().len() > limit {
            return Err(Failure::local(
                ErrorCode::InvalidArgument,
                format!(
                    "the registration takes {} bytes, the limit is {limit}",
                    body.bytes().len()
                ),
            ));
        }
        if self.registering.is_some() {
            return Err(Failure::local(
                ErrorCode::InvalidArgument,
                "a registration is under way already",
            ));
        }
        let id = self.take_id();
        self.registering = Some(id);
        self.outbox
            .small(id, &Message::Register { id, encoding: body.encoding, body: body.bytes() });
        Ok(())
    }

    /// Whether a registration waits for the peer's answer.
    pub fn is_registering(&self) -> bool {
        self.registering.is_some()
    }

    /// Answers a registration of the peer's. A refusal may bring an error map besides its message; one that is longer than a chunk gives way to
    /// the message alone.
    pub fn registered(&mut self, id: CallId, result: Result<(), (ErrorCode, &str, &[u8])>) {
        if self.is_ended() {
            return;
        }
        let mut map = Vec::new();
        let code = match result {
            Ok(()) => 0,
            Err((code, message, details)) => {
                if details.is_empty() || details.len() > self.outbox.chunk() {
                    let message = clip(message, self.outbox.chunk());
                    crate::wire::Writer::new(&mut map).map(1).text("message").text(message);
                } else {
                    map.extend_from_slice(details);
                }
                code.number().into()
            }
        };
        self.outbox.small(id, &Message::Registered { id, code, body: &map });
    }

    pub(super) fn handle_registered(
        &mut self,
        id: CallId,
        code: u64,
        body: &[u8],
    ) -> Result<Option<Event<'static>>, Fault> {
        if self.registering.take() != Some(id) {
            return Err(Fault::protocol(format!(
                "an answer came for registration {id}, which was never made"
            )));
        }
        let failure = || Failure {
            code: u16::try_from(code)
                .ok()
                .and_then(ErrorCode::from_number)
                .unwrap_or(ErrorCode::Internal),
            executed: Executed::No,
            encoding: Encoding::Msgpack,
            body: body.to_vec(),
            message: String::new(),
        };
        Ok(Some(Event::Registered { result: if code == 0 { Ok(()) } else { Err(failure()) } }))
    }
}
