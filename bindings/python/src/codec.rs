//! The conversions by themselves, for tests.

use pyo3::prelude::*;

/// `encode(value) -> bytes` and `decode(bytes) -> value`, as calls do it.
#[pymodule]
pub(crate) mod codec {
    use pyo3::prelude::*;
    use pyo3::types::PyBytes;

    use crate::{convert, error};

    #[pyfunction]
    fn encode<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let py = value.py();
        let mut bytes = Vec::new();
        convert::encode(value, &mut bytes)
            .map_err(|refusal| error::raise(py, &error::refused(&refusal, "the value")))?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[pyfunction]
    fn decode_json<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        convert::decode(py, procall::Encoding::Json, bytes)
            .map_err(|refusal| error::raise(py, &error::refused(&refusal, "the value")))
    }

    #[pyfunction]
    fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        convert::decode(py, procall::Encoding::Msgpack, bytes)
            .map_err(|refusal| error::raise(py, &error::refused(&refusal, "the value")))
    }
}
