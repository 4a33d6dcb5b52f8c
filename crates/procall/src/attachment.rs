//! A service's place with an engine, for every kind of program.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use procall_proto::{Config, ErrorCode, Executed};

use crate::connection::{Connection, Interrupt, thread_waker};
use crate::error::Error;
use crate::finder::Finder;
use crate::greeting::{LOOK, greet};
use crate::lookout::{self, Watches};
use crate::pauses::Pauses;
use crate::redial::Connect;
use crate::registration::Registration;
use crate::surroundings;
use crate::tls::TlsFiles;

/// How long a wait goes on before it looks for an interrupt.
const SLICE: Duration = Duration::from_millis(100);

/// A service's place with an engine: it is registered there, and again whenever the engine was away.
///
/// It gives connections that are registered already: one at first, and another whenever the one before was lost and the engine is back. A
/// thread looks for the engine meanwhile, with pauses of up to 2 s that differ (full jitter), so that no runtime and no event loop is needed.
/// Whoever takes a connection reads it and serves the calls that arrive.
///
/// Dropping or [closing](Self::close) it ends the search. The connections that were taken live on.
///
/// ```no_run
/// # fn f() -> Result<(), procall::Error> {
/// use std::sync::Arc;
/// use procall::{Attachment, Config, Connection, Finder, Registration, Side};
///
/// let registration = Arc::new(Registration { name: "math".into(), ..Registration::default() });
/// let connect = |link, config| Ok(Connection::serving(link, Side::Initiator, config));
/// let place = Attachment::begin(
///     "tcp:127.0.0.1:8080", Finder::PATIENCE, registration, Config::default(), Box::new(connect),
/// )?;
/// loop {
///     let engine = place.wait(&mut || false)?;
///     let mut batch = procall::Batch::new();
///     while engine.wait_calls(&mut batch, None, &mut || false).is_ok() {
///         // Answer them.
///     }
/// }
/// # }
/// ```
pub struct Attachment {
    shared: Arc<Shared>,
}

struct Shared {
    engine: String,
    tls: TlsFiles,
    registration: Arc<Registration>,
    config: Config,
    connect: Box<Connect>,
    state: Mutex<State>,
    /// Told when nothing is looked for any more.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The last connection, to see its end.
    current: Option<Connection>,
    /// The same while nobody has taken it.
    fresh: Option<Connection>,
    /// Why there will be none any more.
    failure: Option<Error>,
    looking: bool,
    closed: bool,
    waker: Option<Waker>,
}

impl Attachment {
    /// Begins to look for the engine at an address or under a name; the first search goes on for `patience`.
    ///
    /// `connect` makes a serving connection of a link; `config.name` is what the worker wants to be called, which is the engine's choice when
    /// it is empty or the service's own name, and `config.id` by what an engine with a state recognises it: see
    /// [`surroundings::identity`].
    ///
    /// # Errors
    ///
    /// INTERNAL when the system gives no thread; INVALID_ARGUMENT for an id that cannot be one; PERMISSION_DENIED and INVALID_ARGUMENT when the token of `PROCALL_ENGINE_TOKEN_FILE` cannot be
    /// used. Without that variable, `config.token` is shown, or none. What the engine says comes with [`poll_connection`](Self::poll_connection).
    pub fn begin(
        engine: &str,
        patience: Duration,
        registration: Arc<Registration>,
        config: Config,
        connect: Box<Connect>,
    ) -> Result<Self, Error> {
        let tls = TlsFiles::default();
        Self::begin_secured(engine, tls, patience, registration, config, connect)
    }

