//! What the metadata of a call say to the router.

use procall::wire::{Reader, Writer};

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
    /// A call with a key that was seen before gets the outcome of that one.
    pub(crate) idempotency_key: Option<&'a str>,
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
            "broadcast" if truth() => self.broadcast = true,
            "all" if truth() => self.all = true,
            "idempotency_key" if text().is_some() => {
                self.idempotency_key = text();
                // The worker may have a memory of its own.
                self.rest.push((name, value));
            }
            // Nobody says for himself who he is.
            "from" => {}
            _ => self.rest.push((name, value)),
        }
    }

    /// The metadata as they go on: with the true sender, and without what the router has obeyed, but for the key, and for whether all others get it too.
    pub(crate) fn sent(&self, from: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(48);
        let mut writer = Writer::new(&mut bytes);
        let broadcast = self.broadcast && self.to.is_none();
        let more = usize::from(broadcast) + usize::from(self.key.is_some());
        writer.map(self.rest.len() + 1 + more).text("from").text(from);
        // A worker that is a pool has workers of its own to choose from.
        if let Some(key) = self.key {
            writer.text("key").text(key);
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

#[cfg(test)]
mod tests {
    use super::*;

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
