//! The retry layer: makes calls again that failed in a way that allows it. The rule is [`procall_proto::Attempts`]; here are the clock, the
//! chance and the calls.

mod budgets;
#[cfg(test)]
mod tests;
mod timers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use procall_proto::{
    Attempts, Body, Encoding, ErrorCode, GiveUp, RetryPolicy, Setback, Time, Verdict,
};

pub use self::budgets::RetryBudgets;
use self::timers::Timer;
use crate::chain::Chain;
use crate::channel::{Channel, Started};
use crate::clock;
use crate::connection::{CallOptions, Deadline, Encoded, Request};
use crate::context;
use crate::error::Error;
use crate::lent::Lent;
use crate::pauses;
use crate::registration::Registration;
use crate::trace;

/// Params that are kept for another attempt without being asked to, in bytes, 1 MiB: beyond it a call that says nothing of retries has none.
const KEPT: usize = 1 << 20;

/// Starts a call that is made again when it fails and may be: what clients, pools and the language packages call with.
///
/// All attempts share the call's one deadline. There are [`CallOptions::retries`] after the first one, 2 without it, with pauses of up to
/// 50 ms, 100 ms and so on (full jitter, 2 s at most) on top of what the other side asks for. A call is made again only when the error says that
/// it was not executed, or when it may run more than once: it is `idempotent`, or the method is known to be. A call made by a handler is
/// made again only when it was not executed. While more than half of the channel's budget for a service is spent there are no retries.
/// The loss of the worker of an affinity key is told and not passed over. A call that sends a stream is never made again, nor one whose answer
/// is a stream after its first item, nor one with a key or with params above 1 MiB that does not say how often: made again, a call with a key
/// starts behind those with the same key that were sent after it.
///
/// The error that comes in the end says how many [`attempts`](Error::attempts) were made, and its verdict is that of all of them.
///
/// ```no_run
/// # fn f(calc: procall::Connection) -> Result<(), procall::Error> {
/// use std::sync::Arc;
/// use procall::{CallOptions, Channel, Encoding, Request, start_retrying};
///
/// let channel: Arc<dyn Channel> = Arc::new(calc);
/// let options = CallOptions { retries: Some(5), idempotent: true, ..CallOptions::default() };
/// let request = Request::new("add", Encoding::Msgpack, &[0x92, 1, 2]).with_options(options);
/// let sum = start_retrying(&channel, request)?.wait()?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// Those of [`Channel::start`] that allow no other attempt.
pub fn start_retrying(
    channel: &Arc<dyn Channel>,
    mut request: Request<'_>,
) -> Result<Started, Error> {
    Chain::note(&mut request.options);
    let span = trace::begin(request.method, &mut request.options.meta);
    trace::started(span, start(channel, request))
}

fn start(channel: &Arc<dyn Channel>, request: Request<'_>) -> Result<Started, Error> {
    let len = request.body.bytes().len() + Lent::of(&request.body).len();
    if !may_retry(channel, &request.options, len) {
        return channel.start(request);
    }
    let mut again = Box::new(Again::new(channel.clone(), request.method, &request.body));
    again.options = request.options.clone();
    let first = channel.start(request);
    again.begin();
    Started::retried(first, again)
}

/// Whether a call with params of this length is made again when it fails and may be.
fn may_retry(channel: &Arc<dyn Channel>, options: &CallOptions, len: usize) -> bool {
    // One with a key that is made again starts behind those that were sent after it.
    let once = options.retries.is_none() && (options.key.is_some() || len > KEPT);
    options.retries != Some(0) && !once && !options.items_in && channel.retry_budgets().is_some()
}

/// A call as it is asked for: all that its first attempt is made of, and every other. A call that ends well at once has paid for nothing else.
pub(crate) struct Again {
    channel: Arc<dyn Channel>,
    /// The params if they are short, then the method's name.
    kept: Vec<u8>,
    method_at: usize,
    encoding: Encoding,
    /// Params that are long, which are shared where that can be.
    long: Option<Body<'static>>,
    pub(crate) options: CallOptions,
    /// The deadline covers only the opening of a stream.
    opening: bool,
    attempts: Attempts,
    cancelled: AtomicBool,
}

