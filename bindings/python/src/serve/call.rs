//! A call for an async handler, in the hands of the event loop.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use procall::{CallId, Connection, Encoded, Encoding, Error, ErrorCode, Executed};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};

use crate::convert;
use crate::error;
use crate::hub::{Hub, Operation, Wait};

/// A call whose handler runs on an event loop. Forgotten without an answer, it is answered as cancelled.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Call {
    connection: Connection,
    id: Option<CallId>,
    handler: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
    streams: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The handler has begun.
    begun: bool,
    answered: bool,
    /// Our number in the loop's hub while the task may be cancelled.
    watched: Option<(Py<Hub>, u64)>,
}

impl Call {
    pub(super) fn new(
        connection: Connection,
        id: Option<CallId>,
        handler: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
        streams: bool,
    ) -> Self {
        let state = Mutex::default();
        Self { connection, id, handler, args, kwargs, streams, state }
    }

    /// Time left for the call.
    pub(super) fn left(&self) -> Option<std::time::Duration> {
        self.connection.remaining(self.id?)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn executed(&self) -> Executed {
        if self.state().begun { Executed::Yes } else { Executed::No }
    }

    /// Once only; the watch over the task ends with it.
    fn answer(&self) -> Option<CallId> {
        let mut state = self.state();
        let watched = state.watched.take();
        let first = !std::mem::replace(&mut state.answered, true);
        drop(state);
        if let Some((hub, number)) = watched {
            hub.get().leave(number);
        }
        self.id.filter(|_| first)
    }
}

#[pymethods]
impl Call {
    /// Whether the answer is a stream.
    #[getter]
    fn streams(&self) -> bool {
        self.streams
    }

    /// Calls the handler: gives its coroutine or async generator.
    fn invoke<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.state().begun = true;
        let kwargs = self.kwargs.as_ref().map(|kwargs| kwargs.bind(py));
        self.handler.bind(py).call(self.args.bind(py).clone(), kwargs)
    }

    /// Cancels the task when the caller no longer wants the answer.
    fn watch(&self, py: Python<'_>, hub: Py<Hub>, task: Py<PyAny>) -> PyResult<()> {
        let Some(id) = self.id else { return Ok(()) };
        let number =
            hub.get().cancel_when(py, task, |waker| self.connection.poll_cancelled(id, waker))?;
        self.state().watched = Some((hub, number));
        Ok(())
    }

    fn reply(&self, value: &Bound<'_, PyAny>) {
        let Some(id) = self.answer() else { return };
        let mut bytes = Vec::new();
        match convert::encode(value, &mut bytes) {
            Ok(()) => self.connection.reply(id, Encoded { encoding: Encoding::Msgpack, bytes }),
            Err(refusal) => self.connection.fail(id, &error::unsendable(&refusal, "the result")),
        }
    }

    /// Sends one item once there is room; the awaitable gives false when the caller wants no more.
    fn send(&self, hub: Py<Hub>, value: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let py = value.py();
        let mut bytes = Vec::new();
        convert::encode(value, &mut bytes)
            .map_err(|refusal| error::raise(py, &error::unsendable(&refusal, "the item")))?;
        Ok(Wait::new(hub, Send { connection: self.connection.clone(), id: self.id, item: bytes }))
    }

    fn finish(&self) {
        if let Some(id) = self.answer() {
            self.connection.end_items_out(id);
        }
    }

    /// What the handler raised.
    fn fail(&self, py: Python<'_>, raised: Bound<'_, PyAny>) {
        let raised = PyErr::from_value(raised);
        match self.answer() {
            Some(id) => self.connection.fail(id, &error::of_handler(py, &raised)),
            None if self.id.is_none() => raised.write_unraisable(py, Some(self.handler.bind(py))),
            None => {}
        }
    }

    /// The handler was cancelled, because nobody wants the answer any more or because the service ends.
    fn cancelled(&self) {
        let left = self.left();
        let Some(id) = self.answer() else { return };
        let error = match left {
            Some(left) if left.is_zero() => {
                Error::new(ErrorCode::DeadlineExceeded, "the deadline passed while the handler ran")
                    .with_executed(self.executed())
            }
            _ => super::unwanted(self.executed()),
        };
        self.connection.fail(id, &error);
    }
}

impl Drop for Call {
    /// Its task was cancelled before it began, or the loop ended around it.
    fn drop(&mut self) {
        self.cancelled();
    }
}

struct Send {
    connection: Connection,
    id: Option<CallId>,
    item: Vec<u8>,
}

impl Operation for Send {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        let sent = match self.id {
            Some(id) => self.connection.poll_item_out(id, Encoding::Msgpack, &self.item, waker),
            None => Poll::Ready(Ok(())),
        };
        sent.map(|sent| Ok(PyBool::new(py, sent.is_ok()).to_owned().into_any()))
    }
}
