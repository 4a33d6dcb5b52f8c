//! Values to bytes and back, behind the guards against bombs and against values that would arrive as others.

mod look;
mod reading;
mod writing;

use procall_proto::{Encoding, Executed, json, scan};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use procall_proto::ErrorCode;

/// A value as MessagePack; structs become maps.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(64);
    encode_into(value, &mut bytes)?;
    Ok(bytes)
}

pub(crate) fn encode_into<T: Serialize + ?Sized>(
    value: &T,
    bytes: &mut Vec<u8>,
) -> Result<(), String> {
    let start = bytes.len();
    let mut serializer = rmp_serde::Serializer::new(&mut *bytes).with_struct_map();
    value.serialize(writing::Guard(&mut serializer)).map_err(|error| error.to_string())?;
    // What the other side would refuse is better told where it was made: keys that are no text, too much nesting, too many elements.
    scan::msgpack(&bytes[start..], &scan::Bounds::default()).map_err(|error| error.to_string())
}

/// A body as MessagePack, transcoded when it came as JSON; checked for depth and length.
pub(crate) fn to_msgpack(
    encoding: Encoding,
    bytes: &[u8],
) -> Result<std::borrow::Cow<'_, [u8]>, Error> {
    match encoding {
        Encoding::None => Ok((&[0xc0_u8][..]).into()),
        Encoding::Msgpack => {
            scan::msgpack(bytes, &scan::Bounds::default()).map_err(|error| {
                Error::invalid(format!("the value is not valid MessagePack: {error}"))
            })?;
            Ok(bytes.into())
        }
        Encoding::Json => json::from_json(bytes)
            .map(Into::into)
            .map_err(|error| Error::invalid(format!("the value is not valid JSON: {error}"))),
        Encoding::Raw => {
            let mut wrapped = Vec::with_capacity(bytes.len() + 5);
            procall_proto::wire::Writer::new(&mut wrapped).bin(bytes);
            Ok(wrapped.into())
        }
        Encoding::Unknown(number) => Err(Error::invalid(format!(
            "the value has encoding {number}, which this version does not know"
        ))),
    }
}

/// A value from bytes that may come from anybody.
pub(crate) fn decode<T: DeserializeOwned>(encoding: Encoding, bytes: &[u8]) -> Result<T, Error> {
    decode_checked(&to_msgpack(encoding, bytes)?).map_err(|error| {
        Error::invalid(format!("the value does not have the expected type: {error}"))
    })
}

/// A value from MessagePack that [`to_msgpack`] has checked.
pub(crate) fn decode_checked<T: DeserializeOwned>(
    bytes: &[u8],
) -> Result<T, rmp_serde::decode::Error> {
    let look = look::look(bytes).map_err(rmp_serde::decode::Error::Syntax)?;
    decode_seen(bytes, &look)
}

/// What keeps MessagePack that [`to_msgpack`] has checked from being a `T`: where in the value, as a JSON pointer, and why there.
///
/// It decodes once more, so that values that fit do not pay for it.
pub(crate) fn misfit<T: DeserializeOwned>(bytes: &[u8]) -> Option<(String, String)> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    let guarded = reading::Guard(&mut deserializer);
    let error = serde_path_to_error::deserialize::<_, T>(guarded).err()?;
    let mut path = String::new();
    for step in error.path() {
        use serde_path_to_error::Segment;
        match step {
            Segment::Seq { index } => path += &format!("/{index}"),
            Segment::Map { key } | Segment::Enum { variant: key } => path += &pointer(key),
            Segment::Unknown => break,
        }
    }
    let message = error.into_inner().to_string();
    // Of a field that is not there, or is not known, serde tells where its struct is.
    let field = |start: &str| message.strip_prefix(start)?.split('`').next();
    if let Some(field) = field("missing field `") {
        return Some((path + &pointer(field), "missing".to_owned()));
    }
    if let Some(field) = field("unknown field `") {
        let place = pointer(field);
        // serde's tracking may have gone as far as the key already.
        return Some((if path.ends_with(&place) { path } else { path + &place }, message));
    }
    Some((path, message))
}

/// A key as a JSON pointer (RFC 6901).
pub(crate) fn pointer(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn decode_seen<T: DeserializeOwned>(
    bytes: &[u8],
    look: &look::Look,
) -> Result<T, rmp_serde::decode::Error> {
    if look.not_finite {
        let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
        return T::deserialize(reading::Guard(&mut deserializer));
    }
    rmp_serde::from_slice(bytes)
}

/// The result of a call. One that breaks the rules for values is a PROTOCOL_ERROR; a type that does not fit is the callee's INVALID_RESULT, as
/// seen from here.
pub(crate) fn decode_result<T: DeserializeOwned>(
    encoding: Encoding,
    bytes: &[u8],
) -> Result<T, Error> {
    let broken = |message: &str| {
        Error::new(ErrorCode::ProtocolError, message.to_owned()).with_executed(Executed::Yes)
    };
    let bytes = to_msgpack(encoding, bytes).map_err(|error| broken(error.message()))?;
    let look = look::look(&bytes).map_err(|error| broken(&error))?;
    decode_seen(&bytes, &look).map_err(|error| {
        let message = format!("the value does not have the expected type: {error}");
        Error::new(ErrorCode::InvalidResult, message)
    })
}

/// Bytes as MessagePack `bin`, for serde's `with`.
pub(crate) mod bytes {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(BytesVisitor)
    }

    struct BytesVisitor;

    impl<'de> Visitor<'de> for BytesVisitor {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }
    }
}
