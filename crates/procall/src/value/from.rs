//! Values from what Rust has.

use super::{TypedBuffer, Value};
use crate::bytes::Bytes;

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl From<$type> for Value {
            fn from(number: $type) -> Self {
                Self::Int(number.into())
            }
        }
    )*};
}

integers! { i8 i16 i32 i64 u8 u16 u32 u64 }

macro_rules! values {
    ($($type:ty: $given:ident => $value:expr,)*) => {$(
        impl From<$type> for Value {
            fn from($given: $type) -> Self {
                $value
            }
        }
    )*};
}

values! {
    (): _nothing => Self::Nil,
    bool: flag => Self::Bool(flag),
    f32: number => Self::Float(number.into()),
    f64: number => Self::Float(number),
    &str: text => Self::Text(text.to_owned()),
    String: text => Self::Text(text),
    Bytes: bytes => Self::Bytes(bytes.0),
    TypedBuffer: buffer => Self::Buffer(buffer),
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}

impl<K: Into<String>, V: Into<Self>> FromIterator<(K, V)> for Value {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}
