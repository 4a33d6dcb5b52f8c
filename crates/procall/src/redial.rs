//! A connection that is made anew when it is lost.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use procall_proto::{Body, Config, ErrorCode, Executed};
use procall_transport::Link;
use procall_transport::shm::Choice;

use crate::chain::Chain;
use crate::channel::{Channel, Queued, Started};
use crate::connection::{CallOptions, Connection, Deadline, Hub, Pending, Request};
use crate::error::Error;
use crate::finder::Finder;
use crate::greeting::{LOOK, greet};
use crate::handover::Handover;
use crate::lookout::{self, Watches};
use crate::metrics::{Meter, Metrics};
use crate::pauses::Pauses;
use crate::registration::Registration;
use crate::retry::RetryBudgets;
use crate::tls::TlsFiles;

/// Calls that may wait while there is no connection; then OVERLOADED.
const MAX_WAITING: usize = 1_024;
/// How long a call waits for the connection at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes a connection of a link, and has it read.
pub type Connect = dyn Fn(Box<dyn Link>, Config) -> Result<Connection, Error> + Send + Sync;

/// A connection that is made anew when it is lost: what clients have to an engine, which may be restarted at any time.
///
/// Calls in flight end with CONNECTION_LOST, as ever. Calls that are made while there is no connection wait for one: for 5 s at most, or until
/// their deadline. One thread lives for as long as it is looked for, with pauses of up to 2 s that differ (full jitter).
///
/// ```no_run
/// # fn f() -> Result<(), procall::Error> {
/// use std::time::Duration;
/// use procall::{Channel, Config, Connection, Encoding, Finder, Redial, Request, Side};
///
/// let connect = |link, config| Ok(Connection::new(link, Side::Initiator, config));
/// let mut finder = Finder::new("math", Duration::from_secs(5));
/// let link = finder.wait(&mut || false)?;
/// let config = finder.config(Config::default())?;
/// let math = Redial::keep(&finder, config.clone(), connect(link, config)?, Box::new(connect));
/// let sum = math.start(Request::new("add", Encoding::Msgpack, &[0x92, 1, 2]))?.wait()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Redial {
    shared: Arc<Shared>,
}

struct Shared {
    target: String,
    engine: Option<String>,
    choice: Option<Choice>,
    tls: TlsFiles,
    config: Config,
    connect: Box<Connect>,
    meter: Arc<Meter>,
    budgets: RetryBudgets,
    state: Mutex<State>,
    /// Told when there is no more to look for.
    changed: Condvar,
}

struct State {
    connection: Connection,
    hubs: Vec<Hub>,
    waiting: VecDeque<Waiting>,
    next: u64,
    /// A thread looks for the other side.
    looking: bool,
    closed: bool,
}

/// A call that waits for a connection.
struct Waiting {
    number: u64,
    method: String,
    body: Body<'static>,
    options: CallOptions,
    since: Instant,
    /// When it is too late for the call; and when it no longer waits.
    due: Option<Instant>,
    until: Instant,
    opening: bool,
    handover: Arc<Handover>,
}

impl Redial {
    /// Keeps a connection that was found by `finder`: it is looked for again in the same place.
    pub fn keep(
        finder: &Finder,
        config: Config,
        connection: Connection,
        connect: Box<Connect>,
    ) -> Self {
        let meter: Arc<Meter> = Arc::default();
        connection.measure(meter.clone());
        let state = State {
            connection,
            hubs: Vec::new(),
            waiting: VecDeque::new(),
            next: 0,
            looking: false,
            closed: false,
        };
        let (target, engine, tls) = finder.place();
        let shared = Shared {
            target,
            engine,
            choice: finder.choice(),
            tls,
            config,
            connect,
            meter,
            budgets: RetryBudgets::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        };
        let redial = Self { shared: Arc::new(shared) };
        redial.shared.watch();
        redial
    }

    /// The connection of this moment.
    pub fn connection(&self) -> Connection {
        self.shared.lock().connection.clone()
    }

    /// Has a hub read the connection, and those that take its place.
    pub fn attach(&self, hub: &Hub) -> Result<(), Error> {
        let mut state = self.shared.lock();
        hub.attach(&state.connection)?;
        state.hubs.push(hub.clone());
        Ok(())
    }
}

