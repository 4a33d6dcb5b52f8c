//! Bodies: what the scan lets through any decoder may read, and the JSON form of a value is that value.

use procall::{Encoded, Encoding, Value};
use procall_proto::buffer::TypedBuffer;
use procall_proto::{json as form, scan};

pub(super) fn msgpack(bytes: &[u8]) {
    let bounds = scan::Bounds::default();
    if scan::msgpack(bytes, &bounds).is_err() {
        return;
    }
    decode(Encoding::Msgpack, bytes);
    // What has no JSON form is refused.
    let Ok(written) = form::to_json(bytes) else { return };
    let body = form::from_json(&written).expect("what we wrote can be read");
    assert_eq!(
        form::to_json(&body).as_ref(),
        Ok(&written),
        "{}",
        String::from_utf8_lossy(&written)
    );
}

pub(super) fn json(bytes: &[u8]) {
    if scan::json(bytes, &scan::Bounds::default()).is_ok() {
        decode(Encoding::Json, bytes);
    }
    // The reader scans by itself, and counts the value's levels: `{"$bytes": ""}` is none.
    let Ok(body) = form::from_json(bytes) else { return };
    scan::msgpack(&body, &scan::Bounds::default()).expect("what was read may be read on");
    decode(Encoding::Msgpack, &body);
    let written = form::to_json(&body).expect("it came from JSON");
    assert_eq!(
        form::from_json(&written).as_ref(),
        Ok(&body),
        "{}",
        String::from_utf8_lossy(&written)
    );
}

/// As a handler that takes anything has it. An error is an answer too.
fn decode(encoding: Encoding, bytes: &[u8]) {
    let _ = Encoded::new(encoding, bytes.to_vec()).decode::<Value>();
}

pub(super) fn buffer(bytes: &[u8]) {
    let Ok(buffer) = TypedBuffer::parse(bytes) else { return };
    buffer.validate().expect("what was parsed is valid");
    let mut written = Vec::new();
    buffer.write_payload(&mut written).expect("what was parsed can be written");
    assert_eq!(TypedBuffer::parse(&written).as_ref(), Ok(&buffer));
    if let Ok(elements) = buffer.to_c_order() {
        assert_eq!(Ok(elements.len() as u64), buffer.nbytes());
    }
}
