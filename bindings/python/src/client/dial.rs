//! From a name or an address to a connection.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use procall::transport::Link;
use procall::transport::shm::Choice;
use procall::{Config, Connection, Error, ErrorCode, Executed, Redial, Side, WaitError};
use pyo3::prelude::*;

use super::caller::Caller;
use crate::error;
use crate::hub::{Hub, Operation, Wait};
use crate::wait::wait;

/// The authorities to trust over TLS, and the certificate to show with its key: files, or what the environment says.
type Tls = (Option<PathBuf>, Option<PathBuf>, Option<PathBuf>);

/// Finds the service, connects and waits for the greeting. `None` is patience without end.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "they come from Python one by one")]
pub(crate) fn connect(
    py: Python<'_>,
    target: &str,
    timeout: Option<f64>,
    engine: Option<&str>,
    name: Option<&str>,
    tls: Tls,
    transport: Option<&str>,
    compression: Option<bool>,
) -> PyResult<Caller> {
    let mut finder = finder(py, target, timeout, engine, tls, transport)?;
    let config = compressed(caller_config(py, name)?, compression);
    let connected = wait(py, |interrupt| {
        let link = finder.wait(interrupt)?;
        let connection = open(link, finder.config(config.clone())?);
        let mut greeting = Greeting { pinged: false };
        let greeted = connection
            .wait_for(Some(finder.greeting()), interrupt, |connection, waker| {
                greeting.poll(connection, waker)
            })
            .unwrap_or_else(|ended| {
                Err(match ended {
                    WaitError::TimedOut => finder.unanswered(),
                    WaitError::Interrupted => interrupted(),
                })
            });
        match greeted {
            Ok(()) => Ok(connection),
            Err(error) => {
                connection.close();
                Err(error)
            }
        }
    })?;
    match connected {
        Ok(connection) => Ok(match kept(&finder, config, &connection) {
            Some(redial) => Caller::of_redial(redial, None),
            None => Caller::of(connection, None),
        }),
        Err(error) => Err(error::raise(py, &error)),
    }
}

/// A connection that leads to an engine is made anew when it is lost.
fn kept(finder: &procall::Finder, config: Config, connection: &Connection) -> Option<Redial> {
    if !finder.leads_to_engine() && !connection.leads_to_router() {
        return None;
    }
    let connect = |link, config| Ok(Connection::new(link, Side::Initiator, config));
    Some(Redial::keep(finder, config, connection.clone(), Box::new(connect)))
}

/// The search for a service, for event loops: they look, and pause in their own way.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Finder {
    finder: Mutex<procall::Finder>,
    /// As its connections are to be, unless the environment is to say it.
    compression: Option<bool>,
}

/// A service that was found and is not greeted yet.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Found {
    link: Mutex<Option<Box<dyn Link>>>,
    /// Who found it, and would again.
    finder: Option<Py<Finder>>,
}

impl Found {
    pub(crate) fn new(link: Box<dyn Link>) -> Self {
        Self { link: Mutex::new(Some(link)), finder: None }
    }

    /// What its finder has to say besides this.
    fn config(&self, py: Python<'_>, config: Config) -> PyResult<Config> {
        let Some(finder) = &self.finder else { return Ok(config) };
        finder.get().lock().config(config).map_err(|error| error::raise(py, &error))
    }

    fn take(&self, py: Python<'_>) -> PyResult<Box<dyn Link>> {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner).take();
        link.ok_or_else(|| error::invalid(py, "it was greeted already"))
    }
}

#[pymethods]
impl Finder {
    #[new]
    #[pyo3(signature = (target, timeout, engine = None, tls = (None, None, None), transport = None, compression = None))]
    #[allow(clippy::too_many_arguments, reason = "they are Python's, by name")]
    fn new(
        py: Python<'_>,
        target: &str,
        timeout: Option<f64>,
        engine: Option<&str>,
        tls: Tls,
        transport: Option<&str>,
        compression: Option<bool>,
    ) -> PyResult<Self> {
        let finder = Mutex::new(finder(py, target, timeout, engine, tls, transport)?);
        Ok(Self { finder, compression })
    }

    /// One look: `None` when nobody is there yet.
    fn try_open(slf: &Bound<'_, Self>) -> PyResult<Option<Found>> {
        let mut finder = slf.get().lock();
        let opened = finder.try_open().map_err(|error| error::raise(slf.py(), &error))?;
        let again = || Some(slf.clone().unbind());
        Ok(opened.map(|link| Found { finder: again(), ..Found::new(link) }))
    }

    /// Seconds until the next look.
    fn pause(&self) -> f64 {
        self.lock().pause().as_secs_f64()
    }

    /// Seconds that the service has to answer the greeting.
    fn greeting(&self) -> f64 {
        self.lock().greeting().as_secs_f64()
    }

    /// The error when it did not.
    fn unanswered<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        error::exception(py, &self.lock().unanswered())
    }
}