/// What follows a pause.
pub(crate) enum Next {
    /// Another attempt, and how it began.
    Attempt(Result<Started, Error>),
    /// None: the error of the whole.
    Over(Error),
}

/// The time between two attempts.
pub(crate) struct Pause {
    due: Time,
    /// Why the last attempt failed.
    error: Error,
    timer: Option<(Timer, Waker)>,
}

impl Again {
    fn new(channel: Arc<dyn Channel>, method: &str, body: &Body<'_>) -> Self {
        let is_long = body.bytes().len() > Body::HAND_OVER || body.held().is_some();
        let long = is_long.then(|| body.clone().into_owned());
        let params = if long.is_some() { &[] } else { body.bytes() };
        let mut kept = Vec::with_capacity(method.len() + params.len());
        kept.extend_from_slice(params);
        Self::of(channel, method, body.encoding(), kept, long)
    }

    /// A call with params of its own, as MessagePack. It is made by [`start`](Self::start).
    pub(crate) fn owning(channel: Arc<dyn Channel>, method: &str, params: Encoded) -> Self {
        let held = params.lent.held();
        let (kept, long) = match params.bytes.len() > Body::HAND_OVER || held.is_some() {
            true => {
                let body = Body::owned(Encoding::Msgpack, params.bytes);
                (Vec::new(), Some(body.holding(held)))
            }
            false => (params.bytes, None),
        };
        Self::of(channel, method, Encoding::Msgpack, kept, long)
    }

    fn of(
        channel: Arc<dyn Channel>,
        method: &str,
        encoding: Encoding,
        mut kept: Vec<u8>,
        long: Option<Body<'static>>,
    ) -> Self {
        let method_at = kept.len();
        kept.extend_from_slice(method.as_bytes());
        Self {
            channel,
            kept,
            method_at,
            encoding,
            long,
            options: CallOptions::default(),
            opening: false,
            attempts: Attempts::new(RetryPolicy::default(), Time::NEVER, false),
            cancelled: AtomicBool::new(false),
        }
    }

    /// Makes the call.
    pub(crate) fn start(mut self: Box<Self>) -> Result<Started, Error> {
        Chain::note(&mut self.options);
        let span = trace::begin(name(&self.kept, self.method_at), &mut self.options.meta);
        trace::started(span, self.start_first())
    }

    fn start_first(mut self: Box<Self>) -> Result<Started, Error> {
        let long = |body: &Body<'_>| body.bytes().len() + Lent::of(body).len();
        let len = self.long.as_ref().map_or(self.method_at, long);
        if !may_retry(&self.channel, &self.options, len) {
            return self.channel.start(self.request(self.options.clone()));
        }
        let first = self.channel.start(self.request(self.options.clone()));
        self.begin();
        Started::retried(first, self)
    }

    /// The first attempt was made just now: all of them share its deadline.
    fn begin(&mut self) {
        let usual = RetryPolicy::default();
        let retries = self.options.retries.unwrap_or(usual.retries);
        let (time, opening) = self.options.deadline.within(crate::remaining());
        let deadline = time.map_or(Time::NEVER, |time| clock::now() + time);
        self.opening = opening;
        self.attempts =
            Attempts::new(RetryPolicy { retries, ..usual }, deadline, context::is_nested());
    }

