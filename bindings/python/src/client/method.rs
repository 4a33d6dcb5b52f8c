//! A method of a client as a callable.

use std::sync::OnceLock;

use procall::Shape;
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::caller::Caller;

/// What `calc.add` is. Its own attributes are methods too: `pool.calc.add`.
#[pyclass(frozen, dict, module = "procall._native")]
pub(crate) struct Method {
    caller: Py<Caller>,
    name: String,
    /// Known once the other side has said what it serves.
    shape: OnceLock<Shape>,
}

impl Method {
    pub(super) fn new(caller: Py<Caller>, name: String) -> Self {
        Self { caller, name, shape: OnceLock::new() }
    }

    fn shape(&self) -> Shape {
        match self.shape.get() {
            Some(shape) => *shape,
            None => match self.caller.get().shape(&self.name) {
                Some(shape) => *self.shape.get_or_init(|| shape),
                None => Shape::Unary,
            },
        }
    }
}

#[pymethods]
impl Method {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Caller::invoke(self.caller.bind(args.py()), &self.name, self.shape(), args, kwargs)
    }

    fn __getattr__<'py>(slf: &Bound<'py, Self>, name: &str) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let this = slf.get();
        // Names of Python itself are asked for by copy, pickle and consoles; they must not become calls.
        if name.starts_with('_') {
            let message = format!("method {:?} has no attribute {name:?}", this.name);
            return Err(PyAttributeError::new_err(message));
        }
        let inner = Self::new(this.caller.clone_ref(py), format!("{}.{name}", this.name));
        let inner = Bound::new(py, inner)?;
        // Found without this detour next time.
        slf.setattr(name, &inner)?;
        Ok(inner)
    }

    /// The name that was asked for, as in `calc.add`.
    #[getter]
    fn __name__(&self) -> &str {
        &self.name
    }

    fn __repr__(&self) -> String {
        format!("<procall method {}>", self.name)
    }
}
