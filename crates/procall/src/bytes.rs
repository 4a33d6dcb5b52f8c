//! Bytes as one value.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Bytes as one value: Python's `bytes`, Node's `Uint8Array`.
///
/// A plain `Vec<u8>` is a list of small numbers to serde, on the wire and in other languages too.
///
/// ```
/// use procall::{Bytes, Service};
///
/// let service = Service::new("files").method("len", |content: Bytes| content.0.len() as u64);
/// # let _ = service;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bytes(#[serde(with = "crate::codec::bytes")] pub Vec<u8>);

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64", "x-procall": "bytes" })
    }
}

/// The one schema of bytes, in every language; see section 12 of `spec/protocol.md`.
#[cfg(all(test, feature = "schema"))]
pub(crate) fn bytes_schema() -> serde_json::Value {
    Bytes::json_schema(&mut SchemaGenerator::default()).to_value()
}
