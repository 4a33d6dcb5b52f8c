//! One session over one link, shared by everybody who calls or serves on it.
//!
//! A [`Connection`] does not drive itself. Whoever waits reads the link: a calling thread ([`Pending::wait`]), a tokio task,
//! or a foreign event loop through a [`Hub`]. All of them end in the same few lines under the same lock ([`state::State::pump`]).

mod after;
mod chained;
mod coalesce;
mod hub;
mod inbox;
mod items;
mod lending;
mod line;
mod pending;
mod sending;
mod serving;
mod shared;
mod sharing;
mod slot;
mod standby;
mod standing;
mod starting;
mod state;
mod wait;
pub(crate) mod wishes;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use procall_proto::{CallId, Config, ErrorCode, Executed, Session, Time};
use procall_transport::readiness::Kick;
use procall_transport::{Link, LinkInfo};

pub use coalesce::coalesce;
#[cfg(feature = "tokio")]
pub(crate) use coalesce::coalesce_turn;
pub use hub::Hub;
pub use inbox::{Batch, Incoming};
#[cfg(feature = "tokio")]
pub(crate) use pending::Step;
pub use pending::{CallOptions, Deadline, OnTimeout, Pending, Request};
pub use serving::Responder;
pub use slot::{Encoded, Progress};
pub use wait::{Interrupt, WaitError};

pub(crate) use after::After;
#[cfg(feature = "tokio")]
pub(crate) use sharing::Before;
use sharing::Sharing;
pub(crate) use standing::Serves;
pub(crate) use state::State;
pub(crate) use wait::thread_waker;

use crate::clock;
use crate::error::Error;
use crate::metrics::{Meter, Metrics};
use crate::registration::Registration;
use crate::retry::RetryBudgets;

/// Why a connection can be made of any link.
const DUPLICATE: &str = "a descriptor can be duplicated unless the process has run out of them";

/// Named among the features of a peer that hands calls on to others.
pub const ROUTER: &str = "router";

/// Which side of the link this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It opened the link and speaks first.
    Initiator,
    /// It accepted the link.
    Acceptor,
}

/// The state of a connection, as far as those outside act on it.
#[cfg(feature = "tokio")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    ready: bool,
    pub(crate) over: bool,
    suspected: bool,
    going_away: bool,
}

/// What a driver goes by between two turns.
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub(crate) struct Outlook {
    pub(crate) facts: Facts,
    /// When it is due.
    pub(crate) due: Time,
    /// Bytes are unsent for want of room.
    pub(crate) wants_room: bool,
    /// To be heard from now on.
    pub(crate) bell: Option<Arc<OwnedFd>>,
    /// What comes before the next sleep.
    pub(crate) before: Before,
}

/// Somebody to tell when the peer is no longer busy with a call.
///
/// A pool keeps its count of busy workers with this: the end of a call for its caller (a time-out, say) is not always the end for the worker.
pub trait Lease: Send + Sync {
    /// The peer is done with the call, or gone. Called once, on any thread, without locks held.
    fn release(&self);

    /// The call has ended for its caller, by this code, while the peer is still busy with it: before [`release`](Self::release), on any thread,
    /// without locks held.
    fn give_up(&self, _code: ErrorCode) {}
}

/// One session over one link. Clones share it.
///
/// This is the untyped layer that clients, pools and the language packages are made of; most programs use [`Client`](crate::Client).
///
/// ```
/// use procall::{Connection, Encoded, Encoding, Request, Side};
/// use procall_transport::{mem, LinkOptions};
///
/// let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
/// let client = Connection::new(Box::new(ours), Side::Initiator, Default::default());
/// let server = Connection::serving(Box::new(theirs), Side::Acceptor, Default::default());
///
/// let thread = std::thread::spawn(move || {
///     let mut batch = procall::Batch::new();
///     server.wait_calls(&mut batch, None, &mut || false).unwrap();
///     for call in batch.iter() {
///         assert_eq!(batch.method(call), "echo");
///         let value = Encoded::new(call.encoding, batch.body(call).to_vec());
///         server.reply(call.id.unwrap(), value);
///     }
/// });
/// let request = Request::new("echo", Encoding::Msgpack, &[0x91, 7]);
/// let reply = client.start(request).unwrap().wait().unwrap();
/// assert_eq!(reply.bytes, [0x91, 7]);
/// thread.join().unwrap();
/// ```
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    /// The link's own readiness descriptor, so that waiting needs no lock.
    readiness: OwnedFd,
    info: LinkInfo,
    /// Gets a leading thread out of its sleep; in the link's readiness.
    kick: OnceLock<Option<Kick>>,
    /// How often somebody has read the link; the standby thread watches it stand still.
    reads: AtomicU64,
    /// The number under which the standby thread knows it; 0 when it does not.
    standby: AtomicU64,
    /// Whether waiting threads may read the link: not when a tokio task does.
    threads_lead: bool,
    budgets: RetryBudgets,
}

