//! Looks on while a call passes.

use std::sync::Arc;
use std::time::Duration;

use procall::{Encoded, Ending, Error, ErrorCode, Onlooker, Started};
use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::keeping::Keeper;
use super::{Core, Tally, Ticket, admission};
use crate::record::{CallRecord, OnCall};
use crate::spans::{Ended as Spanned, Told};

/// A call between its client and its worker.
pub(super) struct Passage {
    core: Arc<Core>,
    ticket: Arc<Ticket>,
    tally: Arc<Tally>,
    /// Remembers the outcome of a call with an idempotency key.
    keeper: Option<Keeper>,
    /// The outcome was counted.
    over: bool,
}

impl Passage {
    pub(super) fn new(
        core: Arc<Core>,
        ticket: Arc<Ticket>,
        tally: Arc<Tally>,
        keeper: Option<Keeper>,
    ) -> Self {
        core.meter.begin();
        tally.begin();
        Self { core, ticket, tally, keeper, over: false }
    }
}

impl Onlooker for Passage {
    fn value(&mut self, value: &Encoded) -> Result<(), Error> {
        if let Some(keeper) = &mut self.keeper {
            keeper.value(value);
        }
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
        // Before another worker is chosen: the error is about this one.
        let worker = self.ticket.chosen().worker.clone();
        self.core.again(&self.ticket, error).map_err(|error| told(worker, error))
    }

    fn told(&mut self, error: Error) -> Error {
        told(self.ticket.chosen().worker.clone(), error)
    }

    fn ended(&mut self, error: Option<&Error>) {
        let ending = match error {
            None => Ending::Succeeded,
            Some(error) if error.code() == ErrorCode::Cancelled => Ending::Cancelled,
            Some(_) => Ending::Failed,
        };
        if let Some(keeper) = self.keeper.take() {
            keeper.end(error);
        }
        let total = self.ticket.waited();
        self.core.meter.end(total, ending);
        self.tally.end(total, error.map(Error::code));
        self.over = true;
        if !self.core.is_recorded() {
            return;
        }
        let level = if error.is_some() { Level::WARN } else { Level::INFO };
        // Who looks at the engine is no traffic.
        let own = self.ticket.method.starts_with(admission::RESERVED);
        let logged = level <= LevelFilter::current() && !own;
        let span = self.core.exporter.as_ref().zip(self.ticket.span.clone());
        if !logged && span.is_none() && self.core.settings.on_call.is_none() {
            return;
        }
        let record = self.record(total, error);
        if logged {
            record.log();
        }
        if let Some((exporter, span)) = span {
            exporter.tell(Told::Passage(Spanned {
                span,
                call: record.call,
                method: record.method.clone(),
                worker: record.worker.clone(),
                attempts: record.attempts,
                queued: record.queued,
                worked: record.worked,
                failure: record.failure,
            }));
        }
        if let Some(OnCall(tell)) = &self.core.settings.on_call {
            tell(&record);
        }
    }
}

impl Core {
    /// Whether anybody wants to know what becomes of calls. Without anybody who collects events, this is one look at a number.
    pub(super) fn is_recorded(&self) -> bool {
        Level::WARN <= LevelFilter::current()
            || self.exporter.is_some()
            || self.settings.on_call.is_some()
    }
}

impl Passage {
    /// It ends here, before anybody has it, and its caller is told this.
    pub(super) fn refused(&mut self, error: &Error) {
        if let Some(keeper) = self.keeper.take() {
            keeper.end(Some(error));
        }
    }

    fn record(&self, total: Duration, error: Option<&Error>) -> CallRecord {
        let chosen = self.ticket.chosen().clone();
        let queued = chosen.started.map_or(total, |started| started - self.ticket.since);
        let state = self.core.lock();
        let client = state.peers.get(&self.ticket.client).map(|peer| peer.id.clone());
        CallRecord {
            call: self.ticket.number,
            method: self.ticket.method.clone(),
            client: client.unwrap_or_default(),
            worker: chosen.worker,
            attempts: chosen.attempts,
            queued,
            worked: total.saturating_sub(queued),
            wire: chosen.wire,
            trace: self.ticket.trace(),
            failure: error.map(|error| (error.code(), error.executed())),
            in_flight: state.calls.len().saturating_sub(1),
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.core.lock().calls.remove(&self.ticket.number);
        if let Some(keeper) = self.keeper.take()
            && self.ticket.chosen().started.is_some()
        {
            keeper.lost();
        }
        if !self.over {
            // Refused before anybody had it; by which code, is counted where the caller is told.
            self.core.meter.refuse();
        }
        self.tally.leave();
    }
}

/// An error of the engine's call to a worker, as the caller of that call is told it.
fn told(worker: Option<Arc<str>>, error: Error) -> Error {
    match worker {
        // To the caller the engine's connection to the worker means nothing: the worker is lost.
        Some(worker) if matches!(error.code(), ErrorCode::ConnectionLost | ErrorCode::Closed) => {
            let executed = error.executed();
            Error::new(ErrorCode::WorkerLost, format!("{worker} has gone: {}", error.message()))
                .with_executed(executed)
                .with_worker(&*worker)
        }
        Some(worker) if error.worker().is_none() => error.with_worker(&*worker),
        _ => error,
    }
}
