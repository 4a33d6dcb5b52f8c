//! Plain JSON Schema: what it has against a value.

use napi::bindgen_prelude::{Buffer, External};
use napi_derive::napi;
use procall::{Encoding, Error, ErrorCode, Validator};
use serde::Serialize;

use crate::errors;

/// A schema, which is given as JSON, made ready to check values.
#[napi]
pub(crate) fn validator(schema: String) -> napi::Result<External<Validator>> {
    serde_json::from_str(&schema)
        .map_err(|error| {
            Error::new(ErrorCode::InvalidArgument, format!("the schema is no JSON: {error}"))
        })
        .and_then(|schema| Validator::new(&schema))
        .map(External::new)
        .map_err(|error| errors::thrown(&error))
}

/// The mistakes in a value of MessagePack, as MessagePack; `null` when there are none.
#[napi]
pub(crate) fn mistakes(
    validator: &External<Validator>,
    value: &[u8],
) -> napi::Result<Option<Buffer>> {
    let mistakes =
        validator.check(Encoding::Msgpack, value).map_err(|error| errors::thrown(&error))?;
    if mistakes.is_empty() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    // Paths and texts always encode into memory.
    let _ = mistakes.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map());
    Ok(Some(bytes.into()))
}
