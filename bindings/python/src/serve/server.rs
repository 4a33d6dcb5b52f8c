//! The service as Python sees it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use procall::transport::{LinkOptions, mem};
use procall::{
    Attachment, CallId, Connection, Encoded, Error, ErrorCode, Interrupt, Listener, Side, TlsFiles,
    surroundings,
};
use pyo3::exceptions::{PyRuntimeError, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::PyList;
use slab::Slab;

use super::answers::Answers;
use super::emit::{Emitter, Progress};
use super::run::{Handlers, Incomer, Rest};
use super::source::{Found, Source, Stopper};
use crate::client::{compressed, config};
use crate::error;
use crate::hub::Hub;
use crate::wait::wait;

/// A described service, and once it is open the place its calls come from.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Server {
    handlers: Handlers,
    source: Mutex<Option<Source>>,
    stopper: Stopper,
    place: Place,
}

/// Where a service is to be found; a pool's worker is not.
#[derive(Default)]
struct Place {
    /// Where it listens.
    address: Option<String>,
    /// The engine that it is registered with.
    engine: Option<String>,
}

#[pymethods]
impl Server {
    /// Opens the service: as a pool's worker when a pool started this process, else with an engine or listening, as the surroundings say.
    #[new]
    #[pyo3(signature = (document, methods, listen = None, hub = None, threads = false, engine = None, name = None, identity = None, tls = (None, None, None, None), compression = None))]
    #[allow(clippy::too_many_arguments, reason = "they are Python's, by name")]
    fn new(
        py: Python<'_>,
        document: &Bound<'_, PyAny>,
        methods: &Bound<'_, PyAny>,
        listen: Option<&str>,
        hub: Option<Py<Hub>>,
        threads: bool,
        engine: Option<&str>,
        name: Option<&str>,
        identity: Option<&str>,
        tls: Tls,
        compression: Option<bool>,
    ) -> PyResult<Self> {
        let handlers = Handlers::from_python(document, methods, hub, threads)?;
        let registration = handlers.table.registration();
        // An engine may take a while to be there.
        let opened = wait(py, |interrupt| {
            let told = Told { listen, engine, name, identity, tls, compression };
            open(registration, told, interrupt)
        })?;
        let (source, place) = opened.map_err(|error| error::raise(py, &error))?;
        Ok(Self::over(handlers, source, place))
    }

    /// Opens the service for one client in this process, which is to be greeted.
    #[staticmethod]
    fn in_memory(
        py: Python<'_>,
        document: &Bound<'_, PyAny>,
        methods: &Bound<'_, PyAny>,
        hub: Option<Py<Hub>>,
        threads: bool,
    ) -> PyResult<(Self, crate::client::dial::Found)> {
        let handlers = Handlers::from_python(document, methods, hub, threads)?;
        let registration = procall::Registration::clone(handlers.table.registration());
        let (ours, theirs) = mem::pair(&LinkOptions::default())?;
        let config = config(&registration.name);
        let connection = Connection::serving(Box::new(ours), Side::Acceptor, config);
        let source =
            Source::over(connection, registration).map_err(|error| error::raise(py, &error))?;
        let found = crate::client::dial::Found::new(Box::new(theirs));
        Ok((Self::over(handlers, source, Place::default()), found))
    }

    /// Where it listens; `None` in a worker, and with an engine.
    #[getter]
    fn address(&self) -> Option<&str> {
        self.place.address.as_deref()
    }

    /// The engine that it is registered with.
    #[getter]
    fn engine(&self) -> Option<&str> {
        self.place.engine.as_deref()
    }

    /// Serves until there is nobody left to serve, or until it is told to stop. Plain handlers run here, on the calling thread;
    /// calls for async ones, and for all when plain ones have threads, are given to `hand_over` in lists.
    fn pull(&self, py: Python<'_>, hand_over: Option<Py<PyAny>>) -> PyResult<()> {
        let mut source = self.take()?;
        let pulled = Pull::new(&self.handlers, &mut source).run(py, hand_over.as_ref());
        py.detach(|| source.close());
        match source.failure.take() {
            Some(error) if pulled.is_ok() => Err(error::raise(py, &error)),
            _ => pulled,
        }
    }

    /// Readable when `turn` has something to do.
    fn fileno(&self) -> PyResult<i32> {
        use std::os::fd::AsRawFd as _;
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let source = source.as_ref().ok_or_else(closed)?;
        Ok(source.hub().descriptor().as_raw_fd())
    }

