//! The link of a JSON peer, with what waits to be sent.

use std::collections::VecDeque;

use procall::transport::{Link, LinkError};

/// A link and the messages that it had no room for.
#[derive(Debug)]
pub(super) struct Wire {
    link: Box<dyn Link>,
    /// Few: who produces messages asks [`has_room`](Self::has_room) first, and one piece of news makes a handful.
    waiting: VecDeque<String>,
    /// Something has happened at the link since it was last looked at in earnest.
    news: bool,
}

impl Wire {
    pub(super) fn new(link: Box<dyn Link>) -> Self {
        Self { link, waiting: VecDeque::new(), news: false }
    }

    /// Whether a message of so many bytes may be sent at all.
    pub(super) fn fits(&self, len: usize) -> bool {
        len <= self.link.info().max_message
    }

    /// The peer is known: its messages may be long.
    pub(super) fn widen(&mut self) {
        self.link.limit(usize::MAX);
    }

    /// Whether the peer reads what is sent to it. While it does not, nothing is read from it, and nothing made for it.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends a message once there is room. One that is longer than the link allows must not come here; it is dropped.
    pub(super) fn send(&mut self, text: String) {
        if self.waiting.is_empty() && put(&mut *self.link, &text) {
            return;
        }
        self.waiting.push_back(text);
    }

    /// Hands to the kernel what it takes.
    pub(super) fn flush(&mut self) -> Result<(), LinkError> {
        loop {
            while let Some(text) = self.waiting.front() {
                if !put(&mut *self.link, text) {
                    break;
                }
                self.waiting.pop_front();
            }
            if !self.link.flush()? || self.waiting.is_empty() {
                return Ok(());
            }
        }
    }

    /// The link's readiness has fired.
    pub(super) fn note_news(&mut self) {
        self.news = true;
    }

    /// Reads the next message, if there is one.
    ///
    /// A link that found little the last time leaves the next look to its readiness. That has fired perhaps while nobody was reading, and does
    /// so only once: then the link is asked a second time.
    pub(super) fn receive<R>(
        &mut self,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, LinkError> {
        loop {
            match self.link.receive()? {
                Some(bytes) => return Ok(Some(read(bytes))),
                None if std::mem::take(&mut self.news) => {}
                None => return Ok(None),
            }
        }
    }

    /// Sends what the kernel takes now, and hangs up.
    pub(super) fn close(&mut self) {
        // A peer that is gone has no use for the rest.
        let _ = self.flush();
        self.link.close();
    }
}

/// Whether the message is settled: queued, or refused for good by a link that is over or too narrow for it.
fn put(link: &mut dyn Link, text: &str) -> bool {
    match link.buffer(text.len()) {
        Ok(Some(room)) => {
            room.copy_from_slice(text.as_bytes());
            link.commit();
            true
        }
        Ok(None) => false,
        Err(_) => true,
    }
}
