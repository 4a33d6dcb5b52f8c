//! Pools of worker processes.

mod plan;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use procall::{Channel, Shape};
use procall_pool::{Event, Happening, Outlet, OutputLine, Pool as Inner, Step};
use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::client::{Answers, Caller};
use crate::error;
use crate::figures;
use crate::hub::{Hub, Operation, Wait};
use crate::wait::wait;

/// How often a thread that waits for events looks for Ctrl-C.
const INTERRUPT_SLICE: Duration = Duration::from_millis(100);

/// Metrics, health and workers.
type Stats<'py> = (Bound<'py, PyDict>, Bound<'py, PyDict>, Bound<'py, PyList>);

/// A running pool.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Pool {
    pool: Inner,
}

#[pymethods]
impl Pool {
    /// Starts the workers and waits until they are ready.
    #[staticmethod]
    fn start(program: &Bound<'_, PyAny>, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let (py, builder) = (program.py(), plan::builder(program, options)?);
        let started = wait(py, |interrupt| builder.start().wait_interruptibly(interrupt))?;
        started.map(|pool| Self { pool }).map_err(|error| error::raise(py, &error))
    }

    /// The same for asyncio: gives an awaitable.
    #[staticmethod]
    fn start_soon(
        hub: Py<Hub>,
        program: &Bound<'_, PyAny>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Wait> {
        let builder = plan::builder(program, options)?;
        let step = program.py().detach(|| builder.start());
        Ok(Wait::new(hub, Starting(step)))
    }

    /// What calls this pool's methods: from blocking code, or from the event loop of a hub.
    fn caller(&self, py: Python<'_>, hub: Option<Py<Hub>>) -> PyResult<Caller> {
        if let Some(hub) = &hub {
            hub.get().attach_pool(&self.pool).map_err(|error| error::raise(py, &error))?;
        }
        let channel: Arc<dyn Channel> = Arc::new(self.pool.clone());
        let pool = self.pool.clone();
        Ok(Caller::new(channel, move |hub| pool.attach(hub), hub))
    }

    /// Calls a method on every worker with the options of the caller. `answer` makes an answer of `(worker, value, error)`; the answers are a
    /// list, which is awaited when the caller is an event loop's.
    fn broadcast<'py>(
        &self,
        caller: &Caller,
        answer: Py<PyAny>,
        method: &str,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let started = caller.begin(method, Shape::Unary, args, kwargs, |request| {
            self.pool.start_on_all(&request)
        })?;
        Answers::new(started, answer).give(py, caller.hub())
    }

    /// What is known of each worker, as dicts.
    fn workers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        figures::workers(py, self.pool.workers())
    }

    /// Whether it is well, as a dict.
    fn health<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        figures::health(py, &self.pool.health())
    }

    /// All of it: metrics, health and workers.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Stats<'py>> {
        let stats = self.pool.stats();
        Ok((
            figures::metrics(py, &stats.metrics)?,
            figures::health(py, &stats.health)?,
            figures::workers(py, stats.workers)?,
        ))
    }

    /// Calls that wait for a worker.
    fn queued(&self) -> usize {
        self.pool.queued()
    }

    fn restart(&self, py: Python<'_>, index: Option<usize>) -> PyResult<()> {
        finish(py, self.restarting(index))
    }

    fn restart_soon(&self, hub: Py<Hub>, index: Option<usize>) -> Wait {
        Wait::new(hub, Ending(self.restarting(index)))
    }

    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        finish(py, self.pool.drain())
    }

    fn drain_soon(&self, hub: Py<Hub>) -> Wait {
        Wait::new(hub, Ending(self.pool.drain()))
    }

    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        finish(py, self.pool.stop())
    }

    fn stop_soon(&self, hub: Py<Hub>) -> Wait {
        Wait::new(hub, Ending(self.pool.stop()))
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.pool.close());
    }

    /// What happens to the workers from now on: an iterator, for asyncio when a hub is given.
    fn events<'py>(&self, py: Python<'py>, hub: Option<Py<Hub>>) -> PyResult<Bound<'py, PyAny>> {
        let events = Arc::new(self.pool.events());
        match hub {
            None => Ok(Events(events).into_pyobject(py)?.into_any()),
            Some(hub) => Ok(AsyncEvents { events, hub }.into_pyobject(py)?.into_any()),
        }
    }

    /// The last lines that a worker printed.
    fn output(&self, index: usize, count: usize) -> Vec<Line> {
        self.pool.output_lines(index, count).into_iter().map(line).collect()
    }
}

