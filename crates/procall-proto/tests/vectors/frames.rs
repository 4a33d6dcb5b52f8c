//! Native messages.

use procall_proto::{CallHeader, Encoding, Flags, Message, NotifyHeader};
use serde_json::Value;

use super::{hex, is_canonical, optional_uint, read, text, uint};

/// The message that an entry describes; its bytes live in `parts`.
fn message<'a>(described: &'a Value, meta: &'a [u8], body: &'a [u8]) -> Message<'a> {
    let number = |key: &str| uint(&described[key]);
    let word = |key: &str| text(described, key);
    let encoding = || Encoding::from_number(u8::try_from(number("encoding")).unwrap());
    let flags = || Flags(u8::try_from(number("flags")).unwrap());
    let total = || optional_uint(&described["total"]);
    match word("kind") {
        "hello" => Message::Hello { min: number("min"), max: number("max"), info: body },
        "welcome" => Message::Welcome { version: number("version"), info: body },
        "register" => Message::Register { id: number("id"), encoding: encoding(), body },
        "registered" => Message::Registered { id: number("id"), code: number("code"), body },
        "call" => {
            let timeout_ms = optional_uint(&described["timeout_ms"]);
            let (id, method) = (number("id"), word("method"));
            let (encoding, flags, total) = (encoding(), flags(), total());
            Message::Call(CallHeader { id, method, encoding, flags, total, timeout_ms, meta }, body)
        }
        "reply" => Message::Reply {
            id: number("id"),
            encoding: encoding(),
            flags: flags(),
            total: total(),
            body,
        },
        "error" => Message::Error {
            id: number("id"),
            code: number("code"),
            executed: number("executed"),
            encoding: encoding(),
            body,
        },
        "notify" => {
            let (id, method) = (number("id"), word("method"));
            let (encoding, flags, total) = (encoding(), flags(), total());
            Message::Notify(NotifyHeader { id, method, encoding, flags, total, meta }, body)
        }
        "item" => Message::Item {
            id: number("id"),
            encoding: encoding(),
            flags: flags(),
            total: total(),
            body,
        },
        "end" => Message::End { id: number("id"), count: number("count") },
        "credit" => Message::Credit {
            id: number("id"),
            items: number("items").try_into().unwrap(),
            bytes: number("bytes").try_into().unwrap(),
        },
        "progress" => Message::Progress {
            id: number("id"),
            done: number("done"),
            total: total(),
            text: word("text"),
        },
        "cancel" => Message::Cancel { id: number("id"), reason: number("reason") },
        "ping" => Message::Ping { nonce: number("nonce") },
        "pong" => Message::Pong { nonce: number("nonce") },
        "goaway" => {
            let (step, last_id) = (number("step"), number("last_id"));
            Message::Goaway { step, last_id, text: word("text") }
        }
        "fault" => Message::Fault { code: number("code"), text: word("text") },
        "chunk" => {
            Message::Chunk { id: number("id"), last: described["last"].as_bool().unwrap(), body }
        }
        "packed" => Message::Packed { len: number("length"), body },
        kind => panic!("unknown kind {kind}"),
    }
}

#[test]
fn good_frames_decode_to_their_fields_and_encode_to_their_bytes() {
    for entry in read("frames.json") {
        let name = text(&entry, "name");
        let bytes = hex(&entry["hex"]);
        let described = &entry["message"];
        let part = |key: &str| described.get(key).map_or_else(Vec::new, hex);
        let (meta, body) = (part("meta"), part("body"));
        let expected = message(described, &meta, &body);
        assert_eq!(Message::decode(&bytes), Ok(Some(expected.clone())), "{name}");
        let mut encoded = Vec::new();
        expected.encode(&mut encoded);
        assert_eq!(Message::decode(&encoded), Ok(Some(expected)), "{name}");
        if is_canonical(&entry) {
            assert_eq!(encoded, bytes, "{name}");
        }
    }
}

#[test]
fn bad_frames_are_refused_or_skipped() {
    let entries = read("frames_bad.json");
    assert!(entries.len() >= 40);
    for entry in entries {
        let name = text(&entry, "name");
        let bytes = hex(&entry["hex"]);
        let decoded = Message::decode(&bytes);
        match text(&entry, "expected") {
            "fault" => assert!(decoded.is_err(), "{name}: {decoded:?}"),
            "skip" => assert_eq!(decoded, Ok(None), "{name}"),
            expected => panic!("{name}: {expected}"),
        }
    }
}

/// A header that is cut off is an error, never a panic and never another message.
#[test]
fn prefixes_are_refused() {
    for entry in read("frames.json") {
        let bytes = hex(&entry["hex"]);
        let body = entry["message"].get("body").map_or(0, |body| hex(body).len());
        for end in 0..bytes.len() {
            let decoded = Message::decode(&bytes[..end]);
            if end < bytes.len() - body && is_canonical(&entry) {
                assert!(decoded.is_err(), "{}, {end} bytes: {decoded:?}", entry["name"]);
            }
        }
    }
}

/// The examples of the specification are vectors, so that they cannot drift.
#[test]
fn examples_of_the_specification_are_vectors() {
    let mut known: Vec<Vec<u8>> =
        read("frames.json").iter().map(|entry| hex(&entry["hex"])).collect();
    let buffers = read("buffers.json");
    known.extend(buffers.iter().filter_map(|entry| entry.get("msgpack")).map(hex));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/protocol.md");
    let specification = std::fs::read_to_string(path).unwrap();
    let examples: Vec<_> = specification.split("```hex\n").skip(1).collect();
    assert!(examples.len() >= 20);
    for example in examples {
        let digits = example.split("```").next().unwrap().split_whitespace().collect();
        assert!(known.contains(&hex(&Value::String(digits))), "{example:.60}");
    }
}

/// Names tell entries apart.
#[test]
fn names_are_unique() {
    for file in [
        "frames.json",
        "frames_bad.json",
        "bodies.json",
        "bodies_bad.json",
        "buffers.json",
        "json_messages.json",
        "params.json",
    ] {
        let entries = read(file);
        let mut names: Vec<_> = entries.iter().map(|entry| text(entry, "name")).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{file}");
    }
}