impl Connection {
    /// A connection that only calls; calls of the peer's are answered NOT_FOUND.
    pub fn new(link: Box<dyn Link>, side: Side, config: Config) -> Self {
        Self::start_session(link, side, config, Serves::Nothing, true).expect(DUPLICATE)
    }

    /// A connection that also serves: calls of the peer's wait in its inbox for [`Connection::wait_calls`] or [`Connection::take_calls`].
    pub fn serving(link: Box<dyn Link>, side: Side, config: Config) -> Self {
        Self::start_session(link, side, config, Serves::Inbox, true).expect(DUPLICATE)
    }

    /// The same for a tokio task that reads the link for everybody.
    #[cfg(feature = "tokio")]
    pub(crate) fn for_task(
        link: Box<dyn Link>,
        side: Side,
        config: Config,
        serves: Serves,
    ) -> Result<Self, Error> {
        Self::start_session(link, side, config, serves, false).map_err(|error| {
            Error::new(ErrorCode::Internal, "no descriptor is left for another connection")
                .with_source(error)
        })
    }

    fn start_session(
        mut link: Box<dyn Link>,
        side: Side,
        config: Config,
        serves: Serves,
        threads_lead: bool,
    ) -> std::io::Result<Self> {
        let now = clock::now();
        let wants = side == Side::Initiator && !config.want.is_empty();
        let mut config = config;
        if config.mark.is_empty() {
            config.mark = crate::chain::new_mark();
        }
        let mark = config.mark.clone();
        let (sharing, refused) = match Sharing::offer(&mut *link, &mut config) {
            Ok(sharing) => (sharing, None),
            Err(fault) => (Sharing::default(), Some(fault)),
        };
        let session = match side {
            Side::Initiator => Session::initiator(config, now),
            Side::Acceptor => Session::acceptor(config, now),
        };
        let info = link.info().clone();
        // The second name of the epoll instance costs one descriptor and saves a lock around every wait.
        let readiness = link.readiness().try_clone_to_owned()?;
        let mut state = State::new(session, link, serves, side, sharing);
        state.wants = wants;
        state.mark = mark;
        let state = Mutex::new(state);
        let shared = Arc::new(Shared {
            state,
            readiness,
            info,
            kick: OnceLock::new(),
            reads: AtomicU64::new(0),
            standby: AtomicU64::new(0),
            threads_lead,
            budgets: RetryBudgets::default(),
        });
        let connection = Self { shared };
        connection.shared.with(|state, after| {
            if let Some(fault) = refused {
                state.end(fault, after);
            }
        });
        if threads_lead {
            standby::watch(&connection.shared);
        }
        Ok(connection)
    }

    /// What is fixed about the link below.
    pub fn link_info(&self) -> &LinkInfo {
        &self.shared.info
    }

