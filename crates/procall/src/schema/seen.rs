//! Values as JSON Schema sees them, which has no word for some of ours.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use procall_proto::buffer::{EXT_TYPE, TypedBuffer};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, json};

use crate::codec;

/// A value as JSON Schema sees it.
pub(super) struct Seen(pub(super) Value);

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SeenVisitor).map(Self)
    }
}

struct SeenVisitor;

impl<'de> Visitor<'de> for SeenVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        let finite = if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) };
        Ok(Number::from_f64(finite).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(STANDARD.encode(value).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Seen(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Seen(value))) = entries.next_entry::<String, Seen>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a key stands twice in a map"));
            }
        }
        Ok(Value::Object(object))
    }

    /// A typed buffer, which MessagePack carries as an extension. Its numbers are left out: no schema says anything of them.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, buffer: D) -> Result<Value, D::Error> {
        let (kind, payload) = <(i8, Payload)>::deserialize(buffer)?;
        if u8::try_from(kind) != Ok(EXT_TYPE) {
            return Err(D::Error::custom(format!("extension type {kind} is no value")));
        }
        let buffer = TypedBuffer::parse(&payload.0).map_err(D::Error::custom)?;
        Ok(json!({"$tensor": {"dtype": buffer.dtype.name(), "shape": &*buffer.shape}}))
    }
}

struct Payload(Vec<u8>);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        codec::bytes::deserialize(deserializer).map(Self)
    }
}
