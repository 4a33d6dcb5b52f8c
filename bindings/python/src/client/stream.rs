//! Streams inside a call, for blocking code and for asyncio.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use procall::{Blocked, Channel, Encoded, Encoding, Shape, Started};
use pyo3::exceptions::{PyRuntimeError, PyStopAsyncIteration};
use pyo3::prelude::*;

use super::report::Report;
use crate::convert;
use crate::error;
use crate::hub::{Hub, Operation, Wait};
use crate::wait::wait;

/// A call with streams. Leaving it early, by ``close``, ``with`` or by forgetting it, cancels
/// the call.
///
/// ::
///
///     with calc.stream("count", 1000) as numbers:
///         for number in numbers:
///             if number == 2:
///                 break
///     with calc.duplex("doubled") as numbers:
///         numbers.send(1)
///         numbers.finish()
///         list(numbers)  # [2]
///     numbers = calc.duplex("total")
///     numbers.send(1)
///     numbers.result()  # 1
///     numbers.close()
#[pyclass(frozen, module = "procall")]
pub(crate) struct Stream {
    stage: Mutex<Stage>,
    shape: Shape,
    report: Option<Report>,
    channel: Arc<dyn Channel>,
}

enum Stage {
    Open(Started),
    /// A thread waits with it.
    Busy,
    Over,
}

impl Stream {
    pub(super) fn new(
        started: Started,
        shape: Shape,
        report: Option<Report>,
        channel: Arc<dyn Channel>,
    ) -> Self {
        Self { stage: Mutex::new(Stage::Open(started)), shape, report, channel }
    }

    /// Tells of progress until there is something else.
    fn follow(&self, py: Python<'_>, started: Started) -> PyResult<Started> {
        match &self.report {
            Some(report) => report.follow(py, started).inspect_err(|_| _ = self.swap(Stage::Over)),
            None => Ok(started),
        }
    }

    fn swap(&self, next: Stage) -> Stage {
        std::mem::replace(&mut *self.stage.lock().unwrap_or_else(PoisonError::into_inner), next)
    }

    /// The call, for one thread at a time; `None` when it is over.
    fn take(&self) -> PyResult<Option<Started>> {
        match self.swap(Stage::Busy) {
            Stage::Open(started) => Ok(Some(started)),
            Stage::Busy => {
                Err(PyRuntimeError::new_err("another thread uses this stream at this moment"))
            }
            Stage::Over => {
                self.swap(Stage::Over);
                Ok(None)
            }
        }
    }
}

#[pymethods]
impl Stream {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(started) = self.take()? else { return Ok(None) };
        let mut started = self.follow(py, started)?;
        let waited = wait(py, |interrupt| {
            let item = started.wait_item(interrupt);
            (item, started)
        });
        let (item, started) = waited.inspect_err(|_| _ = self.swap(Stage::Over))?;
        match item {
            Some(Ok(item)) => {
                let value = read(py, &item);
                // An item that cannot be read ends the call.
                self.swap(if value.is_ok() { Stage::Open(started) } else { Stage::Over });
                value.map(Some)
            }
            Some(Err(error)) => {
                self.swap(Stage::Over);
                Err(error::raise(py, &error))
            }
            None => {
                self.swap(Stage::Over);
                Ok(None)
            }
        }
    }

    /// Sends one item; waits while the other side is behind. False when it wants no more.
    fn send(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = value.py();
        let item = write(&self.channel, value)?;
        let Some(mut started) = self.take()? else { return Ok(false) };
        let waited = wait(py, |interrupt| {
            let sent = started.wait_send_value(&item, interrupt);
            (sent, started)
        });
        let (sent, started) = waited.inspect_err(|_| _ = self.swap(Stage::Over))?;
        self.swap(Stage::Open(started));
        Ok(matches!(sent, Ok(Ok(()))))
    }

    /// Says that no more items will be sent.
    fn finish(&self) -> PyResult<()> {
        if let Some(mut started) = self.take()? {
            started.end_items();
            self.swap(Stage::Open(started));
        }
        Ok(())
    }

    /// Finishes, and waits for the value that the call gives.
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.shape.items_out() {
            return Err(PyRuntimeError::new_err("the answer is a stream; iterate over it"));
        }
        let Some(mut started) = self.take()? else {
            return Err(PyRuntimeError::new_err(
                "the call is over; its result was taken or it was closed",
            ));
        };
        self.swap(Stage::Over);
        started.end_items();
        started = self.follow(py, started)?;
        let reply = wait(py, |interrupt| started.wait_interruptibly(interrupt))?;
        reply.map_err(|error| error::raise(py, &error)).and_then(|reply| read(py, &reply))
    }

    /// Cancels what is left of the call.
    fn close(&self) {
        // Of a stream that another thread waits with, that thread keeps hold.
        drop(self.take());
        self.swap(Stage::Over);
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) {
        self.close();
    }
}

