//! A call in the hands of the event loop or of another thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use procall::{CallId, Connection, Encoded, Error, ErrorCode, Executed};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};

use super::current;
use super::outcome::Outcome;
use crate::error;
use crate::hub::{Hub, Operation, Wait};
use crate::wait::wait;

/// A call whose handler runs on an event loop or on another thread. Forgotten without an answer, it is answered as cancelled.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Call {
    connection: Connection,
    id: Option<CallId>,
    what: Handed,
    state: Mutex<State>,
}

/// A handler with its arguments.
pub(super) struct Handed {
    pub(super) handler: Py<PyAny>,
    pub(super) args: Py<PyTuple>,
    pub(super) kwargs: Option<Py<PyDict>>,
    pub(super) outcome: Arc<Outcome>,
    /// The answer is a stream.
    pub(super) streams: bool,
    /// It runs on an event loop.
    pub(super) is_async: bool,
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
    pub(super) fn new(connection: Connection, id: Option<CallId>, what: Handed) -> Self {
        Self { connection, id, what, state: Mutex::default() }
    }

    /// Time left for the call.
    pub(super) fn left(&self) -> Option<std::time::Duration> {
        self.connection.remaining(self.id?)
    }

    /// Where it came from, and its number there; a notification has none.
    pub(super) fn place(&self) -> Option<(Connection, CallId)> {
        self.id.map(|id| (self.connection.clone(), id))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the items of a plain handler's generator, at its reader's pace.
    fn emit(&self, generator: &Bound<'_, PyAny>, id: CallId) -> PyResult<()> {
        let py = generator.py();
        loop {
            if !self.connection.is_wanted(id) {
                break;
            }
            // Once the stream is open, another deadline holds, or none.
            let remaining = self.connection.remaining(id);
            let next = current::within(&self.connection, Some(id), remaining, || {
                generator.try_iter().and_then(|mut items| items.next().transpose())
            });
            let value = match next {
                Ok(Some(value)) => value,
                Ok(None) => {
                    self.finish();
                    return Ok(());
                }
                Err(raised) => {
                    self.fail(py, raised.value(py).clone().into_any());
                    return super::pass_on(py, raised);
                }
            };
            let item = match self.what.outcome.encode(&self.connection, &value, "the item") {
                Ok(item) => item,
                Err(error) => {
                    self.refuse(&error);
                    break;
                }
            };
            let sent = wait(py, |interrupt| self.connection.wait_value_out(id, &item, interrupt))?;
            if !matches!(sent, Ok(Ok(()))) {
                break;
            }
        }
        if let Err(raised) = generator.call_method0(pyo3::intern!(py, "close")) {
            raised.write_unraisable(py, Some(generator));
        }
        self.cancelled();
        Ok(())
    }

    /// Answers with an error that is not the handler's.
    fn refuse(&self, error: &Error) {
        if let Some(id) = self.answer() {
            self.connection.fail(id, error);
        }
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
        self.what.streams
    }

    /// Whether its handler is one for an event loop.
    #[getter]
    fn is_async(&self) -> bool {
        self.what.is_async
    }

    /// Calls the handler: gives its coroutine or async generator.
    fn invoke<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.state().begun = true;
        let kwargs = self.what.kwargs.as_ref().map(|kwargs| kwargs.bind(py));
        self.what.handler.bind(py).call(self.what.args.bind(py).clone(), kwargs)
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
        match self.what.outcome.encode(&self.connection, value, "the result") {
            Ok(result) => self.connection.reply(id, result),
            Err(error) => self.connection.fail(id, &error),
        }
    }

    /// Runs a plain handler to its end, on this thread. Exceptions that are no `Exception` are answered and passed on.
    fn work(&self, py: Python<'_>) -> PyResult<()> {
        let left = self.left();
        let unwanted = self.id.is_some_and(|id| !self.connection.is_wanted(id));
        if unwanted || left.is_some_and(|left| left.is_zero()) {
            self.cancelled();
            return Ok(());
        }
        match current::within(&self.connection, self.id, left, || self.invoke(py)) {
            Ok(generator) if self.what.streams => match self.id {
                Some(id) => self.emit(&generator, id),
                None => Ok(()),
            },
            Ok(value) => {
                self.reply(&value);
                Ok(())
            }
            Err(raised) => {
                self.fail(py, raised.value(py).clone().into_any());
                super::pass_on(py, raised)
            }
        }
    }

    /// Sends one item once there is room; the awaitable gives false when the caller wants no more.
    fn send(&self, hub: Py<Hub>, value: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let py = value.py();
        let item =
            self.what.outcome.encode(&self.connection, value, "the item").map_err(|error| {
                self.refuse(&error);
                error::raise(py, &error)
            })?;
        let connection = self.connection.clone();
        Ok(Wait::new(hub, Send { connection, id: self.id, item }))
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
            Some(id) => self.connection.fail(id, &self.what.outcome.failed(py, &raised)),
            None if self.id.is_none() => {
                raised.write_unraisable(py, Some(self.what.handler.bind(py)));
            }
            None => {}
        }
    }

    /// The handler was cancelled, because nobody wants the answer any more or because the service ends.
    fn cancelled(&self) {
        let left = self.left();
        let Some(id) = self.answer() else { return };
        let executed = self.executed();
        let error = match left {
            Some(left) if left.is_zero() => {
                let text = match executed {
                    Executed::No => "the deadline passed while the call waited here",
                    _ => "the deadline passed while the handler ran",
                };
                Error::new(ErrorCode::DeadlineExceeded, text).with_executed(executed)
            }
            _ => super::unwanted(executed),
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
    item: Encoded,
}

impl Operation for Send {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        let sent = match self.id {
            Some(id) => self.connection.poll_value_out(id, &self.item, waker),
            None => Poll::Ready(Ok(())),
        };
        sent.map(|sent| Ok(PyBool::new(py, sent.is_ok()).to_owned().into_any()))
    }
}