impl Pool {
    fn restarting(&self, index: Option<usize>) -> Step {
        match index {
            Some(index) => self.pool.restart(index),
            None => self.pool.restart_all(),
        }
    }
}

fn finish(py: Python<'_>, step: Step) -> PyResult<()> {
    wait(py, |interrupt| step.wait_interruptibly(interrupt))?
        .map_err(|error| error::raise(py, &error))
}

/// A line as `(worker, pid, stream, text, call, method)`.
type Line = (String, u32, &'static str, String, Option<u64>, Option<String>);

fn line(line: OutputLine) -> Line {
    let outlet = match line.outlet {
        Outlet::Stdout => "stdout",
        Outlet::Stderr => "stderr",
    };
    let method = line.method.map(|method| method.to_string());
    (line.worker.to_string(), line.pid, outlet, line.text, line.call, method)
}

struct Starting(Step<Inner>);

impl Operation for Starting {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        Pin::new(&mut self.0).poll(&mut Context::from_waker(waker)).map(|started| {
            let pool = started.map_err(|error| error::raise(py, &error))?;
            Pool { pool }.into_pyobject(py).map(Bound::into_any)
        })
    }
}

struct Ending(Step);

impl Operation for Ending {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        Pin::new(&mut self.0).poll(&mut Context::from_waker(waker)).map(|ended| {
            ended.map(|()| py.None().into_bound(py)).map_err(|error| error::raise(py, &error))
        })
    }
}

/// Events for blocking code.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Events(Arc<procall_pool::Events>);

#[pymethods]
impl Events {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// `(worker, index, pid, kind, text)`; ends when the pool has stopped.
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        loop {
            let polled = wait(py, |_| match self.0.next(Some(INTERRUPT_SLICE)) {
                Some(event) => Poll::Ready(Some(event)),
                None => self.0.poll_next(Waker::noop()),
            })?;
            match polled {
                Poll::Ready(Some(event)) => return told(py, &event).map(Some),
                Poll::Ready(None) => return Ok(None),
                Poll::Pending => py.check_signals()?,
            }
        }
    }
}

/// Events for asyncio.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct AsyncEvents {
    events: Arc<procall_pool::Events>,
    hub: Py<Hub>,
}

#[pymethods]
impl AsyncEvents {
    fn __aiter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __anext__(&self, py: Python<'_>) -> Wait {
        Wait::new(self.hub.clone_ref(py), NextEvent(self.events.clone()))
    }
}

struct NextEvent(Arc<procall_pool::Events>);

impl Operation for NextEvent {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        self.0.poll_next(waker).map(|event| match event {
            Some(event) => told(py, &event),
            None => Err(PyStopAsyncIteration::new_err(())),
        })
    }
}

fn told<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyAny>> {
    let kind = match event.happening {
        Happening::Started => "started",
        Happening::Ready => "ready",
        Happening::Suspected => "suspected",
        Happening::Recovered => "recovered",
        Happening::Draining => "draining",
        Happening::Replacing { .. } => "replacing",
        Happening::Exited { .. } => "exited",
        Happening::Restarting { .. } => "restarting",
        Happening::Failed { .. } => "failed",
        Happening::Stopped => "stopped",
        _ => "other",
    };
    let told = (&*event.worker, event.index, event.pid, kind, event.to_string());
    Ok(told.into_pyobject(py)?.into_any())
}
