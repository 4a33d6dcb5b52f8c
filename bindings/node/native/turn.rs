//! Events for JavaScript: many in one turn.

use napi::bindgen_prelude::{Buffer, BufferSlice};
use napi_derive::napi;

use crate::events::Events;
use crate::state::{self, Kind, State, parts};

/// Takes what the connections have and writes it into `array`: the number of events, doubled, plus 1 when there are more.
#[napi]
pub(crate) fn turn(mut array: BufferSlice<'_>) -> napi::Result<u32> {
    state::with(|state| {
        if state.woken.is_empty() {
            state.woken.extend(state.hub.turn());
            if state.hub.foreign_ready() {
                state.accept();
            }
        }
        let mut bodies = std::mem::take(&mut state.bodies);
        let mut events = Events::new(&mut array, &mut bodies);
        // Credit for items that are taken leaves together.
        procall::coalesce(|| state.fill(&mut events));
        let count = events.count() as u32;
        state.bodies = bodies;
        Ok(count * 2 + u32::from(!state.woken.is_empty()))
    })
}

impl State {
    fn fill(&mut self, events: &mut Events<'_>) {
        while let Some(&woken) = self.woken.front() {
            if !events.has_room() {
                return;
            }
            let complete = match parts(woken) {
                Some((Kind::Operation, at)) => self.look_at_operation(at, events),
                Some((Kind::Served, at)) => self.look_at_served(at, events),
                Some((Kind::Inbound, at)) => self.look_at_inbound(at, events),
                Some((Kind::Pool, at)) => self.look_at_pool(at, events),
                Some((Kind::Engine, at)) => self.look_at_engine(at, events),
                None => true,
            };
            if !complete {
                return;
            }
            self.woken.pop_front();
        }
    }
}

/// A body that was too long for the shared array.
#[napi]
pub(crate) fn take_body(number: u32) -> napi::Result<Buffer> {
    state::with(|state| {
        state
            .bodies
            .try_remove(number as usize)
            .map(Buffer::from)
            .ok_or_else(|| napi::Error::from_reason("this body was taken before"))
    })
}