impl Channel for Redial {
    fn start(&self, request: Request<'_>) -> Result<Started, Error> {
        let connection = self.connection();
        match connection.start_lent(&request) {
            Ok(pending) => Ok(pending.into()),
            Err(_) if self.shared.lock().closed => Err(closed()),
            Err(error) if is_passing(&error) => self.shared.enqueue(request),
            Err(error) => Err(error),
        }
    }

    fn notify(&self, request: Request<'_>) -> Result<(), Error> {
        self.connection().notify(request)
    }

    fn registration(&self) -> Option<Arc<Registration>> {
        self.connection().peer_registration()
    }

    fn metrics(&self) -> Metrics {
        Metrics { retries: self.shared.budgets.retries(), ..self.shared.meter.metrics() }
    }

    fn retry_budgets(&self) -> Option<&RetryBudgets> {
        Some(&self.shared.budgets)
    }

    fn arena(&self) -> Option<procall_transport::shm::Arena> {
        self.connection().arena()
    }

    fn is_lost(&self) -> bool {
        self.shared.lock().closed
    }

    fn close(&self) {
        let (connection, waiting) = {
            let mut state = self.shared.lock();
            state.closed = true;
            (state.connection.clone(), std::mem::take(&mut state.waiting))
        };
        self.shared.changed.notify_all();
        connection.close();
        for call in waiting {
            call.handover.resolve(Err(closed()));
        }
    }
}

impl std::fmt::Debug for Redial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redial").field("target", &self.shared.target).finish_non_exhaustive()
    }
}

/// Whether an error means only that there is no connection now.
fn is_passing(error: &Error) -> bool {
    let lost = [ErrorCode::ConnectionLost, ErrorCode::Closed, ErrorCode::Unavailable];
    lost.contains(&error.code()) && error.executed() == Executed::No
}

fn closed() -> Error {
    Error::new(ErrorCode::Closed, "the connection was closed on this side")
        .with_executed(Executed::No)
}

impl Watches for Shared {
    /// Looks for the other side when the connection is lost, else waits for that.
    fn watch(self: &Arc<Self>) {
        let waker = lookout::waker(self);
        let connection = self.lock().connection.clone();
        if connection.poll_closed(&waker).is_pending() {
            return;
        }
        {
            let mut state = self.lock();
            if state.closed || state.looking || !state.connection.same(&connection) {
                return;
            }
            state.looking = true;
        }
        let weak = Arc::downgrade(self);
        if lookout::thread("procall-redial", move || look(&weak)).is_err() {
            // The next call tries again.
            self.lock().looking = false;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(self: &Arc<Self>, mut request: Request<'_>) -> Result<Started, Error> {
        Chain::note(&mut request.options);
        // Should no thread have been to be had when the connection was lost.
        self.watch();
        let now = Instant::now();
        let (time, opening) = request.options.deadline.within(crate::remaining());
        let due = time.and_then(|time| now.checked_add(time));
        let handover: Arc<Handover> = Arc::default();
        let number = {
            let mut state = self.lock();
            if state.waiting.len() >= MAX_WAITING {
                return Err(Error::new(
                    ErrorCode::Overloaded,
                    format!(
                        "{MAX_WAITING} calls wait for the connection to \"{}\" already",
                        self.target
                    ),
                )
                .with_retry_after(LOOK));
            }
            let number = state.next;
            state.next += 1;
            let until = now + PATIENCE;
            state.waiting.push_back(Waiting {
                number,
                method: request.method.to_owned(),
                body: request.body.into_owned(),
                options: request.options,
                since: now,
                due,
                until: due.map_or(until, |due| due.min(until)),
                opening,
                handover: handover.clone(),
            });
            number
        };
        self.changed.notify_all();
        // The other side may have come back between the failed start and now.
        let connection = self.lock().connection.clone();
        if !connection.is_closed() {
            self.hand_over(&connection);
        }
        let call = WaitingCall { shared: self.clone(), number, handover, over: false };
        Ok(Started::from(Box::new(call) as Box<dyn Queued>))
    }

    fn take(&self, number: u64) -> Option<Waiting> {
        let mut state = self.lock();
        let at = state.waiting.iter().position(|call| call.number == number)?;
        state.waiting.remove(at)
    }

    /// Starts all that waits.
    fn hand_over(&self, connection: &Connection) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        for call in waiting {
            let handover = call.handover.clone();
            handover.resolve(call.start(connection));
        }
    }

    /// Ends the calls that have waited long enough; gives when the next one will have.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let (over, next) = {
            let mut state = self.lock();
            let (over, waiting): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(&mut state.waiting).into_iter().partition(|call| call.until <= now);
            state.waiting = waiting;
            (over, state.waiting.iter().map(|call| call.until).min())
        };
        for call in over {
            let error = call.overdue(now, &self.target);
            call.handover.resolve(Err(error));
        }
        next
    }
}

