//! An awaitable made of a `poll`: a coroutine without a Python frame.

use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::Hub;

/// Something an event loop can wait for. Dropping it gives it up.
pub(crate) trait Operation: Send {
    /// Called on the loop's thread; the waker wakes the awaitable through the hub.
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>>;
}

/// A coroutine in all that asyncio asks of one: it can be awaited, made a task of, gathered and cancelled.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Wait {
    hub: Py<Hub>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Gone once the outcome was given.
    operation: Option<Box<dyn Operation>>,
    /// Our number in the hub, while we wait.
    number: Option<u64>,
    /// `future.__await__()` of the future that we wait for.
    future: Option<Py<PyAny>>,
}

impl Wait {
    pub(crate) fn new(hub: Py<Hub>, operation: impl Operation + 'static) -> Self {
        let state = State { operation: Some(Box::new(operation)), ..State::default() };
        Self { hub, state: Mutex::new(state) }
    }

    /// Taken out while it is used, so that code that runs meanwhile never meets the lock.
    fn take(&self) -> State {
        std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn end(&self, mut state: State) {
        if let Some(number) = state.number.take() {
            self.hub.get().leave(number);
        }
    }

    fn step<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut state = self.take();
        if let Some(future) = state.future.take() {
            match future.call_method0(py, intern!(py, "__next__")) {
                Ok(waited) => {
                    state.future = Some(future);
                    self.give_back(state);
                    return Ok(waited.into_bound(py));
                }
                Err(stop) if stop.is_instance_of::<PyStopIteration>(py) => {}
                Err(error) => {
                    self.end(state);
                    return Err(error);
                }
            }
        }
        let hub = self.hub.get();
        let number = *state.number.get_or_insert_with(|| hub.enter());
        let Some(operation) = &mut state.operation else {
            self.end(state);
            return Err(PyRuntimeError::new_err("this was awaited already"));
        };
        match operation.poll(py, &hub.waker(number)) {
            Poll::Ready(outcome) => {
                self.end(state);
                // A tuple as the only argument would be taken for all of them.
                Err(PyStopIteration::new_err((outcome?.unbind(),)))
            }
            Poll::Pending => {
                let future = hub.future(py, number)?.call_method0(intern!(py, "__await__"))?;
                let waited = future.call_method0(intern!(py, "__next__"))?;
                state.future = Some(future.unbind());
                self.give_back(state);
                Ok(waited)
            }
        }
    }
}

#[pymethods]
impl Wait {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py)
    }

    fn send<'py>(
        &self,
        py: Python<'py>,
        _value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.step(py)
    }

    /// How a task is cancelled: the operation is given up, and the exception goes on.
    #[pyo3(signature = (kind, value = None, traceback = None))]
    fn throw<'py>(
        &self,
        kind: Bound<'py, PyAny>,
        value: Option<Bound<'py, PyAny>>,
        traceback: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = traceback;
        self.end(self.take());
        let is_class = kind.is_instance_of::<pyo3::types::PyType>();
        let exception = match value.filter(|value| !value.is_none()) {
            Some(value) => value,
            None if is_class => kind.call(PyTuple::empty(kind.py()), None)?,
            None => kind,
        };
        Err(PyErr::from_value(exception))
    }

    fn close(&self) {
        self.end(self.take());
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let state = self.take();
        self.end(state);
    }
}
