//! The stream that a caller sends, as its handler reads it.

use std::task::{Poll, Waker};

use procall::{CallId, Connection, Encoded, Error, WaitError};
use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;

use crate::convert;
use crate::error;
use crate::hub::{Hub, Operation, Wait};
use crate::wait::wait;

/// For a plain handler: an iterator that waits.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Items {
    pub(super) connection: Connection,
    pub(super) id: CallId,
}

#[pymethods]
impl Items {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let waited = wait(py, |interrupt| self.connection.wait_item_in(self.id, interrupt))?;
        match waited {
            Ok(item) => item.map(|item| read(py, item)).transpose(),
            // The interrupt has raised; `wait` has passed that on already.
            Err(WaitError::Interrupted | WaitError::TimedOut) => Ok(None),
        }
    }
}

/// For an async handler.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct AsyncItems {
    pub(super) connection: Connection,
    pub(super) id: CallId,
    pub(super) hub: Py<Hub>,
}

#[pymethods]
impl AsyncItems {
    fn __aiter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __anext__(&self, py: Python<'_>) -> Wait {
        Wait::new(self.hub.clone_ref(py), Next { connection: self.connection.clone(), id: self.id })
    }
}

struct Next {
    connection: Connection,
    id: CallId,
}

impl Operation for Next {
    fn poll<'py>(&mut self, py: Python<'py>, waker: &Waker) -> Poll<PyResult<Bound<'py, PyAny>>> {
        self.connection.poll_item_in(self.id, waker).map(|item| match item {
            Some(item) => read(py, item),
            None => Err(PyStopAsyncIteration::new_err(())),
        })
    }
}

fn read<'py>(py: Python<'py>, item: Result<Encoded, Error>) -> PyResult<Bound<'py, PyAny>> {
    let item = item.map_err(|error| error::raise(py, &error))?;
    convert::decode_value(py, &item)
        .map_err(|refusal| error::raise(py, &error::refused(&refusal, "item")))
}
