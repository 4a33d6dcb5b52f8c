//! Typed buffers.

use procall_proto::buffer::{BufferError, Dtype, Place, TypedBuffer};
use serde_json::Value;

use super::{hex, read, text, uint};

/// The buffer that an entry describes, with these bytes when it is inline.
pub(crate) fn buffer<'a>(described: &Value, inline: &'a [u8]) -> TypedBuffer<'a> {
    let place = &described["place"];
    let region = |key: &str| uint(&place[key]);
    TypedBuffer {
        dtype: Dtype::from_name(text(described, "dtype")).unwrap(),
        big_endian: described["big_endian"].as_bool().unwrap(),
        shape: described["shape"].as_array().unwrap().iter().map(uint).collect(),
        strides: described["strides"]
            .as_array()
            .map(|strides| strides.iter().map(|stride| stride.as_i64().unwrap()).collect()),
        place: if place.get("inline").is_some() {
            Place::Inline(inline)
        } else {
            Place::Region {
                region: region("region") as u32,
                generation: region("generation") as u32,
                offset: region("offset"),
                length: region("length"),
            }
        },
    }
}

#[test]
fn good_buffers_parse_and_write() {
    for entry in read("buffers.json").iter().filter(|entry| entry.get("error").is_none()) {
        let name = text(entry, "name");
        let payload = hex(&entry["payload"]);
        let inline = entry["buffer"]["place"].get("inline").map_or_else(Vec::new, hex);
        let expected = buffer(&entry["buffer"], &inline);
        assert_eq!(TypedBuffer::parse(&payload).as_ref(), Ok(&expected), "{name}");
        let mut written = Vec::new();
        expected.write_payload(&mut written).unwrap();
        assert_eq!(written, payload, "{name}");
        written.clear();
        expected.write(&mut written).unwrap();
        assert_eq!(written, hex(&entry["msgpack"]), "{name}");

        assert_eq!(expected.is_c_contiguous(), entry["c_contiguous"].as_bool().unwrap(), "{name}");
        assert_eq!(expected.nbytes(), Ok(uint(&entry["nbytes"])), "{name}");
        assert_eq!(expected.origin(), Ok(uint(&entry["origin"])), "{name}");
        match &entry["packed"] {
            Value::Null => assert_eq!(expected.to_c_order(), Err(BufferError::Region), "{name}"),
            packed => assert_eq!(&*expected.to_c_order().unwrap(), hex(packed), "{name}"),
        }
        for end in 0..payload.len() {
            assert!(TypedBuffer::parse(&payload[..end]).is_err(), "{name}, {end} bytes");
        }
    }
}

#[test]
fn bad_buffers_are_refused() {
    for entry in read("buffers.json").iter().filter(|entry| entry.get("error").is_some()) {
        let payload = hex(&entry["payload"]);
        let error = TypedBuffer::parse(&payload).unwrap_err();
        let word = match error {
            BufferError::Truncated => "truncated",
            BufferError::Unknown { what: "element type", .. } => "element type",
            BufferError::Unknown { what, .. } => what,
            BufferError::Dims(_) => "dimensions",
            BufferError::Overflow => "overflow",
            BufferError::Overlap => "overlap",
            BufferError::Length { .. } => "length",
            error => panic!("{error}"),
        };
        assert_eq!(word, text(entry, "error"), "{}", entry["name"]);
    }
}

#[test]
fn what_is_not_valid_is_not_written() {
    let mut out = vec![1];
    let short = TypedBuffer::inline(Dtype::F32, &[2], &[0; 7]);
    assert_eq!(short.write(&mut out), Err(BufferError::Length { needed: 8, given: 7 }));
    let strides =
        TypedBuffer { strides: Some(vec![]), ..TypedBuffer::inline(Dtype::U8, &[1], &[0]) };
    assert_eq!(strides.write(&mut out), Err(BufferError::Strides { dims: 1, strides: 0 }));
    let many = TypedBuffer::inline(Dtype::U8, &[1; 33], &[0]);
    assert_eq!(many.write(&mut out), Err(BufferError::Dims(33)));
    assert_eq!(out, [1]);
}

#[test]
fn element_types_are_frozen() {
    let names: Vec<&str> = Dtype::ALL.iter().map(|dtype| dtype.name()).collect();
    let expected = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128";
    assert_eq!(names.join(" "), expected);
    for (number, &dtype) in Dtype::ALL.iter().enumerate() {
        assert_eq!(usize::from(dtype.number()), number);
        assert_eq!(Dtype::from_number(dtype.number()), Some(dtype));
        assert_eq!(Dtype::from_name(dtype.name()), Some(dtype));
        assert_eq!(usize::from(dtype.dlpack().1), 8 * dtype.size());
    }
}
