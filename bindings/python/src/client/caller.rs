//! A channel with the options for its calls.

use std::sync::Arc;
use std::time::Duration;

use procall::{CallOptions, Channel, Deadline, MethodInfo, Registration, Request, Shape, Started};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::method::Method;
use super::params;
use super::stream::{AsyncStream, Stream};
use super::submitted::Submitted;
use crate::convert;
use crate::error;
use crate::hub::{CallReply, Hub, Wait};
use crate::wait::wait;

/// What clients and pools call through: a channel, and how its calls are made.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Caller {
    channel: Arc<dyn Channel>,
    options: CallOptions,
    on_progress: Option<Py<PyAny>>,
    /// The event loop whose code calls; blocking code has none.
    hub: Option<Py<Hub>>,
}

impl Caller {
    pub(crate) fn new(channel: Arc<dyn Channel>, hub: Option<Py<Hub>>) -> Self {
        Self { channel, options: CallOptions::default(), on_progress: None, hub }
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

    fn start(
        &self,
        method: &str,
        shape: Shape,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Started> {
        let py = args.py();
        let mut params = params::encode(self, method, args, kwargs)?;
        let options = CallOptions {
            items_in: shape.items_in(),
            items_out: shape.items_out(),
            ..self.options.clone()
        };
        let request = Request { method, body: params.body(), options };
        // A plain handler's deadline is known to its thread, an async one's to its task.
        let started = match crate::serve::current_remaining(py)? {
            Some(left) => procall::with_remaining(Some(left), || self.channel.start(request)),
            None => self.channel.start(request),
        };
        started.map_err(|error| error::raise(py, &error))
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
        match (shape, &this.hub) {
            (Shape::Unary, None) => this.reply(py, started),
            (Shape::Unary, Some(hub)) => {
                let progress = this.on_progress.as_ref().map(|report| report.clone_ref(py));
                let operation = CallReply::new(started, progress);
                Ok(Wait::new(hub.clone_ref(py), operation).into_pyobject(py)?.into_any())
            }
            (shape, None) => Ok(Stream::new(started, shape).into_pyobject(py)?.into_any()),
            (shape, Some(hub)) => {
                let stream = AsyncStream::new(started, shape, hub.clone_ref(py));
                Ok(stream.into_pyobject(py)?.into_any())
            }
        }
    }

    fn reply<'py>(&self, py: Python<'py>, mut started: Started) -> PyResult<Bound<'py, PyAny>> {
        if let Some(report) = &self.on_progress {
            while let Ok(Some(progress)) = {
                let started = &mut started;
                wait(py, move |interrupt| started.wait_progress(interrupt))?
            } {
                report.call1(py, (progress.done, progress.total, progress.text))?;
            }
        }
        let reply = wait(py, move |interrupt| started.wait_interruptibly(interrupt))?
            .map_err(|error| error::raise(py, &error))?;
        convert::decode(py, reply.encoding, &reply.bytes)
            .map_err(|refusal| error::raise(py, &error::unreadable(&refusal)))
    }
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

    fn notify(
        &self,
        py: Python<'_>,
        method: &str,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
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

    /// The same channel with other options. `deadline` in seconds; `inf` is none, and a negative one leaves it as it is.
    fn with_options(
        &self,
        py: Python<'_>,
        deadline: f64,
        idempotent: Option<bool>,
        meta: Option<&Bound<'_, PyDict>>,
        on_progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let mut options = self.options.clone();
        if deadline >= 0.0 {
            options.deadline = match Duration::try_from_secs_f64(deadline) {
                Ok(timeout) => Deadline::After(timeout),
                Err(_) => Deadline::Never,
            };
        }
        if let Some(idempotent) = idempotent {
            options.idempotent = idempotent;
        }
        if let Some(meta) = meta {
            let mut bytes = Vec::new();
            convert::encode(meta.as_any(), &mut bytes)
                .map_err(|refusal| error::raise(py, &error::refused(&refusal, "meta")))?;
            options.meta = bytes;
        }
        let own = self.on_progress.as_ref().map(|report| report.clone_ref(py));
        Ok(Self {
            channel: self.channel.clone(),
            options,
            on_progress: on_progress.or(own),
            hub: self.hub.as_ref().map(|hub| hub.clone_ref(py)),
        })
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.channel.close());
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