    /// The same with files of the caller's own for an engine over TLS, instead of those of the environment.
    ///
    /// # Errors
    ///
    /// Those of [`begin`](Self::begin).
    pub fn begin_secured(
        engine: &str,
        tls: TlsFiles,
        patience: Duration,
        registration: Arc<Registration>,
        config: Config,
        connect: Box<Connect>,
    ) -> Result<Self, Error> {
        // Before anything is looked for: a token that cannot be read is no reason to wait.
        let token = match config.token {
            Some(token) => Some(token),
            None => surroundings::engine_token()?,
        };
        let id = surroundings::identity(&config.id, &registration.name)?;
        let config = Config { token, id, ..config };
        let state = State { looking: true, ..State::default() };
        let shared = Arc::new(Shared {
            engine: engine.to_owned(),
            tls,
            registration,
            config,
            connect,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let attachment = Self { shared: shared.clone() };
        lookout::thread("procall-engine", move || shared.look(Some(patience)))?;
        Ok(attachment)
    }

    /// The engine, as it was named.
    pub fn engine(&self) -> &str {
        &self.shared.engine
    }

    /// The next connection, once the engine has taken the registration; each is given once. The waker replaces the one given before.
    ///
    /// # Errors
    ///
    /// Of the first: NO_WORKER when no engine was there in time, what the engine says against the registration (INVALID_ARGUMENT,
    /// NAME_TAKEN), INVALID_ARGUMENT when a service listens there and no engine. Of later ones: what no patience helps against. There is no
    /// connection after an error.
    pub fn poll_connection(&self, waker: &Waker) -> Poll<Result<Connection, Error>> {
        let mut state = self.shared.lock();
        if let Some(connection) = state.fresh.take() {
            return Poll::Ready(Ok(connection));
        }
        if let Some(error) = &state.failure {
            return Poll::Ready(Err(error.clone()));
        }
        state.waker = Some(waker.clone());
        Poll::Pending
    }

    /// Waits on this thread for the next connection; `interrupt` is asked ten times a second.
    ///
    /// # Errors
    ///
    /// Those of [`poll_connection`](Self::poll_connection), and CANCELLED by the interrupt.
    pub fn wait(&self, interrupt: Interrupt<'_>) -> Result<Connection, Error> {
        let waker = thread_waker();
        loop {
            if let Poll::Ready(connection) = self.poll_connection(&waker) {
                return connection;
            }
            std::thread::park_timeout(SLICE);
            if interrupt() {
                return Err(Error::new(ErrorCode::Cancelled, "the wait was interrupted")
                    .with_executed(Executed::No));
            }
        }
    }
}

impl Attachment {
    /// Ends the search; there are no more connections, and the one that was taken lives on.
    pub fn close(&self) {
        let untaken = {
            let mut state = self.shared.lock();
            state.closed = true;
            state.current = None;
            state.waker = None;
            state.fresh.take()
        };
        self.shared.changed.notify_all();
        if let Some(connection) = untaken {
            connection.close();
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment").field("engine", &self.shared.engine).finish_non_exhaustive()
    }
}

/// Whether no patience helps. That a name is taken may be this very service's own ghost.
fn is_final(error: &Error) -> bool {
    matches!(
        error.code(),
        ErrorCode::InvalidArgument
            | ErrorCode::PermissionDenied
            | ErrorCode::Unauthenticated
            | ErrorCode::VersionMismatch
    )
}

/// Whether the engine was there and went, so that the first search goes on.
fn is_passing(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::ConnectionLost | ErrorCode::Unavailable)
}

impl Watches for Shared {
    /// Looks for the engine when the connection is lost, else waits for that.
    fn watch(self: &Arc<Self>) {
        let Some(connection) = self.lock().current.clone() else { return };
        if connection.poll_closed(&lookout::waker(self)).is_pending() {
            return;
        }
        {
            let mut state = self.lock();
            let known = state.current.as_ref().is_some_and(|current| current.same(&connection));
            if !known || state.closed || state.looking {
                return;
            }
            state.looking = true;
        }
        let shared = self.clone();
        if let Err(error) = lookout::thread("procall-engine", move || shared.look(None)) {
            self.fail(error);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for the engine until it has taken the registration, or nobody wants that any more: within the patience at first, later without end.
    fn look(self: &Arc<Self>, patience: Option<Duration>) {
        let begun = Instant::now();
        let mut pauses = Pauses::default();
        let mut pausing = patience.is_none();
        loop {
            if pausing && !self.pause(pauses.next()) {
                return;
            }
            pausing = true;
            let left = patience.map(|patience| patience.saturating_sub(begun.elapsed()));
            let error = match self.register(left.unwrap_or(LOOK)) {
                Ok(connection) => return self.arrived(connection),
                Err(error) => error,
            };
            let over = match left {
                Some(left) => left.is_zero() || !is_passing(&error),
                None => is_final(&error),
            };
            if over {
                return self.fail(error);
            }
        }
    }

    fn register(&self, patience: Duration) -> Result<Connection, Error> {
        let mut closed = || self.lock().closed;
        let finder = Finder::of_engine(&self.engine, patience);
        let link = finder.secured(self.tls.clone()).wait(&mut closed)?;
        let registration = Some(&*self.registration);
        greet(&self.connect, link, self.config.clone(), registration, &mut closed)
    }

    fn arrived(self: &Arc<Self>, connection: Connection) {
        let waker = {
            let mut state = self.lock();
            if state.closed {
                drop(state);
                return connection.close();
            }
            state.looking = false;
            state.current = Some(connection.clone());
            state.fresh = Some(connection);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        self.watch();
    }

    fn fail(&self, error: Error) {
        let waker = {
            let mut state = self.lock();
            state.failure = Some(error);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits; false when nobody wants the engine any more.
    fn pause(&self, pause: Duration) -> bool {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, pause, |state| !state.closed);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }
}