    fn request(&self, options: CallOptions) -> Request<'_> {
        let short = Body::new(self.encoding, &self.kept[..self.method_at]);
        Request { method: self.method(), body: self.long.clone().unwrap_or(short), options }
    }

    pub(crate) fn method(&self) -> &str {
        name(&self.kept, self.method_at)
    }

    /// The call ended well.
    pub(crate) fn succeeded(&self) {
        if let Some(budgets) = self.channel.retry_budgets() {
            budgets.succeeded(self.method());
        }
    }

    /// The attempt failed: the pause before the next one, or the error of the whole.
    pub(crate) fn failed(&mut self, error: Error) -> Result<Pause, Error> {
        self.failed_at(clock::now(), error)
    }

    fn failed_at(&mut self, now: Time, error: Error) -> Result<Pause, Error> {
        let Some(verdict) = self.judge(now, &error) else { return Err(error) };
        match verdict {
            Verdict::Again { after } => Ok(Pause { due: now + after, error, timer: None }),
            Verdict::GiveUp(GiveUp::Poison) => {
                let message =
                    format!("two workers were lost with this call; the last: {}", error.message());
                Err(self.last(Error::new(ErrorCode::Poison, message).with_source(error)))
            }
            Verdict::GiveUp(_) => Err(self.last(error)),
        }
    }

    fn judge(&mut self, now: Time, error: &Error) -> Option<Verdict> {
        let channel = self.channel.clone();
        let budgets = channel.retry_budgets()?;
        let setback = Setback {
            code: error.code(),
            executed: error.executed(),
            retry_after: error.retry_after(),
            no_retry: error.no_retry() || self.is_cancelled() || channel.is_lost(),
            keyed: self.options.key.is_some(),
        };
        let idempotent = self.options.idempotent
            || channel.registration().is_some_and(|known| idempotent(&known, self.method()));
        let method = self.method().to_owned();
        let random = pauses::share();
        Some(budgets.with(&method, |budget| {
            self.attempts.failed(now, &setback, idempotent, budget, random)
        }))
    }

    /// The error that comes out in the end.
    fn last(&self, error: Error) -> Error {
        let error = error.with_executed(self.attempts.executed());
        match self.attempts.made() {
            1 => error,
            made => error.with_attempts(made),
        }
    }

    /// Whether the answer is a stream.
    pub(crate) fn is_stream(&self) -> bool {
        self.options.items_out
    }

    /// Whether there was more than one attempt.
    pub(crate) fn has_retried(&self) -> bool {
        self.attempts.made() > 1
    }

    /// The next attempt, once the pause is over; its failure may be followed by another pause.
    pub(crate) fn poll(&mut self, pause: &mut Pause, waker: &Waker) -> Poll<Next> {
        self.poll_at(clock::now(), pause, waker)
    }

    fn poll_at(&mut self, now: Time, pause: &mut Pause, waker: &Waker) -> Poll<Next> {
        if self.is_cancelled() {
            let gone = "the call was cancelled between two attempts";
            return Poll::Ready(Next::Over(self.last(Error::new(ErrorCode::Cancelled, gone))));
        }
        if now < pause.due {
            if !matches!(&pause.timer, Some((_, known)) if known.will_wake(waker)) {
                pause.timer =
                    timers::wake_at(pause.due, waker.clone()).map(|timer| (timer, waker.clone()));
            }
            if pause.timer.is_some() {
                return Poll::Pending;
            }
            // Nobody would wake the caller: rather at once than never.
        }
        pause.timer = None;
        let left = clock::until(self.attempts.deadline(), now);
        if left.is_some_and(|left| left.is_zero()) {
            // That attempt was paid for when it failed.
            return Poll::Ready(Next::Over(self.last(pause.error.clone())));
        }
        let deadline = match left {
            None => Deadline::Never,
            Some(left) if self.opening => Deadline::Opening(left),
            Some(left) => Deadline::After(left),
        };
        self.attempts.begin();
        let request = self.request(CallOptions { deadline, ..self.options.clone() });
        if let Some(budgets) = self.channel.retry_budgets() {
            budgets.retried();
        }
        // What the call inherited is in its deadline; whoever polls it here may be somebody else.
        let started = context::with_deadline(Time::NEVER, || self.channel.start(request));
        Poll::Ready(Next::Attempt(started))
    }

    pub(crate) fn cancel(&self, pause: Option<&Pause>) {
        self.cancelled.store(true, Ordering::Relaxed);
        if let Some((_, waker)) = pause.and_then(|pause| pause.timer.as_ref()) {
            waker.wake_by_ref();
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// The method's name behind the params.
fn name(kept: &[u8], at: usize) -> &str {
    // It was one before it was put there.
    std::str::from_utf8(&kept[at..]).unwrap_or_default()
}

/// Whether the other side has described the method as one that may run more than once, by its full name or the last part of it.
fn idempotent(known: &Registration, method: &str) -> bool {
    let exact = known.methods.iter().find(|info| info.name == method);
    let found = exact.or_else(|| {
        let mut same = known
            .methods
            .iter()
            .filter(|info| info.name.strip_suffix(method).is_some_and(|rest| rest.ends_with('.')));
        same.next().filter(|_| same.next().is_none())
    });
    found.is_some_and(|info| info.idempotent)
}
