//! What the metadata of a call say to the router.

use std::sync::Arc;

use procall::wire::{Reader, Writer};

use crate::spans::Span;

/// The metadata by which the pool of a service that the engine starts learns which call its workers' lines belong to.
const ENGINE_CALL: &str = "procall.call";

/// The metadata with the trace context.
const TRACEPARENT: &str = "traceparent";

/// The metadata with the calls that wait for this one.
const CHAIN: &str = "chain";

/// The trace and span of metadata.
pub(super) fn traceparent(meta: &[u8]) -> Option<&str> {
    Wishes::read(meta).traceparent
}

/// What the metadata of a call say to the router, and the rest.
#[derive(Debug, Default)]
pub(crate) struct Wishes<'a> {
    /// The one peer that is to get it.
    pub(crate) to: Option<&'a str>,
    /// Calls with the same key go to the same worker.
    pub(crate) key: Option<&'a str>,
    /// The version of the service.
    pub(crate) version: Option<&'a str>,
    /// A call waits for a worker while there is none.
    pub(crate) wait: bool,
    /// A notification goes to everybody who listens.
    pub(crate) broadcast: bool,
    /// A notification goes to all who serve the method, a call gives the answers of all.
    pub(crate) all: bool,
    /// The trace and span that the call was made in, as W3C has it.
    pub(crate) traceparent: Option<&'a str>,
    /// The spans of the call, where they are wanted: the work on it is a child of ours.
    pub(crate) span: Option<Arc<Span>>,
    /// A call with a key that was seen before gets the outcome of that one.
    pub(crate) idempotency_key: Option<&'a str>,
    /// The calls that wait for this one, as they stand there.
    pub(crate) chain: Option<&'a [u8]>,
    rest: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Wishes<'a> {
    /// Entries of other types than ours are the users' own.
    pub(crate) fn read(meta: &'a [u8]) -> Self {
        let mut wishes = Self::default();
        if meta.is_empty() {
            return wishes;
        }
        let mut reader = Reader::new(meta);
        // The session has checked the map already.
        for _ in 0..reader.map().unwrap_or(0) {
            let Ok(name) = reader.text("a name") else { break };
            let Ok(value) = reader.skip_any() else { break };
            wishes.note(name, value);
        }
        wishes
    }

    fn note(&mut self, name: &'a str, value: &'a [u8]) {
        let text = || Reader::new(value).text("a text").ok();
        let truth = || value == [0xc3];
        match name {
            "to" if text().is_some() => self.to = text(),
            "key" if text().is_some() => self.key = text(),
            "version" if text().is_some() => self.version = text(),
            "wait" if truth() => self.wait = true,
            TRACEPARENT if text().is_some() => self.traceparent = text(),
            "broadcast" if truth() => self.broadcast = true,
            "all" if truth() => self.all = true,
            "idempotency_key" if text().is_some() => {
                self.idempotency_key = text();
                // The worker may have a memory of its own.
                self.rest.push((name, value));
            }
            CHAIN => {
                self.chain = Some(value);
                self.rest.push((name, value));
            }
            // Nobody says for himself who he is.
            "from" | ENGINE_CALL => {}
            _ => self.rest.push((name, value)),
        }
    }

    /// The metadata as they go on: with the true sender, and without what the router has obeyed, but for the key, and for whether all others get it too.
    pub(crate) fn sent(&self, from: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(48);
        let mut writer = Writer::new(&mut bytes);
        let broadcast = self.broadcast && self.to.is_none();
        let onward = self.span.as_ref().map(|span| span.onward());
        let trace = onward.as_deref().or(self.traceparent);
        let more = usize::from(broadcast) + usize::from(self.key.is_some());
        let more = more + usize::from(trace.is_some());
        writer.map(self.rest.len() + 1 + more).text("from").text(from);
        // A worker that is a pool has workers of its own to choose from.
        if let Some(key) = self.key {
            writer.text("key").text(key);
        }
        if let Some(trace) = trace {
            writer.text(TRACEPARENT).text(trace);
        }
        if broadcast {
            writer.text("broadcast").boolean(true);
        }
        for (name, value) in &self.rest {
            writer.text(name).raw(value);
        }
        bytes
    }
}

/// Metadata that go on, and this call's number besides.
pub(super) fn numbered(meta: &[u8], number: u64) -> Vec<u8> {
    let mut reader = Reader::new(meta);
    // They were written above.
    let entries = reader.map().unwrap_or(0);
    let mut bytes = Vec::with_capacity(meta.len() + 24);
    let mut writer = Writer::new(&mut bytes);
    writer.map(entries + 1).text(ENGINE_CALL).uint(number).raw(reader.rest());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_call_joins_the_rest_and_nobody_else_gives_it() {
        let mut meta = Vec::new();
        Writer::new(&mut meta).map(2).text(ENGINE_CALL).uint(99).text("trace").uint(7);
        let sent = Wishes::read(&meta).sent("me");
        let mut expected = Vec::new();
        let mut writer = Writer::new(&mut expected);
        writer.map(3).text(ENGINE_CALL).uint(5).text("from").text("me").text("trace").uint(7);
        assert_eq!(numbered(&sent, 5), expected);
    }

    #[test]
    fn what_is_obeyed_does_not_go_on_and_the_sender_is_the_true_one() {
        let mut meta = Vec::new();
        let mut writer = Writer::new(&mut meta);
        writer.map(5).text("to").text("calc").text("from").text("forged").text("trace").uint(7);
        writer.text("key").uint(3).text("wait").raw(&[0xc3]);
        let wishes = Wishes::read(&meta);
        assert_eq!((wishes.to, wishes.key, wishes.wait), (Some("calc"), None, true));
        let mut expected = Vec::new();
        let mut writer = Writer::new(&mut expected);
        writer.map(3).text("from").text("me").text("trace").uint(7).text("key").uint(3);
        assert_eq!(wishes.sent("me"), expected);
    }
}
