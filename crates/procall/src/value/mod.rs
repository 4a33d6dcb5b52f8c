//! A value of any type, as it travels.

mod array;
mod from;
mod serde;
mod typed_buffer;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;

use crate::codec;
use crate::error::Error;

pub use array::Array;
pub use typed_buffer::{Element, TypedBuffer};

/// Any value that can travel. What a method takes or gives when its type is not known.
///
/// It holds everything that the wire has, which `serde_json::Value` does not: bytes, typed buffers, NaN and infinities.
///
/// ```
/// use procall::{Service, Value};
///
/// let service = Service::new("pairs").method("echo", |value: Value| value);
/// # let _ = service;
///
/// let point = Value::of(&[("x", 1.5), ("y", f64::NAN)].into_iter().collect::<std::collections::BTreeMap<_, _>>())?;
/// assert_eq!(point.get("x").and_then(Value::as_f64), Some(1.5));
/// assert_eq!(Value::from(vec![1, 2]).to::<(u8, u8)>()?, (1, 2));
/// # Ok::<(), procall::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value {
    /// No value: `None` of Python, `null` of Node.
    #[default]
    Nil,
    /// True or false.
    Bool(bool),
    /// An integer from -2^63 to 2^64-1; one beyond them cannot be sent.
    Int(i128),
    /// A float of 64 bits. It is never equal to an integer.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values in a row.
    Array(Vec<Self>),
    /// Keys and values in their order. A key that stands twice cannot be sent.
    Map(Vec<(String, Self)>),
    /// An array of numbers.
    Buffer(TypedBuffer),
}

impl Value {
    /// What a value of another type is on the wire; an error when it cannot travel.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let bytes = codec::encode(value)
            .map_err(|error| Error::invalid(format!("the value cannot be encoded: {error}")))?;
        Self::from_msgpack(&bytes)
    }

    /// The value as another type; an error when it is none.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, Error> {
        codec::decode(procall_proto::Encoding::Msgpack, &self.to_msgpack()?)
    }

    /// Reads a body in MessagePack, which may come from anybody; an error when it breaks the rules for values.
    ///
    /// ```
    /// use procall::Value;
    ///
    /// assert_eq!(Value::from_msgpack(&[0x92, 0x01, 0xc0])?, Value::Array(vec![1.into(), Value::Nil]));
    /// assert!(Value::from_msgpack(b"\x82\xa1a\x01\xa1a\x02").is_err());
    /// # Ok::<(), procall::Error>(())
    /// ```
    pub fn from_msgpack(bytes: &[u8]) -> Result<Self, Error> {
        codec::decode(procall_proto::Encoding::Msgpack, bytes)
    }

    /// The value as a body in MessagePack; an error when it cannot be sent.
    pub fn to_msgpack(&self) -> Result<Vec<u8>, Error> {
        codec::encode(self)
            .map_err(|error| Error::invalid(format!("the value cannot be encoded: {error}")))
    }

    /// Whether there is no value.
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// Of a map, the value under a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.iter().find_map(|(name, value)| (name == key).then_some(value))
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(flag) = self { Some(*flag) } else { None }
    }

    /// An integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Int(number) = self { (*number).try_into().ok() } else { None }
    }

    /// An integer that fits.
    pub fn as_u64(&self) -> Option<u64> {
        if let Self::Int(number) = self { (*number).try_into().ok() } else { None }
    }

    /// A float, or an integer that a float can hold exactly.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            Self::Int(number) => {
                let float = *number as f64;
                (float as i128 == *number).then_some(float)
            }
            _ => None,
        }
    }

    /// Text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The entries of a map.
    pub fn as_map(&self) -> Option<&[(String, Self)]> {
        if let Self::Map(entries) = self { Some(entries) } else { None }
    }

    /// An array of numbers.
    pub fn as_buffer(&self) -> Option<&TypedBuffer> {
        if let Self::Buffer(buffer) = self { Some(buffer) } else { None }
    }
}
