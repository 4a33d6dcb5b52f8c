//! Arrays of numbers as values.

use std::borrow::Cow;
use std::fmt;

use procall_proto::buffer::{self, BufferError, Dtype, EXT_TYPE, Place};
use procall_transport::shm::Plain;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};

use super::serde::ExtBytes;
use crate::lent;

/// The name by which serializers of MessagePack know ext values.
const EXT_STRUCT: &str = "_ExtStruct";

/// An array of numbers: an array of numpy, a typed array or `TypedBuffer` of Node.
///
/// Its elements lie packed in C order and little-endian, however they came.
///
/// ```
/// use procall::{Service, TypedBuffer};
///
/// let service = Service::new("model").method("mean", |image: TypedBuffer| {
///     let pixels: Vec<f32> = image.elements().unwrap_or_default();
///     pixels.iter().sum::<f32>() / pixels.len() as f32
/// });
/// # let _ = service;
///
/// let image = TypedBuffer::from_elements(&[2, 3], &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(image.shape(), [2, 3]);
/// assert_eq!(image.dtype().name(), "float32");
/// # Ok::<(), procall::buffer::BufferError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TypedBuffer {
    dtype: Dtype,
    shape: Vec<u64>,
    bytes: Vec<u8>,
}

impl TypedBuffer {
    /// An array of the bytes of its elements, in C order and little-endian. An error when the shape needs another number of bytes.
    pub fn new(dtype: Dtype, shape: &[u64], bytes: Vec<u8>) -> Result<Self, BufferError> {
        buffer::TypedBuffer::inline(dtype, shape, &bytes).validate()?;
        if shape.len() > buffer::MAX_DIMS {
            return Err(BufferError::Dims(shape.len()));
        }
        Ok(Self { dtype, shape: shape.to_vec(), bytes })
    }

    /// An array of numbers in C order. An error when the shape needs another number of them.
    pub fn from_elements<T: Element>(shape: &[u64], elements: &[T]) -> Result<Self, BufferError> {
        let mut bytes = Vec::with_capacity(size_of_val(elements));
        elements.iter().for_each(|element| element.write(&mut bytes));
        Self::new(T::DTYPE, shape, bytes)
    }

    /// What an element is.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Elements in each dimension; none for a single element.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The elements in C order, little-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The elements in C order; `None` when they are of another type.
    pub fn elements<T: Element>(&self) -> Option<Vec<T>> {
        let is_one = self.dtype == T::DTYPE;
        is_one.then(|| self.bytes.chunks_exact(size_of::<T>()).map(T::read).collect())
    }

    /// Reads the two parts of an ext value.
    pub(super) fn from_ext<'de, D: Deserializer<'de>>(inner: D) -> Result<Self, D::Error> {
        let (kind, payload): (i8, ExtBytes<'de>) = Deserialize::deserialize(inner)?;
        if kind != EXT_TYPE as i8 {
            return Err(D::Error::custom(format!(
                "ext type {kind} is not a value of this protocol"
            )));
        }
        let read = buffer::TypedBuffer::parse(&payload.0)
            .and_then(|buffer| Ok((buffer.to_c_order()?.into_owned(), buffer)));
        let (bytes, buffer) = read.map_err(D::Error::custom)?;
        Ok(Self { dtype: buffer.dtype, shape: buffer.shape, bytes })
    }
}

impl fmt::Debug for TypedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypedBuffer({} {:?}, {} bytes)", self.dtype.name(), self.shape, self.bytes.len())
    }
}

impl Serialize for TypedBuffer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let copy = |room: &mut [u8]| -> Result<(), std::convert::Infallible> {
            room.copy_from_slice(&self.bytes);
            Ok(())
        };
        // Where the channel can lend it, and it is worth that, it is copied there and not into the value.
        let place = match lent::lend_copy(self.bytes.len(), copy) {
            Some(Ok(region)) => {
                let length = self.bytes.len() as u64;
                Place::Region { region, generation: 0, offset: 0, length }
            }
            Some(Err(never)) => match never {},
            None => Place::Inline(&self.bytes),
        };
        serialize(self.dtype, &self.shape, place, serializer)
    }
}

/// Writes a typed buffer as the ext value that it is.
pub(super) fn serialize<S: Serializer>(
    dtype: Dtype,
    shape: &[u64],
    place: Place<'_>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let inline = if let Place::Inline(bytes) = place { bytes.len() } else { 24 };
    let mut payload = Vec::with_capacity(4 + 8 * shape.len() + inline);
    buffer::TypedBuffer { place, ..buffer::TypedBuffer::inline(dtype, shape, &[]) }
        .write_payload(&mut payload)
        .map_err(S::Error::custom)?;
    let ext = (EXT_TYPE as i8, ExtBytes(Cow::Owned(payload)));
    serializer.serialize_newtype_struct(EXT_STRUCT, &ext)
}

impl<'de> Deserialize<'de> for TypedBuffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BufferVisitor;

        impl<'de> Visitor<'de> for BufferVisitor {
            type Value = TypedBuffer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of numbers (a typed buffer)")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                inner: D,
            ) -> Result<TypedBuffer, D::Error> {
                TypedBuffer::from_ext(inner)
            }
        }

        deserializer.deserialize_any(BufferVisitor)
    }
}

impl JsonSchema for TypedBuffer {
    fn schema_name() -> Cow<'static, str> {
        "TypedBuffer".into()
    }

    fn inline_schema() -> bool {
        true
    }

    // JSON has no typed buffers; in its form of a body they are `{"$tensor": ...}`.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "an array of numbers" })
    }
}

/// A number that is an element of a [`TypedBuffer`].
pub trait Element: Plain + sealed::Sealed {
    /// Its type on the wire.
    const DTYPE: Dtype;

    #[doc(hidden)]
    fn write(self, out: &mut Vec<u8>);

    /// From exactly as many bytes as it has.
    #[doc(hidden)]
    fn read(bytes: &[u8]) -> Self;
}

mod sealed {
    #[allow(unnameable_types, reason = "nobody else is to implement it")]
    pub trait Sealed {}
}

macro_rules! elements {
    ($($type:ty: $dtype:ident,)*) => {$(
        impl sealed::Sealed for $type {}

        impl Element for $type {
            const DTYPE: Dtype = Dtype::$dtype;

            fn write(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn read(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().unwrap_or_default())
            }
        }
    )*};
}

elements! {
    i8: I8, i16: I16, i32: I32, i64: I64,
    u8: U8, u16: U16, u32: U32, u64: U64,
    f32: F32, f64: F64,
}
