//! What a handler may know of its call.

use procall::{CallId, Connection};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert;

/// The facts of a call, for a handler that has a parameter of this type.
#[pyclass(frozen, module = "procall")]
pub(crate) struct Context {
    pub(super) connection: Connection,
    pub(super) id: Option<CallId>,
    pub(super) method: String,
    pub(super) meta: Vec<u8>,
}

#[pymethods]
impl Context {
    /// The method's full name.
    #[getter]
    fn method(&self) -> &str {
        &self.method
    }

    /// Seconds until the caller gives up; `None` when it never does.
    #[getter]
    fn remaining(&self) -> Option<f64> {
        self.connection.remaining(self.id?).map(|left| left.as_secs_f64())
    }

    /// Whether the caller no longer wants the answer.
    #[getter]
    fn cancelled(&self) -> bool {
        self.id.is_some_and(|id| !self.connection.is_wanted(id))
    }

    /// The metadata that travels with the call.
    #[getter]
    fn meta<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.meta.is_empty() {
            return Ok(PyDict::new(py).into_any());
        }
        convert::decode(py, procall::Encoding::Msgpack, &self.meta)
            .map_err(|refusal| crate::error::invalid(py, refusal.describe("the metadata")))
    }

    /// Tells the caller how far the work has come. At most ten reports a second travel.
    #[pyo3(signature = (done, total = None, text = ""))]
    fn progress(&self, done: u64, total: Option<u64>, text: &str) {
        if let Some(id) = self.id {
            self.connection.progress(id, done, total, text);
        }
    }

    fn __repr__(&self) -> String {
        format!("<procall.Context of {}>", self.method)
    }
}
