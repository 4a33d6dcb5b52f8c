//! A channel with the options for its calls.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use procall::{
    CallOptions, Channel, Connection, Deadline, Error, Lent, MethodInfo, OnTimeout, Redial,
    Registration, Request, Shape, Started,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::answers::Answers;
use super::method::Method;
use super::params;
use super::report::{PROGRESS, Report, Reporting};
use super::stream::{AsyncStream, Stream};
use super::submitted::Submitted;
use crate::convert;
use crate::error;
use crate::figures;
use crate::fork::Lineage;
use crate::hub::{CallReply, Hub, Wait};
use crate::memory::Memory;
use crate::options::Given;
use crate::wait::wait;

const DEADLINE: &str = "seconds from 0, or None for no deadline";
const COPY: &str = "\"once\" or \"never\"";
const ON_TIMEOUT: &str = "\"return\" or \"restart\"";

/// What clients and pools call through: a channel, and how its calls are made.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Caller {
    channel: Arc<dyn Channel>,
    options: CallOptions,
    reporting: Option<Reporting>,
    /// An array that would have to be copied is an error.
    strict: bool,
    /// The event loop whose code calls; blocking code has none.
    hub: Option<Py<Hub>>,
    reach: Arc<Reach>,
}

/// Has a hub read the connections of a channel.
type Attach = dyn Fn(&procall::Hub) -> Result<(), Error> + Send + Sync;

/// Where the channel comes from, and who reads it.
struct Reach {
    attach: Box<Attach>,
    /// The thread that completes futures reads it.
    attached: OnceLock<()>,
    /// A forked child has only copies of descriptors, and none of the threads.
    lineage: Lineage,
}

impl Caller {
    pub(crate) fn new(
        channel: Arc<dyn Channel>,
        attach: impl Fn(&procall::Hub) -> Result<(), Error> + Send + Sync + 'static,
        hub: Option<Py<Hub>>,
    ) -> Self {
        let reach = Reach {
            attach: Box::new(attach),
            attached: OnceLock::new(),
            lineage: Lineage::current(),
        };
        Self {
            channel,
            options: CallOptions::default(),
            reporting: None,
            strict: false,
            hub,
            reach: Arc::new(reach),
        }
    }

    /// What calls on this connection.
    pub(crate) fn of(connection: Connection, hub: Option<Py<Hub>>) -> Self {
        let channel: Arc<dyn Channel> = Arc::new(connection.clone());
        Self::new(channel, move |hub| hub.attach(&connection), hub)
    }

    /// The same on a connection to an engine, which is made anew when it is lost.
    pub(crate) fn of_redial(redial: Redial, hub: Option<Py<Hub>>) -> Self {
        let channel: Arc<dyn Channel> = Arc::new(redial.clone());
        Self::new(channel, move |hub| redial.attach(hub), hub)
    }

    /// What is known of a method, by its full name or the last part of it.
    pub(super) fn signature(&self, method: &str) -> Option<MethodInfo> {
        let registration = self.channel.registration()?;
        find(&registration, method).cloned()
    }

    pub(super) fn shape(&self, method: &str) -> Option<Shape> {
        let registration = self.channel.registration()?;
        find(&registration, method).map(|info| info.shape)
    }

    /// Encodes something for the channel, which may be lent large arrays of it.
    pub(super) fn lending<R>(&self, encode: impl FnOnce() -> R) -> (R, Lent) {
        procall::lending(self.channel.clone(), self.strict, encode)
    }

    pub(crate) fn hub(&self) -> Option<&Py<Hub>> {
        self.hub.as_ref()
    }

    fn start(
        &self,
        method: &str,
        shape: Shape,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Started> {
        let start = |request: Request<'_>| procall::start_retrying(&self.channel, request);
        self.begin(method, shape, args, kwargs, start)?
            .map_err(|error| error::raise(args.py(), &error))
    }

    /// Does `start` with the request that these arguments make.
    pub(crate) fn begin<R>(
        &self,
        method: &str,
        shape: Shape,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        start: impl FnOnce(Request<'_>) -> R,
    ) -> PyResult<R> {
        let py = args.py();
        self.check(py)?;
        let mut params = params::encode(self, method, args, kwargs)?;
        let options = CallOptions {
            items_in: shape.items_in(),
            items_out: shape.items_out(),
            ..self.options.clone()
        };
        let request = Request { method, body: params.body(), options };
        // A plain handler is known to its thread, an async one to its task.
        crate::serve::inheriting(py, || start(request))
    }

    /// Refuses what would never end: a call in a forked child, or from an event loop that does not read the channel.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.reach.lineage.check(py)?;
        match &self.hub {
            Some(hub) => hub.get().check_loop(py),
            None => Ok(()),
        }
    }

    /// Calls as the method's shape wants it; a value when the shape is not known.
    pub(super) fn invoke<'py>(
        slf: &Bound<'py, Self>,
        method: &str,
        shape: Shape,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let started = this.start(method, shape, args, kwargs)?;
        let report = this.report(py, method)?;
        match (shape, &this.hub) {
            (Shape::Unary, None) => reply(py, started, report),
            (Shape::Unary, Some(hub)) => {
                let operation = CallReply::new(started, report);
                Ok(Wait::new(hub.clone_ref(py), operation).into_pyobject(py)?.into_any())
            }
            (shape, None) => Ok(Stream::new(started, shape, report, this.channel.clone())
                .into_pyobject(py)?
                .into_any()),
            (shape, Some(hub)) => {
                let stream = AsyncStream::new(
                    started,
                    shape,
                    report,
                    hub.clone_ref(py),
                    this.channel.clone(),
                );
                Ok(stream.into_pyobject(py)?.into_any())
            }
        }
    }