impl Waiting {
    fn start(self, connection: &Connection) -> Result<Pending, Error> {
        let deadline = match self.due {
            None => Deadline::Never,
            Some(due) => {
                let left = due.saturating_duration_since(Instant::now());
                if self.opening { Deadline::Opening(left) } else { Deadline::After(left) }
            }
        };
        let options = CallOptions { deadline, ..self.options };
        let request = Request { method: &self.method, body: self.body, options };
        crate::with_remaining(None, || connection.start(request))
    }

    fn overdue(&self, now: Instant, target: &str) -> Error {
        let error = match self.due {
            Some(due) if due <= now => Error::new(
                ErrorCode::DeadlineExceeded,
                format!("the deadline passed while the connection to \"{target}\" was away"),
            ),
            _ => Error::new(
                ErrorCode::Unavailable,
                format!(
                    "the connection to \"{target}\" is away (waited {:.1} s); it is looked for on",
                    self.since.elapsed().as_secs_f64()
                ),
            )
            .with_retry_after(LOOK),
        };
        error.with_executed(Executed::No)
    }
}

/// The thread that looks for the other side, until it is there or nobody wants it any more.
fn look(shared: &Weak<Shared>) {
    let mut pauses = Pauses::default();
    loop {
        let Some(this) = shared.upgrade() else { return };
        if !this.pause(pauses.next()) {
            return;
        }
        let Some(connection) = this.find() else { continue };
        let hubs = {
            let mut state = this.lock();
            if state.closed {
                drop(state);
                return connection.close();
            }
            connection.measure(this.meter.clone());
            state.connection = connection.clone();
            state.looking = false;
            state.hubs.clone()
        };
        for hub in hubs {
            // A hub that takes no more is not read by anybody: its loop is gone.
            let _ = hub.attach(&connection);
        }
        this.hand_over(&connection);
        return this.watch();
    }
}

impl Shared {
    /// Waits; calls whose time is up end meanwhile. False when the client was closed.
    fn pause(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        loop {
            let now = Instant::now();
            let next = self.expire(now);
            let state = self.lock();
            if state.closed {
                return false;
            }
            if now >= end {
                return true;
            }
            let wake = next.map_or(end, |next| next.min(end));
            // Woken when a call comes or the client is closed; either is looked at above.
            let _ = self
                .changed
                .wait_timeout(state, wake.saturating_duration_since(now))
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn find(&self) -> Option<Connection> {
        let mut finder =
            Finder::new(&self.target, LOOK).choose(self.choice).secured(self.tls.clone());
        if let Some(engine) = &self.engine {
            finder = finder.through(engine);
        }
        let mut closed = || {
            self.expire(Instant::now());
            self.lock().closed
        };
        let link = finder.wait(&mut closed).ok()?;
        let config = finder.config(self.config.clone()).ok()?;
        // Whatever it was: the next look may find better.
        greet(&self.connect, link, config, None, &mut closed).ok()
    }
}

/// The caller's side of a call that waits. Dropping it takes the call out.
struct WaitingCall {
    shared: Arc<Shared>,
    number: u64,
    handover: Arc<Handover>,
    over: bool,
}

impl Queued for WaitingCall {
    fn poll_started(&mut self, waker: &Waker) -> Poll<Result<Pending, Error>> {
        let polled = self.handover.poll(waker);
        self.over |= polled.is_ready();
        polled
    }

    fn cancel(&self) {
        match self.shared.take(self.number) {
            Some(call) => {
                let error = Error::new(
                    ErrorCode::Cancelled,
                    "the call was cancelled while it waited for the connection",
                );
                call.handover.resolve(Err(error.with_executed(Executed::No)));
            }
            None => self.handover.cancel(),
        }
    }
}

impl Drop for WaitingCall {
    fn drop(&mut self) {
        if !self.over {
            self.handover.abandon();
            self.shared.take(self.number);
        }
    }
}
