//! Values of Python to MessagePack and back, straight, without a type in between.

mod buffer;
mod decode;
mod encode;
mod refusal;

use procall::{Encoded, Encoding, Lent, json, scan};
use pyo3::prelude::*;

pub(crate) use decode::decode_checked;
pub(crate) use encode::encode;
pub(crate) use refusal::Refusal;

/// A value that arrived, with its arrays.
pub(crate) fn decode_value<'py>(
    py: Python<'py>,
    value: &Encoded,
) -> Result<Bound<'py, PyAny>, Refusal> {
    decode_lent(py, value.encoding, &value.bytes, &value.lent)
}

/// A body that refers to nothing, as a Python value.
pub(crate) fn decode<'py>(
    py: Python<'py>,
    encoding: Encoding,
    bytes: &[u8],
) -> Result<Bound<'py, PyAny>, Refusal> {
    decode_lent(py, encoding, bytes, &Lent::NONE)
}

/// A body as a Python value. It is scanned first: what arrives may come from anybody.
pub(crate) fn decode_lent<'py>(
    py: Python<'py>,
    encoding: Encoding,
    bytes: &[u8],
    lent: &Lent,
) -> Result<Bound<'py, PyAny>, Refusal> {
    match encoding {
        Encoding::None => Ok(py.None().into_bound(py)),
        Encoding::Msgpack => {
            scan::msgpack(bytes, &scan::Bounds::default())
                .map_err(|error| Refusal::new(format!("is not valid MessagePack: {error}")))?;
            decode_checked(py, bytes, lent)
        }
        Encoding::Json => {
            let msgpack = json::from_json(bytes)
                .map_err(|error| Refusal::new(format!("is not valid JSON: {error}")))?;
            decode_checked(py, &msgpack, &Lent::NONE)
        }
        Encoding::Raw => Ok(pyo3::types::PyBytes::new(py, bytes).into_any()),
        Encoding::Unknown(number) => Err(Refusal::new(format!(
            "has the encoding {number}, which this version does not know"
        ))),
    }
}