    /// For an event loop: the calls that have arrived; `None` when there is nobody left to serve. Its handlers must all be async.
    fn turn<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let mut source = self.take()?;
        let calls = PyList::empty(py);
        let mut pull = Pull::new(&self.handlers, &mut source);
        let over = loop {
            match pull.source.look() {
                Found::Calls(key) => pull.batch(py, key, None, &calls)?,
                Found::Else => pull.source.writable.clear(),
                Found::Nothing => break false,
                Found::Over => break true,
            }
        };
        if let Some(error) = source.failure.take() {
            py.detach(|| source.close());
            return Err(error::raise(py, &error));
        }
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
        Ok((!over).then_some(calls))
    }

    /// Lets calls in flight finish and takes no new ones; `pull` returns then, `turn` gives `None`. From any thread, and from signal handlers.
    fn stop(&self) {
        self.stopper.stop();
    }

    fn close(&self, py: Python<'_>) {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut source) = source {
            py.detach(|| source.close());
        }
    }

    /// The context variable in which tasks keep the call that they serve.
    #[staticmethod]
    fn set_current(py: Python<'_>, variable: Py<PyAny>) {
        super::current::keep_variable(py, variable);
    }
}

impl Server {
    fn over(handlers: Handlers, source: Source, place: Place) -> Self {
        let stopper = source.stopper();
        Self { handlers, source: Mutex::new(Some(source)), stopper, place }
    }

    fn take(&self) -> PyResult<Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(closed)
    }
}

fn closed() -> PyErr {
    PyRuntimeError::new_err("the service runs already, or was closed")
}

/// The authorities to trust, the certificate to show with its key, and the authorities of those who connect: files, or what the environment
/// says.
type Tls = (Option<PathBuf>, Option<PathBuf>, Option<PathBuf>, Option<PathBuf>);

/// What a user has said; else the surroundings do.
struct Told<'a> {
    listen: Option<&'a str>,
    engine: Option<&'a str>,
    name: Option<&'a str>,
    identity: Option<&'a str>,
    tls: Tls,
    compression: Option<bool>,
}

fn open(
    registration: &procall::Registration,
    told: Told<'_>,
    interrupt: Interrupt<'_>,
) -> Result<(Source, Place), Error> {
    let Told { listen, engine, name, identity, tls: (ca, cert, key, client_ca), compression } =
        told;
    let tls = TlsFiles { ca, cert, key };
    let config = |name: &str| compressed(config(name), compression);
    if let Some(parent) = surroundings::parent()? {
        let config = procall::Config { token: parent.token, ..config(&registration.name) };
        let connection = Connection::serving(parent.link, Side::Initiator, config);
        return Ok((
            Source::worker(connection, parent.lifeline, registration.clone())?,
            Place::default(),
        ));
    }
    match surroundings::place_of(listen, engine, &registration.name)? {
        surroundings::Place::Engine { target, patience } => {
            let id = identity.unwrap_or_default().to_owned();
            let config = procall::Config { id, ..config(name.unwrap_or(&registration.name)) };
            let connect = |link, config| Ok(Connection::serving(link, Side::Initiator, config));
            let known = Arc::new(registration.clone());
            let attachment = Attachment::begin_secured(
                &target,
                tls,
                patience,
                known,
                config,
                Box::new(connect),
            )?;
            let first = attachment.wait(interrupt)?;
            let source = Source::attached(attachment, first, registration.clone())?;
            Ok((source, Place { engine: Some(target), ..Place::default() }))
        }
        surroundings::Place::Address(address) => {
            let listener = Listener::bind_files(&address, &tls, client_ca.as_deref())?;
            let address = Some(listener.address().to_string());
            let source = Source::listening(listener, registration.clone(), compression)?;
            Ok((source, Place { address, ..Place::default() }))
        }
    }
}

struct Pull<'a> {
    handlers: &'a Handlers,
    source: &'a mut Source,
    emitters: Slab<Emitter>,
    /// A handler has ended the service.
    refusing: bool,
    held: Vec<(CallId, Result<Encoded, Error>)>,
}

impl<'a> Pull<'a> {
    fn new(handlers: &'a Handlers, source: &'a mut Source) -> Self {
        Self { handlers, source, emitters: Slab::new(), refusing: false, held: Vec::new() }
    }