impl Finder {
    fn lock(&self) -> MutexGuard<'_, procall::Finder> {
        self.finder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Greets a service that was found, for asyncio: an awaitable.
#[pyfunction]
pub(crate) fn greet(
    hub: Py<Hub>,
    py: Python<'_>,
    found: &Found,
    name: Option<&str>,
) -> PyResult<Wait> {
    let compression = found.finder.as_ref().and_then(|finder| finder.get().compression);
    let config = compressed(caller_config(py, name)?, compression);
    let connection = open(found.take(py)?, found.config(py, config.clone())?);
    hub.get().attach(&connection).map_err(|error| error::raise(py, &error))?;
    let greet = Greet {
        connection: Some(connection),
        greeting: Greeting { pinged: false },
        config,
        finder: found.finder.as_ref().map(|finder| finder.clone_ref(py)),
        hub: hub.clone_ref(py),
    };
    Ok(Wait::new(hub, greet))
}

/// Greets a service of this process and waits for its answer.
#[pyfunction]
pub(crate) fn greet_own(py: Python<'_>, found: &Found) -> PyResult<Caller> {
    let config = caller_config(py, None)?;
    let connection = open(found.take(py)?, config);
    let mut greeting = Greeting { pinged: false };
    let greeted = wait(py, |interrupt| {
        connection.wait_for(None, interrupt, |connection, waker| greeting.poll(connection, waker))
    });
    let greeted = match greeted {
        Ok(greeted) => greeted.unwrap_or_else(|_| Err(interrupted())),
        Err(raised) => {
            connection.close();
            return Err(raised);
        }
    };
    match greeted {
        Ok(()) => Ok(Caller::of(connection, None)),
        Err(error) => {
            connection.close();
            Err(error::raise(py, &error))
        }
    }
}

fn interrupted() -> Error {
    Error::new(ErrorCode::Cancelled, "the wait was interrupted").with_executed(Executed::No)
}

/// The search, within the time that the handler which makes it has left.
fn finder(
    py: Python<'_>,
    target: &str,
    timeout: Option<f64>,
    engine: Option<&str>,
    (ca, cert, key): Tls,
    transport: Option<&str>,
) -> PyResult<procall::Finder> {
    let choice = transport.map(str::parse::<Choice>).transpose();
    let choice = choice.map_err(|error| error::invalid(py, format!("transport: {error}")))?;
    let patience = match timeout {
        None => Duration::MAX,
        Some(seconds) if seconds >= 0.0 => {
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
        }
        Some(seconds) => {
            return Err(error::invalid(
                py,
                format!("timeout is {seconds}: give seconds, 0 for one look, or None for no end"),
            ));
        }
    };
    let new = || {
        let tls = procall::TlsFiles { ca, cert, key };
        let finder = procall::Finder::new(target, patience).secured(tls);
        let finder = match choice {
            Some(choice) => finder.by(choice),
            None => finder,
        };
        match engine {
            Some(engine) => finder.through(engine),
            None => finder,
        }
    };
    crate::serve::inheriting(py, new)
}

pub(crate) fn config(name: &str) -> Config {
    Config {
        name: name.to_owned(),
        runtime: concat!("python/", env!("CARGO_PKG_VERSION")).to_owned(),
        pid: std::process::id(),
        compression: procall::surroundings::compression(),
        ..Config::default()
    }
}

/// The same with what a user has said of compression; else the environment has.
pub(crate) fn compressed(config: Config, compression: Option<bool>) -> Config {
    Config { compression: compression.unwrap_or(config.compression), ..config }
}

fn open(link: Box<dyn Link>, config: Config) -> Connection {
    Connection::new(link, Side::Initiator, config)
}

/// What a client says of itself: the name it is given, else that of the script, else that of the program.
fn caller_config(py: Python<'_>, name: Option<&str>) -> PyResult<Config> {
    if let Some(name) = name {
        return Ok(config(name));
    }
    // A program that embeds Python may have no arguments there.
    let script = py.import("sys")?.getattr("argv").and_then(|argv| argv.get_item(0)).ok();
    let script: Option<String> = script.and_then(|script| script.extract().ok());
    let name = script.as_deref().and_then(procall::name_of_program);
    Ok(config(name.as_deref().unwrap_or_else(|| procall::program_name())))
}

/// The handshake, and the registration that follows it at once where there is one: the answer to a ping comes behind it.
struct Greeting {
    pinged: bool,
}

impl Greeting {
    fn poll(&mut self, connection: &Connection, waker: &Waker) -> Poll<Result<(), Error>> {
        match connection.poll_ready(waker) {
            Poll::Ready(Ok(())) => {}
            unready => return unready,
        }
        if !std::mem::replace(&mut self.pinged, true) {
            connection.ping();
        }
        if connection.round_trip().is_some() {
            return Poll::Ready(Ok(()));
        }
        connection.poll_peer_registration(waker).map(|registration| registration.map(|_| ()))
    }
}

struct Greet {
    /// Gone once it is the caller's.
    connection: Option<Connection>,
    greeting: Greeting,
    config: Config,
    finder: Option<Py<Finder>>,
    hub: Py<Hub>,
}

impl Operation for Greet {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        let Some(connection) = &self.connection else {
            return Poll::Ready(Err(error::invalid(py, "it was greeted already")));
        };
        match self.greeting.poll(connection, waker) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error::raise(py, &error))),
            Poll::Ready(Ok(())) => {
                let hub = self.hub.clone_ref(py);
                let finder = self.finder.as_ref().map(|finder| finder.get().lock());
                let caller = match finder
                    .and_then(|finder| kept(&finder, self.config.clone(), connection))
                {
                    None => Caller::of(connection.clone(), Some(hub)),
                    Some(redial) => {
                        if let Err(error) = hub.get().attach_with(&|hub| redial.attach(hub)) {
                            return Poll::Ready(Err(error::raise(py, &error)));
                        }
                        Caller::of_redial(redial, Some(hub))
                    }
                };
                self.connection = None;
                Poll::Ready(caller.into_pyobject(py).map(Bound::into_any))
            }
        }
    }
}

impl Drop for Greet {
    fn drop(&mut self) {
        // Given up, or not answered: nothing of it stays.
        if let Some(connection) = &self.connection {
            connection.close();
        }
    }
}