    /// Who hears of the progress of a call.
    fn report(&self, py: Python<'_>, method: &str) -> PyResult<Option<Report>> {
        self.reporting.as_ref().map(|reporting| reporting.of(py, method)).transpose()
    }
}

fn reply<'py>(
    py: Python<'py>,
    mut started: Started,
    report: Option<Report>,
) -> PyResult<Bound<'py, PyAny>> {
    if let Some(report) = &report {
        started = report.follow(py, started)?;
    }
    let reply = wait(py, move |interrupt| started.wait_interruptibly(interrupt))?
        .map_err(|error| error::raise(py, &error))?;
    convert::decode_value(py, &reply)
        .map_err(|refusal| error::raise(py, &error::unreadable(&refusal)))
}

#[pymethods]
impl Caller {
    /// The method of this name, as a callable.
    fn method(slf: &Bound<'_, Self>, name: String) -> Method {
        Method::new(slf.clone().unbind(), name)
    }

    fn call<'py>(
        slf: &Bound<'py, Self>,
        method: &str,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::invoke(slf, method, Shape::Unary, args, kwargs)
    }

    fn stream<'py>(
        slf: &Bound<'py, Self>,
        method: &str,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::invoke(slf, method, Shape::ItemsOut, args, kwargs)
    }

    /// A call with a stream from this side. The answer is a stream too, unless the method is known to give a value.
    fn duplex<'py>(
        slf: &Bound<'py, Self>,
        method: &str,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let shape = match slf.get().shape(method) {
            Some(Shape::ItemsIn) => Shape::ItemsIn,
            _ => Shape::Duplex,
        };
        Self::invoke(slf, method, shape, args, kwargs)
    }

    /// Starts a call for blocking code that wants the result later.
    fn submit(
        &self,
        method: &str,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Submitted> {
        self.start(method, Shape::Unary, args, kwargs).map(Submitted::new)
    }

    /// Starts a call whose outcome completes a `concurrent.futures.Future`, when the thread that turns the hub gets to it. The number takes it
    /// back.
    fn deliver(
        &self,
        hub: &Bound<'_, Hub>,
        future: Py<PyAny>,
        method: &str,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<u64> {
        let py = args.py();
        self.check(py)?;
        if self.reach.attached.get().is_none() {
            hub.get().attach_with(&self.reach.attach).map_err(|error| error::raise(py, &error))?;
            // Only threads with the GIL come here, so that nobody was quicker.
            let _ = self.reach.attached.set(());
        }
        let started = self.start(method, Shape::Unary, args, kwargs)?;
        hub.get().deliver(py, started, self.report(py, method)?, future)
    }

    /// Starts the calls of `entries`, each `(method, args, kwargs)`, with one write a connection. `answer` makes an answer of `(worker, value,
    /// error)`; the answers are a list in order, which is awaited when the caller is an event loop's. A call with arguments that cannot be sent
    /// keeps all of them here.
    fn batch<'py>(
        &self,
        entries: &Bound<'py, PyList>,
        answer: Py<PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = entries.py();
        self.check(py)?;
        let mut requests = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let (method, args, kwargs): (String, Bound<'_, PyTuple>, Bound<'_, PyDict>) =
                entry.extract()?;
            match params::encode(self, &method, &args, Some(&kwargs)) {
                Ok(params) => requests.push((method, params)),
                Err(error) => {
                    error.add_note(py, format!("in call {at} of the batch, counted from 0"))?;
                    return Err(error);
                }
            }
        }
        let start = || {
            let start = |(method, mut params): (String, params::Params)| {
                let options = self.options.clone();
                let request = Request { method: &method, body: params.body(), options };
                ("".into(), procall::start_retrying(&self.channel, request))
            };
            procall::coalesce(|| requests.into_iter().map(start).collect())
        };
        let started = crate::serve::inheriting(py, start)?;
        Answers::new(started, answer).give(py, self.hub.as_ref())
    }

    fn notify(
        &self,
        py: Python<'_>,
        method: &str,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        self.reach.lineage.check(py)?;
        let mut params = params::encode(self, method, args, kwargs)?;
        let request = Request { method, body: params.body(), options: self.options.clone() };
        self.channel.notify(request).map_err(|error| error::raise(py, &error))
    }

    /// The registration of the other side as a dict, when it is known already.
    fn registration<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.channel.registration() {
            Some(registration) => crate::registration::to_python(py, &registration).map(Some),
            None => Ok(None),
        }
    }

    /// Memory for so many bytes that crosses to the other side without a copy; `None` when the channel cannot lend any.
    fn memory(&self, py: Python<'_>, len: usize) -> PyResult<Option<Memory>> {
        let taken = py.detach(|| match self.channel.arena() {
            // A buffer of no bytes lies nowhere.
            Some(arena) if len > 0 => Ok(arena.take(len)?.map(|buffer| arena.expose(buffer))),
            _ => Ok(None),
        });
        taken.map(|taken| taken.map(Memory::ours)).map_err(|error: std::io::Error| error.into())
    }

    /// What was counted of the calls on this channel, as a dict.
    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        figures::metrics(py, &self.channel.metrics())
    }

    /// The same channel with other options; those that are absent or `None` stay as they are.
    fn with_options(&self, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let py = options.py();
        let mut given = Given::new(options);
        let mut options = self.options.clone();
        if let Some(deadline) = given.read("deadline", DEADLINE, deadline)? {
            options.deadline = deadline;
        }
        if let Some(idempotent) = given.flag("idempotent")? {
            options.idempotent = idempotent;
        }
        if let Some(retries) = given.whole("retries")? {
            options.retries = Some(retries);
        }
        if let Some(key) = given.text("idempotency_key")? {
            options.idempotency_key = Some(key.into());
        }
        if let Some(key) = given.text("key")? {
            options.key = Some(key.into());
        }
        if let Some(worker) = given.text("to")? {
            options.to = Some(worker.into());
        }
        if let Some(version) = given.text("version")? {
            options.version = Some(version.into());
        }
        if let Some(wait) = given.flag("wait")? {
            options.wait = wait;
        }
        if let Some(then) = given.read("on_timeout", ON_TIMEOUT, on_timeout)? {
            options.on_timeout = then;
        }
        let meta = given.read("meta", "a dict", |value| value.cast::<PyDict>().ok().cloned())?;
        if let Some(meta) = meta {
            let mut bytes = Vec::new();
            convert::encode(meta.as_any(), &mut bytes)
                .map_err(|refusal| error::raise(py, &error::refused(&refusal, "meta")))?;
            options.meta = bytes;
        }
        let reporting = given.read("progress", PROGRESS, Reporting::from_python)?;
        let strict =
            given.read("copy", COPY, |value| match &*value.extract::<String>().ok()? {
                "never" => Some(true),
                "once" => Some(false),
                _ => None,
            })?;
        given.finish("a call")?;
        let own = || self.reporting.as_ref().map(|reporting| reporting.clone_ref(py));
        Ok(Self {
            channel: self.channel.clone(),
            options,
            reporting: reporting.unwrap_or_else(own),
            strict: strict.unwrap_or(self.strict),
            hub: self.hub.as_ref().map(|hub| hub.clone_ref(py)),
            reach: self.reach.clone(),
        })
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.channel.close());
    }
}

/// Seconds until a call is given up; infinity is never.
fn deadline(value: &Bound<'_, PyAny>) -> Option<Deadline> {
    let seconds: f64 = value.extract().ok()?;
    (seconds >= 0.0)
        .then(|| Duration::try_from_secs_f64(seconds).map_or(Deadline::Never, Deadline::After))
}

fn on_timeout(value: &Bound<'_, PyAny>) -> Option<OnTimeout> {
    match &*value.extract::<String>().ok()? {
        "return" => Some(OnTimeout::Return),
        "restart" => Some(OnTimeout::Restart),
        _ => None,
    }
}

fn find<'a>(registration: &'a Registration, method: &str) -> Option<&'a MethodInfo> {
    let exact = registration.methods.iter().find(|info| info.name == method);
    exact.or_else(|| {
        let mut same = registration
            .methods
            .iter()
            .filter(|info| info.name.strip_suffix(method).is_some_and(|rest| rest.ends_with('.')));
        same.next().filter(|_| same.next().is_none())
    })
}
