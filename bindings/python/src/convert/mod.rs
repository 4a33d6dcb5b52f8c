//! Values of Python to MessagePack and back, straight, without a type in between.

mod buffer;
mod decode;
mod encode;
mod refusal;

use procall::{Encoding, json, scan};
use pyo3::prelude::*;

pub(crate) use decode::decode_checked;
pub(crate) use encode::encode;
pub(crate) use refusal::Refusal;

/// A body as a Python value. It is scanned first: what arrives may come from anybody.
pub(crate) fn decode<'py>(
    py: Python<'py>,
    encoding: Encoding,
    bytes: &[u8],
) -> Result<Bound<'py, PyAny>, Refusal> {
    match encoding {
        Encoding::None => Ok(py.None().into_bound(py)),
        Encoding::Msgpack => {
            scan::msgpack(bytes, &scan::Bounds::default())
                .map_err(|error| Refusal::new(format!("is not valid MessagePack: {error}")))?;
            decode_checked(py, bytes)
        }
        Encoding::Json => {
            let msgpack = json::from_json(bytes)
                .map_err(|error| Refusal::new(format!("is not valid JSON: {error}")))?;
            decode_checked(py, &msgpack)
        }
        Encoding::Raw => Ok(pyo3::types::PyBytes::new(py, bytes).into_any()),
        Encoding::Unknown(number) => Err(Refusal::new(format!(
            "has the encoding {number}, which this version does not know"
        ))),
    }
}
