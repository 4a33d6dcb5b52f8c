//! Calls and other operations of ours, from their start to their outcome.

use std::task::{Poll, Waker};

use napi_derive::napi;
use procall::{Blocked, Encoded, Encoding, Error, ErrorCode, Executed, Progress, Started, json};

use crate::attaching::Attaching;
use crate::channels::{self, Channel, Opening};
use crate::errors;
use crate::events::{Event, Events};
use crate::pools::{Doing, Spawning};
use crate::records::{
    DONE, END, FAILED, ITEM, PAUSE, PROGRESS, REPLY, SENT, SENT_LATER, SENT_NEVER, SENT_NOW,
};
use crate::state::{self, Kind, State, token};

/// Something of ours whose outcome JavaScript waits for.
#[derive(Default)]
pub(crate) enum Operation {
    #[default]
    Free,
    Call(Call),
    Opening(Box<Opening>),
    Attaching(Box<Attaching>),
    Spawning(Spawning),
    Doing(Doing),
    /// The outcome, of which JavaScript is to be told.
    Over(Result<Encoded, Error>),
}

/// A call under way.
pub(crate) struct Call {
    started: Started,
    waker: Waker,
    items_out: bool,
    wants_progress: bool,
    /// Items of the answer that JavaScript would take now.
    wanted: u32,
    /// An item that waits for credit.
    sending: Option<Encoded>,
}

impl State {
    /// Puts an operation under a number that JavaScript gave.
    pub(crate) fn begin(&mut self, id: usize, operation: Operation) {
        if self.operations.len() <= id {
            self.operations.resize_with(id + 1, Operation::default);
        }
        if matches!(operation, Operation::Over(_)) {
            self.woken.push_back(token(Kind::Operation, id));
        }
        self.operations[id] = operation;
        self.busy += 1;
    }

    /// Forgets an operation, and cancels it if it is under way.
    pub(crate) fn forget(&mut self, id: usize) {
        if let Some(operation) = self.operations.get_mut(id)
            && !matches!(std::mem::take(operation), Operation::Free)
        {
            self.busy -= 1;
        }
    }

    /// Keeps a call that was started, or the reason why it was not.
    pub(crate) fn begin_call(
        &mut self,
        id: usize,
        started: Result<Started, Error>,
        items_out: bool,
        wants_progress: bool,
    ) {
        let operation = match started {
            Ok(mut started) => {
                let waker = self.hub.waker(token(Kind::Operation, id));
                // A stream is polled when JavaScript asks for an item.
                let polled = if items_out { Poll::Pending } else { started.poll_reply(&waker) };
                match polled {
                    Poll::Ready(outcome) => Operation::Over(outcome),
                    Poll::Pending => Operation::Call(Call {
                        started,
                        waker,
                        items_out,
                        wants_progress,
                        wanted: 0,
                        sending: None,
                    }),
                }
            }
            Err(error) => Operation::Over(Err(error)),
        };
        self.begin(id, operation);
    }

    /// Looks at an operation whose waker was woken, and writes what it has. False when there was no room for all of it.
    pub(crate) fn look_at_operation(&mut self, id: usize, events: &mut Events<'_>) -> bool {
        let Some(operation) = self.operations.get_mut(id) else { return true };
        let outcome = match operation {
            Operation::Free => return true,
            Operation::Call(call) => match call.look(id, events) {
                Look::Over(outcome) => outcome,
                Look::Nothing => return true,
                Look::NoRoom => return false,
            },
            Operation::Over(outcome) => {
                let taken =
                    std::mem::replace(outcome, Ok(Encoded::new(Encoding::None, Vec::new())));
                taken.map(Some)
            }
            Operation::Attaching(attaching) => match attaching.look() {
                Poll::Pending => return true,
                Poll::Ready(attached) => return self.attached(id, attached, events),
            },
            Operation::Doing(doing) => match doing.look() {
                Poll::Pending => return true,
                Poll::Ready(done) => done.map(Some),
            },
            Operation::Opening(opening) => match opening.look(&self.hub) {
                channels::Look::Nothing => return true,
                channels::Look::Pause(pause) => {
                    // In whole milliseconds, rounded up, and no more than a timer of JavaScript can take.
                    let pause = pause.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128);
                    events.put(&Event { extra: [pause as u32, 0], ..Event::new(PAUSE, id) });
                    return true;
                }
                channels::Look::Over(opened) => return self.opened(id, opened, events),
            },
            Operation::Spawning(spawning) => match spawning.look(&self.hub) {
                Poll::Pending => return true,
                Poll::Ready(spawned) => return self.opened(id, spawned, events),
            },
        };
        self.forget(id);
        match outcome {
            Ok(Some(value)) => put_value(events, REPLY, id, value),
            Ok(None) => events.put(&Event::new(END, id)),
            Err(error) => put_error(events, FAILED, id, &error),
        }
        true
    }

    fn opened(
        &mut self,
        id: usize,
        opened: Result<Channel, Error>,
        events: &mut Events<'_>,
    ) -> bool {
        self.forget(id);
        match opened {
            Ok(channel) => {
                let channel = self.channels.insert(channel);
                events.put(&Event { extra: [channel as u32, 0], ..Event::new(DONE, id) });
            }
            Err(error) => put_error(events, FAILED, id, &error),
        }
        true
    }
}

enum Look {
    /// The reply, the end of a stream (`None`), or the error.
    Over(Result<Option<Encoded>, Error>),
    Nothing,
    NoRoom,
}

impl Call {
    /// Whether no worker has it. Looked at anew, since a worker may have taken it since the last look; a report of progress is lost to that.
    fn is_queued(&mut self) -> bool {
        let _ = self.started.poll_progress(&self.waker);
        self.started.is_queued()
    }

