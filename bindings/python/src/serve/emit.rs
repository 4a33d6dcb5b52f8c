//! Answers that are streams: generators of plain handlers, each advanced as far as its reader has room.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use procall::{Blocked, CallId, Connection, Encoded};
use pyo3::prelude::*;

use super::current;
use super::outcome::Outcome;

/// How long one generator may go on before calls and other generators get a turn.
const TURN: Duration = Duration::from_millis(1);

/// A generator that answers a call.
pub(super) struct Emitter {
    connection: Connection,
    id: CallId,
    generator: Py<PyAny>,
    outcome: Arc<Outcome>,
    /// Made, but its reader had no room.
    held: Option<Encoded>,
}

/// How far a generator has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has more to give.
    More,
    /// Its reader has no room; the waker will tell.
    Blocked,
    Over,
}

impl Emitter {
    pub(super) fn new(
        connection: Connection,
        id: CallId,
        generator: Py<PyAny>,
        outcome: Arc<Outcome>,
    ) -> Self {
        Self { connection, id, generator, outcome, held: None }
    }

    /// Gives items for a while. Exceptions that are no `Exception`, such as `KeyboardInterrupt`, end the service.
    pub(super) fn advance(&mut self, py: Python<'_>, waker: &Waker) -> PyResult<Progress> {
        let end = Instant::now() + TURN;
        loop {
            let item = match self.held.take() {
                Some(item) => item,
                None => match self.next(py)? {
                    Some(item) => item,
                    None => return Ok(Progress::Over),
                },
            };
            match self.connection.poll_value_out(self.id, &item, waker) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(Blocked::Over)) => {
                    self.close(py);
                    return Ok(Progress::Over);
                }
                Poll::Ready(Err(Blocked::Credit)) | Poll::Pending => {
                    self.held = Some(item);
                    return Ok(Progress::Blocked);
                }
            }
            if Instant::now() >= end {
                return Ok(Progress::More);
            }
        }
    }

    /// The next item, encoded; `None` when the answer is complete.
    fn next(&mut self, py: Python<'_>) -> PyResult<Option<Encoded>> {
        if !self.connection.is_wanted(self.id) {
            self.close(py);
            return Ok(None);
        }
        // Once the stream is open, another deadline holds, or none.
        let remaining = self.connection.remaining(self.id);
        let generator = self.generator.bind(py);
        let next = current::within(&self.connection, Some(self.id), remaining, || {
            generator.try_iter().and_then(|mut items| items.next().transpose())
        });
        match next {
            Ok(Some(value)) => match self.outcome.encode(&self.connection, &value, "the item") {
                Ok(item) => Ok(Some(item)),
                Err(error) => {
                    self.connection.fail(self.id, &error);
                    self.close(py);
                    Ok(None)
                }
            },
            Ok(None) => {
                self.connection.end_items_out(self.id);
                Ok(None)
            }
            Err(raised) => {
                self.connection.fail(self.id, &self.outcome.failed(py, &raised));
                super::pass_on(py, raised).map(|()| None)
            }
        }
    }

    /// The service ends before the stream does.
    pub(super) fn end(&self, py: Python<'_>) {
        self.close(py);
    }

    /// Runs the generator's `finally` blocks. A call that is no longer wanted is answered all the same.
    fn close(&self, py: Python<'_>) {
        if let Err(raised) = self.generator.call_method0(py, pyo3::intern!(py, "close")) {
            raised.write_unraisable(py, Some(self.generator.bind(py)));
        }
        self.connection.fail(self.id, &super::unwanted(procall::Executed::Yes));
    }
}
