//! Looks on while a call passes.

use std::sync::Arc;

use procall::{Encoded, Ending, Error, ErrorCode, Onlooker, Started};

use super::{Core, Tally, Ticket, admission};

/// A call between its client and its worker.
pub(super) struct Passage {
    core: Arc<Core>,
    ticket: Arc<Ticket>,
    tally: Arc<Tally>,
    /// The outcome was counted.
    over: bool,
}

impl Passage {
    pub(super) fn new(core: Arc<Core>, ticket: Arc<Ticket>, tally: Arc<Tally>) -> Self {
        core.meter.begin();
        tally.begin();
        Self { core, ticket, tally, over: false }
    }
}

impl Onlooker for Passage {
    fn value(&mut self, value: &Encoded) -> Result<(), Error> {
        if !self.core.settings.validate {
            return Ok(());
        }
        let chosen = self.ticket.chosen();
        match &chosen.offer {
            Some(offer) => admission::check_result(offer, value, chosen.worker.as_deref()),
            None => Ok(()),
        }
    }

    fn failed(&mut self, error: Error) -> Result<Started, Error> {
        let worker = self.ticket.chosen().worker.clone();
        self.core.again(&self.ticket, error).map_err(|error| match worker {
            // To the caller the engine's connection to the worker means nothing: the worker is lost.
            Some(worker)
                if matches!(error.code(), ErrorCode::ConnectionLost | ErrorCode::Closed) =>
            {
                let executed = error.executed();
                Error::new(ErrorCode::WorkerLost, format!("{worker} has gone: {}", error.message()))
                    .with_executed(executed)
                    .with_worker(&*worker)
            }
            Some(worker) if error.worker().is_none() => error.with_worker(&*worker),
            _ => error,
        })
    }

    fn ended(&mut self, error: Option<&Error>) {
        let ending = match error {
            None => Ending::Succeeded,
            Some(error) if error.code() == ErrorCode::Cancelled => Ending::Cancelled,
            Some(_) => Ending::Failed,
        };
        let took = self.ticket.waited();
        self.core.meter.end(took, ending);
        self.tally.end(took, error.map(Error::code));
        self.over = true;
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.core.lock().calls.remove(&self.ticket.number);
        if !self.over {
            // Refused before anybody had it; by which code, is counted where the caller is told.
            self.core.meter.refuse();
        }
        self.tally.leave();
    }
}