    fn run(&mut self, py: Python<'_>, hand_over: Option<&Py<PyAny>>) -> PyResult<()> {
        // Emitters that are not blocked.
        let mut ready: Vec<usize> = Vec::new();
        let mut exit = Ok(());
        loop {
            match self.step(py, hand_over, &mut ready) {
                Ok(false) => {}
                Ok(true) => return exit,
                // A handler that exits ends the service, but in order: no call is lost by it.
                Err(raised) if raised.is_instance_of::<PySystemExit>(py) && exit.is_ok() => {
                    exit = Err(raised);
                    self.refuse(py);
                    ready.clear();
                }
                Err(raised) => return Err(raised),
            }
        }
    }

    /// From now on every call is refused, and those that stream are ended.
    fn refuse(&mut self, py: Python<'_>) {
        self.refusing = true;
        self.source.stopper().stop();
        for emitter in self.emitters.drain() {
            emitter.end(py);
        }
    }

    /// Waits for something, and does it; true when nobody is left to serve.
    fn step(
        &mut self,
        py: Python<'_>,
        hand_over: Option<&Py<PyAny>>,
        ready: &mut Vec<usize>,
    ) -> PyResult<bool> {
        let source = &mut *self.source;
        let streaming = !self.emitters.is_empty();
        let found = if ready.is_empty() {
            wait(py, |interrupt| source.wait(streaming, interrupt))?
        } else {
            py.check_signals()?;
            py.detach(|| source.look())
        };
        match found {
            Found::Calls(key) => {
                let first = self.emitters.len();
                if let Some(hand_over) = hand_over {
                    // First, so that none of them waits for a plain handler.
                    let calls = PyList::empty(py);
                    self.batch(py, key, Some(true), &calls)?;
                    if !calls.is_empty() {
                        hand_over.call1(py, (calls,))?;
                    }
                }
                self.batch(py, key, hand_over.map(|_| false), &PyList::empty(py))?;
                if self.emitters.len() > first {
                    *ready = self.emitters.iter().map(|(key, _)| key).collect();
                }
            }
            Found::Over => return Ok(true),
            Found::Else | Found::Nothing => {}
        }
        for key in std::mem::take(&mut self.source.writable) {
            if !ready.contains(&key) {
                ready.push(key);
            }
        }
        let mut still = Vec::new();
        for key in ready.drain(..) {
            let Some(emitter) = self.emitters.get_mut(key) else { continue };
            match emitter.advance(py, &self.source.stream_waker(key))? {
                Progress::More => still.push(key),
                Progress::Blocked => {}
                Progress::Over => drop(self.emitters.remove(key)),
            }
        }
        *ready = still;
        Ok(false)
    }

    /// Serves the batch of a peer, or only the calls that others run, which are appended to `calls`, or only the rest.
    fn batch(
        &mut self,
        py: Python<'_>,
        key: usize,
        only_handed: Option<bool>,
        calls: &Bound<'_, PyList>,
    ) -> PyResult<()> {
        let Some(peer) = self.source.peers.get_mut(key) else { return Ok(()) };
        let batch = std::mem::take(&mut peer.batch);
        let connection = peer.connection.clone();
        let mut answers = Answers::new(&connection, &mut self.held, Instant::now());
        let mut outcome = Ok(());
        for call in batch.iter() {
            let incomer = Incomer { connection: &connection, batch: &batch, call };
            if only_handed.is_some_and(|only| only != self.handlers.is_handed_over(&incomer)) {
                continue;
            }
            if self.refusing || outcome.is_err() {
                if let Some(id) = call.id {
                    let error = Error::new(ErrorCode::Unavailable, "the service is ending");
                    answers.push(id, Err(error));
                }
                continue;
            }
            match self.handlers.serve(py, &incomer, &mut answers) {
                Ok(Rest::Nothing) => {}
                Ok(Rest::Emit(emitter)) => _ = self.emitters.insert(emitter),
                Ok(Rest::Await(call)) => {
                    outcome = call.into_pyobject(py).and_then(|call| calls.append(call))
                }
                Err(raised) => {
                    if raised.is_instance_of::<PySystemExit>(py) {
                        // Said before the answer: whoever reads that knows already that no more is to be had here.
                        self.source.drain("a handler has ended the service");
                    }
                    outcome = Err(raised);
                }
            }
        }
        answers.flush();
        let mut batch = batch;
        if only_handed != Some(true) {
            batch.clear();
        }
        if let Some(peer) = self.source.peers.get_mut(key) {
            peer.batch = batch;
        }
        outcome
    }
}
