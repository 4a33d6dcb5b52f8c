//! Registration documents: from Python's dicts and back.

use procall::{Encoding, Registration};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::convert;

pub(crate) fn to_python<'py>(
    py: Python<'py>,
    registration: &Registration,
) -> PyResult<Bound<'py, PyAny>> {
    let bytes = encode(registration)?;
    convert::decode(py, Encoding::Msgpack, &bytes)
        .map_err(|refusal| PyValueError::new_err(refusal.describe("the registration")))
}

pub(crate) fn from_python(document: &Bound<'_, PyAny>) -> PyResult<Registration> {
    let mut bytes = Vec::new();
    convert::encode(document, &mut bytes)
        .map_err(|refusal| PyValueError::new_err(refusal.describe("the registration")))?;
    rmp_serde::from_slice(&bytes)
        .map_err(|error| PyValueError::new_err(format!("the registration is no document: {error}")))
}

pub(crate) fn encode(registration: &Registration) -> PyResult<Vec<u8>> {
    rmp_serde::to_vec_named(registration).map_err(|error| {
        PyValueError::new_err(format!("the registration cannot be encoded: {error}"))
    })
}