/// The same for asyncio. Reading and sending may go on in different tasks.
///
/// ::
///
///     async with calc.stream("count", 1000) as numbers:
///         async for number in numbers:
///             if number == 2:
///                 break
///     numbers = calc.duplex("doubled")
///     await numbers.send(1)
///     numbers.finish()
///     [number async for number in numbers]  # [2]
///     await numbers.aclose()
///     numbers = calc.duplex("total")
///     await numbers.send(1)
///     await numbers.result()  # 1
///     numbers.close()
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct AsyncStream {
    started: Arc<Mutex<Option<Started>>>,
    shape: Shape,
    report: Option<Arc<Report>>,
    hub: Py<Hub>,
    channel: Arc<dyn Channel>,
}

impl AsyncStream {
    pub(super) fn new(
        started: Started,
        shape: Shape,
        report: Option<Report>,
        hub: Py<Hub>,
        channel: Arc<dyn Channel>,
    ) -> Self {
        let started = Arc::new(Mutex::new(Some(started)));
        Self { started, shape, report: report.map(Arc::new), hub, channel }
    }

    fn wait(&self, py: Python<'_>, operation: impl Operation + 'static) -> Wait {
        Wait::new(self.hub.clone_ref(py), operation)
    }
}

#[pymethods]
impl AsyncStream {
    fn __aiter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __anext__(&self, py: Python<'_>) -> Wait {
        self.wait(py, NextItem(self.started.clone(), self.report.clone()))
    }

    /// Sends one item once there is room; awaited, it is false when the other side wants no
    /// more.
    fn send(&self, value: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let item = write(&self.channel, value)?;
        Ok(self.wait(value.py(), SendItem(self.started.clone(), item)))
    }

    /// Says that no more items will be sent.
    fn finish(&self) {
        if let Some(started) = lock(&self.started).as_mut() {
            started.end_items();
        }
    }

    /// Finishes, and waits for the value that the call gives.
    fn result(&self, py: Python<'_>) -> PyResult<Wait> {
        if self.shape.items_out() {
            return Err(PyRuntimeError::new_err("the answer is a stream; iterate over it"));
        }
        self.finish();
        Ok(self.wait(py, Reply(self.started.clone(), self.report.clone())))
    }

    /// Cancels what is left of the call.
    fn close(&self) {
        let started = lock(&self.started).take();
        drop(started);
    }

    /// Cancels what is left of the call; for ``contextlib.aclosing``.
    fn aclose(&self, py: Python<'_>) -> Wait {
        self.close();
        self.wait(py, Nothing)
    }

    fn __aenter__(slf: Bound<'_, Self>) -> Wait {
        let py = slf.py();
        let hub = slf.get().hub.clone_ref(py);
        Wait::new(hub, Itself(Some(slf.into_any().unbind())))
    }

    #[pyo3(signature = (*_exception))]
    fn __aexit__(&self, py: Python<'_>, _exception: &Bound<'_, pyo3::types::PyTuple>) -> Wait {
        self.aclose(py)
    }
}