    /// What messages go through now: the transport of the link below, and `"shm"` once a Unix link has moved to shared memory.
    ///
    /// ```
    /// use procall::{Connection, Side};
    /// use procall_transport::{mem, LinkOptions};
    ///
    /// let (ours, _theirs) = mem::pair(&LinkOptions::default()).unwrap();
    /// let connection = Connection::new(Box::new(ours), Side::Initiator, Default::default());
    /// assert_eq!(connection.transport(), "mem");
    /// ```
    pub fn transport(&self) -> &'static str {
        self.shared.lock().link.info().transport
    }

    /// Readable whenever [`Connection::turn`] has something to do.
    pub fn readiness(&self) -> BorrowedFd<'_> {
        self.shared.readiness.as_fd()
    }

    /// Takes what the link has and does what is due. For event loops that watch [`Connection::readiness`] themselves.
    pub fn turn(&self) {
        self.shared.turn();
    }

    /// When [`Connection::turn`] is due even if the link stays silent.
    pub fn next_timeout(&self) -> Option<Duration> {
        let time = self.shared.lock().poll_timeout();
        clock::left(time)
    }

    /// Names the task that reads this connection, to be woken when its timer is too late; sends what waited for its turn.
    #[cfg(feature = "tokio")]
    pub(crate) fn driven_by(&self, waker: &Waker) {
        let unflushed = {
            let mut state = self.shared.lock();
            match &mut state.driver {
                Some(driver) => driver.clone_from(waker),
                None => state.driver = Some(waker.clone()),
            }
            state.unflushed
        };
        if unflushed {
            self.shared.flush_held();
        }
    }

    /// The link's [`edges`](Link::edges).
    #[cfg(feature = "tokio")]
    pub(crate) fn with_edges<R>(&self, f: impl FnOnce(Option<BorrowedFd<'_>>) -> R) -> R {
        f(self.shared.lock().link.edges())
    }

    /// What the driver goes by until its next turn, and a promise that it will be back when it is due.
    #[cfg(feature = "tokio")]
    pub(crate) fn outlook(&self) -> Outlook {
        let mut state = self.shared.lock();
        state.driver_timer = state.poll_timeout();
        let wants_room = state.link.wants_room();
        state.driver_told = wants_room;
        let (bell, before) = (state.unheard_bell(), state.before_sleep());
        Outlook { facts: state.facts(), due: state.driver_timer, wants_room, bell, before }
    }

    /// The driver hears the bell of shared memory by its edges.
    #[cfg(feature = "tokio")]
    pub(crate) fn bell_is_heard(&self) -> std::io::Result<()> {
        self.shared.lock().bell_is_heard()
    }

    /// Reads a few messages without coming to rest, for a driver that hears the bell and asks for the [outlook](Self::outlook) afterwards. The
    /// socket has told it something, or has not. True when there may be more.
    #[cfg(feature = "tokio")]
    pub(crate) fn turn_in_memory(&self, told: bool) -> bool {
        self.shared.turn_in_memory(told)
    }

    /// The driver's look is over, and has found something or not.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_looked(&self, found: bool) {
        self.shared.lock().has_looked(found);
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().is_over()
    }

    /// Why the connection is over; `None` while it is not.
    pub fn closed_reason(&self) -> Option<Error> {
        self.shared.lock().ended.as_ref().map(Error::from_fault)
    }

    /// Whether the peer has missed its heartbeats.
    pub fn is_suspected(&self) -> bool {
        self.shared.lock().session.is_suspected()
    }

    /// Whether the peer takes no new calls.
    pub fn is_going_away(&self) -> bool {
        self.shared.lock().session.is_going_away()
    }

    /// The last measured time from ping to pong.
    pub fn round_trip(&self) -> Option<Duration> {
        self.shared.lock().round_trip
    }

    /// When the peer last answered a ping; `None` before it has.
    pub fn last_pong(&self) -> Option<Instant> {
        self.shared.lock().last_pong
    }

    /// What was counted of our calls on this connection.
    pub fn metrics(&self) -> Metrics {
        let (meter, waiting) = {
            let state = self.shared.lock();
            (state.meter.clone(), state.line.len())
        };
        let retries = self.shared.budgets.retries();
        Metrics { queue_depth: waiting, retries, ..meter.metrics() }
    }

    /// What calls on it may spend on retries.
    pub fn retry_budgets(&self) -> &RetryBudgets {
        &self.shared.budgets
    }

    /// Has this meter count from now on, instead of the connection's own.
    pub fn measure(&self, meter: Arc<Meter>) {
        self.shared.lock().meter = meter;
    }

    /// Calls of ours that wait for their outcome, those included that wait for their turn.
    pub fn calling(&self) -> usize {
        self.shared.lock().calling()
    }

    /// Notifications of the peer's that were dropped because too many waited to be taken, or nobody serves here.
    pub fn dropped_notifications(&self) -> u64 {
        let state = self.shared.lock();
        state.dropped_notifications + state.session.counters().dropped
    }

    /// What the peer said of itself in the handshake.
    pub fn peer(&self) -> Option<procall_proto::PeerInfo> {
        self.shared.lock().session.peer().cloned()
    }

    /// Whether the peer hands calls on to others, so that it may be restarted while they live.
    pub fn leads_to_router(&self) -> bool {
        self.peer().is_some_and(|peer| peer.features.iter().any(|feature| feature == ROUTER))
    }

    /// What the peer serves, if it has told.
    pub fn peer_registration(&self) -> Option<Arc<Registration>> {
        self.shared.lock().peer_registration.clone()
    }

    /// Asks the peer for a sign of life; the answer shows in [`Connection::round_trip`].
    pub fn ping(&self) -> bool {
        self.shared.with(|state, _| state.session.ping(clock::now()).is_some())
    }

    /// Tells the peer what this side serves.
    pub fn register(&self, registration: &Registration) -> Result<(), Error> {
        let bytes = crate::codec::encode(registration).map_err(|error| {
            Error::invalid(format!("the registration cannot be encoded: {error}"))
        })?;
        self.shared.with(|state, _| {
            state.registered = None;
            state
                .session
                .register(procall_proto::Body::msgpack(&bytes))
                .map_err(Error::from_failure)
        })
    }

    /// The same when what is served changes: while an earlier registration waits for its answer this one follows it, and only the newest does.
    pub fn register_anew(&self, registration: &Registration) -> Result<(), Error> {
        let bytes = crate::codec::encode(registration).map_err(|error| {
            Error::invalid(format!("the registration cannot be encoded: {error}"))
        })?;
        self.shared.with(|state, _| {
            if state.session.is_registering() {
                state.next_registration = Some(bytes);
                return Ok(());
            }
            state.registered = None;
            let body = procall_proto::Body::msgpack(&bytes);
            state.session.register(body).map_err(Error::from_failure)
        })
    }

    /// The registration of the peer's that waits for [`answer_registration`](Self::answer_registration), and its number: what it says, or why
    /// it is none. Only a connection with a [`RawService`](crate::RawService) has one.
    pub fn take_registration(&self) -> Option<(CallId, Result<Registration, Error>)> {
        let asked = self.shared.lock().asked.take();
        asked.map(|(id, registration)| (id, registration.map_err(Error::invalid)))
    }

    /// Answers a registration of the peer's: it stands, and as this; or the peer is told why it does not.
    pub fn answer_registration(&self, id: CallId, answer: Result<Arc<Registration>, Error>) {
        self.shared.with(|state, after| {
            match answer {
                Ok(registration) => {
                    state.peer_registration = Some(registration);
                    state.session.registered(id, Ok(()));
                }
                Err(error) => {
                    let refusal = (error.code(), error.message(), &*error.encoded());
                    state.session.registered(id, Err(refusal));
                }
            }
            after.wake_all(&mut state.watchers);
        });
    }

    /// Sends a notification: at most once, never answered.
    pub fn notify(&self, request: Request<'_>) -> Result<(), Error> {
        self.shared.with(|state, _| {
            state.check_open()?;
            let body = state.lend(request.body)?;
            state
                .session
                .notify(request.method, body, &request.options.meta)
                .map_err(Error::from_failure)
        })
    }

    /// Ends the connection: calls in flight end with CLOSED, the peer sees the end of file.
    pub fn close(&self) {
        self.shared.with(|state, _| state.session.close());
    }

    /// From now on a link that fails does not by itself end the calls in flight: `keeper` is woken, and whoever is behind it promises to call
    /// [`Connection::fail_with`] soon. A pool has this, because it learns a moment later how the worker died.
    pub fn keep(&self, keeper: Waker) {
        self.shared.with(|state, after| {
            if state.is_over() {
                after.wakes.push(keeper.clone());
            }
            state.keeper = Some(keeper);
        });
    }

    /// Takes what has arrived already, then ends the connection: calls in flight end with this error, each with its own verdict on whether it ran.
    ///
    /// ```
    /// use procall::{Connection, Encoding, Error, ErrorCode, Request, Side};
    /// use procall_transport::{mem, LinkOptions};
    ///
    /// let (ours, _theirs) = mem::pair(&LinkOptions::default()).unwrap();
    /// let connection = Connection::new(Box::new(ours), Side::Initiator, Default::default());
    /// let call = connection.start(Request::new("echo", Encoding::None, &[])).unwrap();
    /// connection.fail_with(&Error::new(ErrorCode::WorkerLost, "was killed by SIGKILL"));
    /// assert_eq!(call.wait().unwrap_err().message(), "was killed by SIGKILL");
    /// ```
    pub fn fail_with(&self, error: &Error) {
        self.shared.with(|state, after| state.fail_with(error, after));
    }

    /// Asks the peer for no more calls and lets those in flight finish; see [`Connection::poll_drained`].
    pub fn drain(&self, text: &str) {
        self.shared.with(|state, _| state.session.drain(clock::now(), text));
    }

    /// Ready once a [`drain`](Connection::drain) is done: every call of the peer's is answered, or the connection over.
    pub fn poll_drained(&self, waker: &Waker) -> Poll<()> {
        self.shared.watch(waker, |state| (state.drained || state.ended.is_some()).then_some(()))
    }

    /// Ready once the handshake is done; for who came to an engine for a service ([`Config::want`]), once somebody serves that.
    pub fn poll_ready(&self, waker: &Waker) -> Poll<Result<(), Error>> {
        self.shared.watch(waker, |state| match &state.ended {
            // Nothing can have run.
            Some(fault) => Some(Err(Error::from_fault(fault).with_executed(Executed::No))),
            None => state.is_ready().then_some(Ok(())),
        })
    }

    /// Ready once the peer has answered our registration.
    pub fn poll_registered(&self, waker: &Waker) -> Poll<Result<(), Error>> {
        self.shared.watch(waker, |state| match (&state.registered, &state.ended) {
            (Some(Ok(())), _) => Some(Ok(())),
            (Some(Err(failure)), _) => Some(Err(Error::from_failure(failure.clone()))),
            (None, Some(fault)) => Some(Err(Error::from_fault(fault))),
            (None, None) => None,
        })
    }

    /// Ready once the peer has told what it serves.
    pub fn poll_peer_registration(&self, waker: &Waker) -> Poll<Result<Arc<Registration>, Error>> {
        self.shared.watch(waker, |state| match (&state.peer_registration, &state.ended) {
            (Some(registration), _) => Some(Ok(registration.clone())),
            (None, Some(fault)) => Some(Err(Error::from_fault(fault))),
            (None, None) => None,
        })
    }

    /// Ready once the connection is over.
    pub fn poll_closed(&self, waker: &Waker) -> Poll<Error> {
        self.shared.watch(waker, |state| state.ended.as_ref().map(Error::from_fault))
    }

    /// Waits on this thread until one of the `poll_*` methods is ready, for `timeout` at most.
    ///
    /// ```no_run
    /// # fn f(connection: procall::Connection) -> Result<(), procall::WaitError> {
    /// use std::time::Duration;
    /// connection.wait_for(Some(Duration::from_secs(5)), &mut || false, |c, waker| c.poll_ready(waker))?.unwrap();
    /// # Ok(()) }
    /// ```
    pub fn wait_for<R>(
        &self,
        timeout: Option<Duration>,
        interrupt: Interrupt<'_>,
        mut poll: impl FnMut(&Self, &Waker) -> Poll<R>,
    ) -> Result<R, WaitError> {
        let deadline = timeout.map_or(Time::NEVER, |timeout| clock::now() + timeout);
        self.shared.wait(deadline, interrupt, |_, _| Poll::Pending, || poll(self, &thread_waker()))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("link", &self.shared.info).finish_non_exhaustive()
    }
}
