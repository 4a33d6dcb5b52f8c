//! From a name or an address to a connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use procall::transport::Link;
use procall::{Config, Connection, Error, ErrorCode, Executed, Side, WaitError};
use pyo3::prelude::*;

use super::caller::Caller;
use crate::error;
use crate::hub::{Hub, Operation, Wait};
use crate::wait::wait;

/// Connects and waits for the greeting.
#[pyfunction]
pub(crate) fn connect(py: Python<'_>, target: &str, timeout: f64) -> PyResult<Caller> {
    let timeout = Duration::try_from_secs_f64(timeout).unwrap_or(Duration::MAX);
    let connected = wait(py, |interrupt| {
        let connection = open(target)?;
        let mut greeting = Greeting { pinged: false };
        match connection.wait_for(Some(timeout), interrupt, |connection, waker| {
            greeting.poll(connection, waker)
        }) {
            Ok(greeted) => greeted.map(|()| connection),
            Err(WaitError::TimedOut) => Err(unanswered(target)),
            Err(WaitError::Interrupted) => {
                Err(Error::new(ErrorCode::Cancelled, "the wait was interrupted")
                    .with_executed(Executed::No))
            }
        }
    })?;
    match connected {
        Ok(connection) => Ok(Caller::new(Arc::new(connection), None)),
        Err(error) => Err(error::raise(py, &error)),
    }
}

/// The same for asyncio: gives an awaitable.
#[pyfunction]
pub(crate) fn connect_soon(hub: Py<Hub>, py: Python<'_>, target: String) -> Wait {
    let operation = Connect { target, stage: Stage::New, hub: hub.clone_ref(py) };
    Wait::new(hub, operation)
}

pub(crate) fn config(name: &str) -> Config {
    Config {
        name: name.to_owned(),
        runtime: concat!("python/", env!("CARGO_PKG_VERSION")).to_owned(),
        pid: std::process::id(),
        ..Config::default()
    }
}

fn open(target: &str) -> Result<Connection, Error> {
    let link = procall::open(target)?;
    Ok(Connection::new(link, Side::Initiator, config("")))
}

fn unanswered(target: &str) -> Error {
    Error::new(
        ErrorCode::NoWorker,
        format!("{target} accepts connections but does not answer in time"),
    )
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

struct Connect {
    target: String,
    stage: Stage,
    hub: Py<Hub>,
}

enum Stage {
    New,
    /// A thread of ours dials, because that may wait. It never enters Python.
    Dialling(Arc<Mutex<Dial>>),
    Greeting(Connection, Greeting),
}

#[derive(Default)]
struct Dial {
    link: Option<Result<Box<dyn Link>, Error>>,
    waker: Option<Waker>,
}

impl Operation for Connect {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        loop {
            match &mut self.stage {
                Stage::New => {
                    let dial =
                        Arc::new(Mutex::new(Dial { link: None, waker: Some(waker.clone()) }));
                    self.stage = Stage::Dialling(dial.clone());
                    let target = self.target.clone();
                    std::thread::spawn(move || {
                        let link = procall::open(&target);
                        let mut dial = dial.lock().unwrap_or_else(PoisonError::into_inner);
                        dial.link = Some(link);
                        if let Some(waker) = dial.waker.take() {
                            waker.wake();
                        }
                    });
                }
                Stage::Dialling(dial) => {
                    let link = {
                        let mut dial = dial.lock().unwrap_or_else(PoisonError::into_inner);
                        dial.waker = Some(waker.clone());
                        dial.link.take()
                    };
                    match link {
                        None => return Poll::Pending,
                        Some(Err(error)) => return Poll::Ready(Err(error::raise(py, &error))),
                        Some(Ok(link)) => {
                            let connection = Connection::new(link, Side::Initiator, config(""));
                            if let Err(error) = self.hub.get().attach(&connection) {
                                return Poll::Ready(Err(error::raise(py, &error)));
                            }
                            self.stage = Stage::Greeting(connection, Greeting { pinged: false });
                        }
                    }
                }
                Stage::Greeting(connection, greeting) => {
                    let Poll::Ready(greeted) = greeting.poll(connection, waker) else {
                        return Poll::Pending;
                    };
                    let connection = connection.clone();
                    return Poll::Ready(match greeted {
                        Ok(()) => Caller::new(Arc::new(connection), Some(self.hub.clone_ref(py)))
                            .into_pyobject(py)
                            .map(Bound::into_any),
                        Err(error) => Err(error::raise(py, &error)),
                    });
                }
            }
        }
    }
}
