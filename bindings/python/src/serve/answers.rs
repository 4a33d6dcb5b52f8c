//! Answers that leave together.

use std::time::{Duration, Instant};

use procall::{CallId, Connection, Encoded, Error};

/// How long an answer may wait for its siblings.
const HOLD: Duration = Duration::from_micros(100);

/// The answers to one connection's batch, kept back so that they leave in one write.
pub(super) struct Answers<'a> {
    connection: &'a Connection,
    held: &'a mut Vec<(CallId, Result<Encoded, Error>)>,
    since: Instant,
}

impl<'a> Answers<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        held: &'a mut Vec<(CallId, Result<Encoded, Error>)>,
        now: Instant,
    ) -> Self {
        Self { connection, held, since: now }
    }

    pub(super) fn push(&mut self, id: CallId, answer: Result<Encoded, Error>) {
        self.held.push((id, answer));
    }

    /// Sends them if the oldest has waited long enough.
    pub(super) fn flush_due(&mut self, now: Instant) {
        if now.duration_since(self.since) > HOLD {
            self.flush();
            self.since = now;
        }
    }

    pub(super) fn flush(&mut self) {
        if !self.held.is_empty() {
            self.connection.answer_all(self.held);
        }
    }
}
