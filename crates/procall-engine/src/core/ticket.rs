//! A call on its way through the engine.

use std::borrow::Cow;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use procall::{
    Batch, Body, CallOptions, Chain, Deadline, Error, ErrorCode, Executed, Handover, Incoming,
    Relaying, Request, Shape,
};

use super::method::{Offer, Provider};
use super::peer::Number;
use super::wishes::{self, Wishes};
use crate::spans::{Span, Trace};

/// A call on its way: what is needed to start it, now or later, here or there.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) number: u64,
    /// Who calls.
    pub(crate) client: Number,
    /// Full name.
    pub(crate) method: Arc<str>,
    body: Body<'static>,
    /// As they go on.
    meta: Vec<u8>,
    shape: Shape,
    idempotent: bool,
    due: Option<Instant>,
    opening: bool,
    pub(crate) since: Instant,
    /// The hash of its key and service.
    pub(crate) key: Option<u64>,
    /// The only one it may go to.
    pub(crate) only: Option<Number>,
    version: Option<Box<str>>,
    /// It waits while nobody serves the method.
    pub(crate) waits: bool,
    /// Its spans, where they are wanted.
    pub(crate) span: Option<Arc<Span>>,
    /// The calls that wait for it.
    pub(crate) chain: Option<Box<Chain>>,
    /// Its number on the connection to its worker; 0 before it has one.
    pub(super) at_worker: AtomicU64,
    pub(crate) handover: Handover,
    chosen: Mutex<Chosen>,
    /// Ends it from outside, once it is on its way.
    relaying: Mutex<Option<Relaying>>,
}

/// A call as it came.
#[derive(Debug, Clone)]
pub(crate) struct Arrived<'a> {
    pub(crate) incoming: &'a Incoming,
    body: Body<'static>,
    deadline: Deadline,
    pub(crate) since: Instant,
}

impl<'a> Arrived<'a> {
    /// DEADLINE_EXCEEDED when its time is up already.
    pub(crate) fn new(batch: &Batch, incoming: &'a Incoming) -> Result<Self, Error> {
        let deadline = incoming.deadline_left();
        if matches!(deadline, Deadline::After(Duration::ZERO) | Deadline::Opening(Duration::ZERO)) {
            return Err(expired());
        }
        let body = Body::new(incoming.encoding, batch.body(incoming)).into_owned();
        Ok(Self { incoming, body, deadline, since: procall::now() })
    }
}

/// Who was picked for it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Chosen {
    pub(crate) offer: Option<Arc<Offer>>,
    pub(crate) worker: Option<Arc<str>>,
    /// How often it was started.
    pub(crate) attempts: u32,
    pub(crate) started: Option<Instant>,
    /// How long a ping to it and its answer took last.
    pub(crate) wire: Option<Duration>,
}

/// Where a call may go.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Aim {
    pub(crate) key: Option<u64>,
    pub(crate) only: Option<Number>,
}

impl Ticket {
    pub(crate) fn new(
        number: u64,
        client: (Number, &str),
        method: Arc<str>,
        arrived: Arrived<'_>,
        wishes: &Wishes<'_>,
        aim: Aim,
    ) -> Self {
        let Arrived { incoming, body, deadline, since } = arrived;
        let (due, opening) = match deadline {
            Deadline::After(left) => (since.checked_add(left), false),
            Deadline::Opening(left) => (since.checked_add(left), true),
            Deadline::Never | Deadline::Default => (None, false),
        };
        Self {
            number,
            client: client.0,
            method,
            body,
            meta: wishes.sent(client.1),
            shape: incoming.shape(),
            idempotent: incoming.idempotent,
            due,
            opening,
            since,
            key: aim.key,
            only: aim.only,
            version: wishes.version.map(Into::into),
            waits: wishes.wait,
            span: wishes.span.clone(),
            chain: wishes.chain.and_then(Chain::read).map(Box::new),
            at_worker: AtomicU64::new(0),
            handover: Handover::default(),
            chosen: Mutex::default(),
            relaying: Mutex::default(),
        }
    }

    pub(crate) fn may_go_to(&self, provider: &Provider) -> bool {
        self.only.is_none_or(|only| only == provider.peer)
            && self
                .version
                .as_deref()
                .is_none_or(|wanted| is_version(&provider.offer.version, wanted))
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The trace that it was made in, as 32 digits.
    pub(crate) fn trace(&self) -> Option<String> {
        let id = match &self.span {
            Some(span) => span.trace.id,
            None => Trace::read(wishes::traceparent(&self.meta)?)?.id,
        };
        Some(format!("{id:032x}"))
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn body(&self) -> &Body<'static> {
        &self.body
    }

    pub(crate) fn waited(&self) -> Duration {
        procall::now() - self.since
    }

    /// The request for a worker that calls the method so, without its metadata; DEADLINE_EXCEEDED when its time is up.
    pub(crate) fn request<'a>(
        &'a self,
        method: &'a str,
        now: Instant,
    ) -> Result<Request<'a>, Error> {
        let deadline = match self.due {
            None => Deadline::Never,
            Some(due) => {
                let left = due.checked_duration_since(now);
                let left = left.filter(|left| !left.is_zero()).ok_or_else(expired)?;
                if self.opening { Deadline::Opening(left) } else { Deadline::After(left) }
            }
        };
        let options = CallOptions {
            deadline,
            idempotent: self.idempotent,
            items_in: self.shape.items_in(),
            items_out: self.shape.items_out(),
            ..CallOptions::default()
        };
        // A short one is copied when it is sent, and nothing else.
        let body = match self.body.bytes() {
            short if short.len() <= Body::HAND_OVER => Body::new(self.body.encoding(), short),
            _ => self.body.clone(),
        };
        Ok(Request { method, body, options })
    }

    /// The metadata as they go on, to somebody who may be told the call's number.
    pub(crate) fn meta(&self, numbered: bool) -> Cow<'_, [u8]> {
        match numbered {
            true => wishes::numbered(&self.meta, self.number).into(),
            false => Cow::Borrowed(&self.meta),
        }
    }

    pub(super) fn set_relaying(&self, relaying: Relaying) {
        *self.relaying.lock().unwrap_or_else(PoisonError::into_inner) = Some(relaying);
    }

    /// Ends it with an error; false when it is not on its way yet.
    pub(super) fn stop(&self, error: Error) -> bool {
        let relaying = self.relaying.lock().unwrap_or_else(PoisonError::into_inner).clone();
        relaying.as_ref().map(|relaying| relaying.stop(error)).is_some()
    }

    pub(crate) fn chosen(&self) -> MutexGuard<'_, Chosen> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `version` is `wanted`, or begins with it at a dot.
fn is_version(version: &str, wanted: &str) -> bool {
    let rest = version.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

pub(crate) fn expired() -> Error {
    Error::new(ErrorCode::DeadlineExceeded, "the deadline passed before a worker had the call")
        .with_executed(Executed::No)
}

#[cfg(test)]
mod tests {
    use super::is_version;

    #[test]
    fn a_version_is_meant_by_its_beginning_up_to_a_dot() {
        assert!(is_version("2.1.0", "2") && is_version("2.1.0", "2.1") && is_version("2", "2"));
        assert!(!is_version("21.0", "2") && !is_version("", "2") && !is_version("2", "2.1"));
    }
}
