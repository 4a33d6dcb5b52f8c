//! How a call of ours is started.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procall_proto::{ErrorCode, Executed, Options, Time};

use super::pending::{Deadline, Pending, Request};
use super::slot::Slot;
use super::{Connection, Lease, State, coalesce, wishes};
use crate::chain::Chain;
use crate::clock;
use crate::error::Error;

impl Connection {
    /// Starts a call; the handle gives its outcome.
    ///
    /// A call made by a handler inherits what is left of the handler's own deadline when that is less.
    ///
    /// When [`Limits::max_calls`](procall_proto::Limits::max_calls) calls are in flight, or as many as the peer takes, the call waits for its
    /// turn: in the order of starting, within its own deadline, and never longer than the connection lives. One whose wait ends without its turn
    /// was not executed. [`Limits::max_waiting`](procall_proto::Limits::max_waiting) of them may wait.
    pub fn start(&self, request: Request<'_>) -> Result<Pending, Error> {
        self.start_call(&request, &Beginning::default(), false)
    }

    /// The same without taking the request over, which may be made once more elsewhere.
    pub(crate) fn start_lent(&self, request: &Request<'_>) -> Result<Pending, Error> {
        self.start_call(request, &Beginning::default(), false)
    }

    /// The same for a pool, which counts beginnings and refusals itself: `lease` is released when the peer is done with the call, which waited
    /// for a worker for so long. `number` is set to the call's id before its message leaves, so that whatever the peer does for it comes later.
    pub fn start_leased(
        &self,
        request: Request<'_>,
        lease: Arc<dyn Lease>,
        waited: Duration,
        number: Option<&AtomicU64>,
    ) -> Result<Pending, Error> {
        let how = Beginning { lease: Some(lease), waited: Some(waited), number, meta: None };
        self.start_call(&request, &how, false)
    }

    /// The same for a router, which keeps the metadata of its calls: these stand for those of the options, and no option is told besides, nor
    /// a chain.
    pub fn start_routed(
        &self,
        request: Request<'_>,
        meta: &[u8],
        (lease, number): (Arc<dyn Lease>, &AtomicU64),
        waited: Duration,
    ) -> Result<Pending, Error> {
        let (lease, waited) = (Some(lease), Some(waited));
        self.start_call(
            &request,
            &Beginning { lease, waited, number: Some(number), meta: Some(meta) },
            false,
        )
    }

    /// Starts a call whose message stays here until somebody sends, or waits for, anything on this connection.
    pub fn start_held(&self, request: Request<'_>) -> Result<Pending, Error> {
        self.start_call(&request, &Beginning::default(), true)
    }

    /// Sends the messages of calls that were started with [`start_held`](Self::start_held).
    pub fn send_held(&self) {
        self.shared.flush_held();
    }

    fn start_call(
        &self,
        request: &Request<'_>,
        how: &Beginning<'_>,
        hold: bool,
    ) -> Result<Pending, Error> {
        // A router hands on what came with this turn. Whoever else makes a call may have done anything before.
        let now = if coalesce::is_on() { clock::now() } else { clock::look() };
        let options = &request.options;
        let &Beginning { ref lease, waited: counted, number, meta } = how;
        let timeout = match options.deadline {
            Deadline::Default => Some(Deadline::USUAL),
            Deadline::Opening(timeout) | Deadline::After(timeout) => Some(timeout),
            Deadline::Never => None,
        };
        let inherited = clock::until(crate::context::current_deadline(), now);
        let shortened = match (timeout, inherited) {
            (Some(timeout), Some(inherited)) => Some(timeout.min(inherited)),
            (timeout, inherited) => timeout.or(inherited),
        };
        let chain = if meta.is_some() { None } else { Chain::for_call(options) };
        let meta = match (meta, &chain) {
            (Some(meta), _) => Ok(meta.into()),
            (None, None) => wishes::meta(options, None),
            (None, Some(chain)) => {
                chain.check(request.method).and_then(|()| wishes::meta(options, Some(chain)))
            }
        };
        let session_options = Options {
            timeout: shortened,
            whole: !matches!(options.deadline, Deadline::Default | Deadline::Opening(_))
                || shortened != timeout,
            items_in: options.items_in,
            items_out: options.items_out,
            idempotent: options.idempotent,
            meta: meta.as_deref().unwrap_or_default(),
        };
        let start = |state: &mut State| {
            meta.as_ref().map_err(Error::clone)?;
            state.check_open()?;
            if shortened == Some(Duration::ZERO) {
                // Were it sent, only the peer could say that it did not run, and it may say so too late.
                let message = "the deadline had passed before the call was made";
                return Err(
                    Error::new(ErrorCode::DeadlineExceeded, message).with_executed(Executed::No)
                );
            }
            if counted.is_none() && !state.takes_call() {
                let body = request.body.clone();
                return state.wait_in_line(now, request.method, body, &session_options);
            }
            let body = state.lend(request.body.clone())?;
            let token = state.slots.vacant_key();
            let id = state
                .session
                .call(now, request.method, body, session_options, token as u64)
                .map_err(Error::from_failure)?;
            let began =
                Time::from_nanos(now.as_nanos().saturating_sub(nanos(counted.unwrap_or_default())));
            state.slots.insert(Slot { id, lease: lease.clone(), began, ..Slot::default() });
            if let Some(number) = number {
                number.store(id, Ordering::Release);
            }
            Ok(token)
        };
        let result = self.shared.with_call(hold, |state| {
            let started = start(state);
            if counted.is_none() {
                state.meter.begin();
                if started.is_err() {
                    state.meter.refuse();
                }
            }
            started
        });
        match result {
            Ok(token) => Ok(Pending::of(self, token)),
            Err(error) => {
                if let Some(lease) = lease {
                    lease.release();
                }
                Err(error)
            }
        }
    }
}

/// What is known of a call besides its request.
#[derive(Default)]
struct Beginning<'a> {
    lease: Option<Arc<dyn Lease>>,
    /// For how long it has waited for a worker; whoever knows that counts beginnings and refusals itself.
    waited: Option<Duration>,
    /// Where its id is told.
    number: Option<&'a AtomicU64>,
    /// In place of what the options say.
    meta: Option<&'a [u8]>,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