    fn look(&mut self, id: usize, events: &mut Events<'_>) -> Look {
        if self.wants_progress {
            // Reports are merged on the way, so at most one is new; its waker is the same.
            if let Poll::Ready(Some(progress)) = self.started.poll_progress(&self.waker) {
                events.put_body(
                    &Event::new(PROGRESS, id),
                    Encoding::Msgpack,
                    &progress_body(&progress),
                );
            }
        }
        if let Some(item) = &self.sending
            && let Poll::Ready(sent) =
                self.started.poll_send(item.encoding, &item.bytes, &self.waker)
        {
            self.sending = None;
            events.put(&Event { flags: u32::from(sent.is_err()), ..Event::new(SENT, id) });
        }
        if !self.items_out {
            return match self.started.poll_reply(&self.waker) {
                Poll::Ready(outcome) => Look::Over(outcome.map(Some)),
                Poll::Pending => Look::Nothing,
            };
        }
        while self.wanted > 0 {
            if !events.has_room() {
                return Look::NoRoom;
            }
            match self.started.poll_item(&self.waker) {
                Poll::Ready(Some(Ok(item))) => {
                    self.wanted -= 1;
                    put_value(events, ITEM, id, item);
                }
                Poll::Ready(Some(Err(error))) => return Look::Over(Err(error)),
                Poll::Ready(None) => return Look::Over(Ok(None)),
                Poll::Pending => break,
            }
        }
        Look::Nothing
    }
}

/// Writes a value that came from a peer; JSON becomes MessagePack, the only encoding that JavaScript decodes.
pub(crate) fn put_value(events: &mut Events<'_>, kind: u32, id: usize, mut value: Encoded) {
    // JSON that is none is left as it is: JavaScript refuses the encoding.
    if value.encoding == Encoding::Json
        && let Ok(bytes) = json::from_json(&value.bytes)
    {
        value = Encoded::new(Encoding::Msgpack, bytes);
    }
    events.put_own(&Event::new(kind, id), value);
}

pub(crate) fn put_error(events: &mut Events<'_>, kind: u32, id: usize, error: &Error) {
    let map = Encoded::new(Encoding::Msgpack, errors::to_map(error));
    events.put_own(&Event::new(kind, id), map);
}

fn progress_body(progress: &Progress) -> Vec<u8> {
    let mut body = Vec::new();
    let fields = (progress.done, progress.total, &progress.text);
    // Numbers and a text always encode into memory.
    let _ = serde::Serialize::serialize(&fields, &mut rmp_serde::Serializer::new(&mut body));
    body
}

/// Asks for up to `count` more items of a call's answer; those that are here come with the turn that must follow.
#[napi]
pub(crate) fn pull(id: u32, count: u32) -> napi::Result<()> {
    state::with(|state| {
        if let Some(Operation::Call(call)) = state.operations.get_mut(id as usize) {
            call.wanted = count;
        }
        state.woken.push_back(token(Kind::Operation, id as usize));
        Ok(())
    })
}

/// Sends an item of a call's stream: 0 it is on its way, 1 it waits and an event will tell, 2 the call is over.
#[napi]
pub(crate) fn send(id: u32, item: &[u8]) -> napi::Result<u32> {
    state::with(|state| {
        let Some(Operation::Call(call)) = state.operations.get_mut(id as usize) else {
            return Ok(SENT_NEVER);
        };
        let polled = call.started.poll_send(Encoding::Msgpack, item, &call.waker);
        Ok(sent(&polled, item, &mut call.sending))
    })
}

/// What sending an item came to. One that has to wait is kept.
pub(crate) fn sent(
    polled: &Poll<Result<(), Blocked>>,
    item: &[u8],
    kept: &mut Option<Encoded>,
) -> u32 {
    match polled {
        Poll::Ready(Ok(())) => SENT_NOW,
        Poll::Ready(Err(_)) => SENT_NEVER,
        Poll::Pending => {
            *kept = Some(Encoded::new(Encoding::Msgpack, item.to_vec()));
            SENT_LATER
        }
    }
}

/// A call's stream is complete.
#[napi]
pub(crate) fn end_items(id: u32) -> napi::Result<()> {
    state::with(|state| {
        if let Some(Operation::Call(call)) = state.operations.get_mut(id as usize) {
            call.started.end_items();
        }
        Ok(())
    })
}

/// Asks for a call to end; its outcome will say so.
#[napi]
pub(crate) fn cancel(id: u32) -> napi::Result<()> {
    state::with(|state| {
        let at = id as usize;
        let Some(operation) = state.operations.get_mut(at) else { return Ok(()) };
        let gone = match operation {
            Operation::Call(call) => {
                if !call.is_queued() {
                    call.started.cancel();
                    return Ok(());
                }
                // Dropping it takes it from the queue.
                "the call was cancelled while it waited for a worker"
            }
            Operation::Opening(_) | Operation::Attaching(_) | Operation::Spawning(_) => {
                "this is no longer wanted"
            }
            Operation::Free | Operation::Doing(_) | Operation::Over(_) => return Ok(()),
        };
        *operation = Operation::Over(Err(
            Error::new(ErrorCode::Cancelled, gone).with_executed(Executed::No)
        ));
        state.woken.push_back(token(Kind::Operation, at));
        Ok(())
    })
}

/// Drops a call: it is cancelled, and nothing more is told of it.
#[napi]
pub(crate) fn abandon(id: u32) -> napi::Result<()> {
    state::with(|state| {
        state.forget(id as usize);
        Ok(())
    })
}