fn lock(started: &Mutex<Option<Started>>) -> std::sync::MutexGuard<'_, Option<Started>> {
    started.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells of the progress that has come. Whoever is told may use the stream, so that it is not held meanwhile; an exception ends it.
fn follow(
    py: Python<'_>,
    started: &Mutex<Option<Started>>,
    report: Option<&Report>,
    waker: &Waker,
) -> PyResult<()> {
    let Some(report) = report else { return Ok(()) };
    loop {
        let polled = lock(started).as_mut().map(|started| started.poll_progress(waker));
        let Some(Poll::Ready(Some(progress))) = polled else { return Ok(()) };
        report.tell(py, progress).inspect_err(|_| drop(lock(started).take()))?;
    }
}

struct NextItem(Arc<Mutex<Option<Started>>>, Option<Arc<Report>>);

impl Operation for NextItem {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        if let Err(error) = follow(py, &self.0, self.1.as_deref(), waker) {
            return Poll::Ready(Err(error));
        }
        let mut started = lock(&self.0);
        let polled = match started.as_mut() {
            Some(started) => started.poll_item(waker),
            None => Poll::Ready(None),
        };
        let Poll::Ready(item) = polled else { return Poll::Pending };
        let value = match item {
            Some(Ok(item)) => read(py, &item),
            Some(Err(error)) => Err(error::raise(py, &error)),
            None => Err(PyStopAsyncIteration::new_err(())),
        };
        if value.is_err() {
            started.take();
        }
        Poll::Ready(value)
    }
}

struct SendItem(Arc<Mutex<Option<Started>>>, Encoded);

impl Operation for SendItem {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        let polled = match lock(&self.0).as_mut() {
            Some(started) => started.poll_send_value(&self.1, waker),
            None => Poll::Ready(Err(Blocked::Over)),
        };
        polled.map(|sent| Ok(pyo3::types::PyBool::new(py, sent.is_ok()).to_owned().into_any()))
    }
}

struct Reply(Arc<Mutex<Option<Started>>>, Option<Arc<Report>>);

impl Operation for Reply {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        if let Err(error) = follow(py, &self.0, self.1.as_deref(), waker) {
            return Poll::Ready(Err(error));
        }
        let mut started = lock(&self.0);
        let Some(call) = started.as_mut() else {
            return Poll::Ready(Err(PyRuntimeError::new_err(
                "the call is over; its result was taken or it was closed",
            )));
        };
        let Poll::Ready(reply) = call.poll_reply(waker) else { return Poll::Pending };
        started.take();
        Poll::Ready(
            reply.map_err(|error| error::raise(py, &error)).and_then(|reply| read(py, &reply)),
        )
    }
}

struct Nothing;

impl Operation for Nothing {
    fn poll<'py>(&mut self, py: Python<'py>, _: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        Poll::Ready(Ok(py.None().into_bound(py)))
    }
}

struct Itself(Option<Py<PyAny>>);

impl Operation for Itself {
    fn poll<'py>(&mut self, py: Python<'py>, _: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        let value = self.0.take().unwrap_or_else(|| py.None());
        Poll::Ready(Ok(value.into_bound(py)))
    }
}

fn read<'py>(py: Python<'py>, value: &Encoded) -> PyResult<Bound<'py, PyAny>> {
    convert::decode_value(py, value)
        .map_err(|refusal| error::raise(py, &error::unreadable(&refusal)))
}

fn write(channel: &Arc<dyn Channel>, value: &Bound<'_, PyAny>) -> PyResult<Encoded> {
    let mut bytes = Vec::new();
    let (encoded, lent) =
        procall::lending(channel.clone(), false, || convert::encode(value, &mut bytes));
    encoded.map_err(|refusal| error::raise(value.py(), &error::refused(&refusal, "item")))?;
    Ok(Encoded { lent, ..Encoded::new(Encoding::Msgpack, bytes) })
}
