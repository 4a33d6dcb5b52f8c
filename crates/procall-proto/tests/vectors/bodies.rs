//! Bodies: values in MessagePack and JSON.

use procall_proto::buffer::{EXT_TYPE, TypedBuffer};
use procall_proto::json::{from_json, to_json};
use procall_proto::scan::{self, Bounds};
use procall_proto::wire::Writer;
use serde_json::Value;

use super::buffers::buffer;
use super::{hex, is_canonical, parts, read, text, uint};

/// Appends the value that an entry describes, as a binding would from its native values.
fn write_value(value: &Value, out: &mut Vec<u8>) {
    let (kind, content) = value.as_object().unwrap().iter().next().unwrap();
    let mut writer = Writer::new(out);
    match &**kind {
        "nil" => _ = writer.nil(),
        "bool" => _ = writer.boolean(content.as_bool().unwrap()),
        "int" => {
            let digits = content.as_str().unwrap();
            match digits.parse::<u64>() {
                Ok(value) => _ = writer.uint(value),
                Err(_) => write_negative(digits.parse().unwrap(), out),
            }
        }
        "float" => _ = writer.raw(&[0xcb]).raw(&hex(content)),
        "text" => _ = writer.text(content.as_str().unwrap()),
        "text_repeat" => _ = writer.text(&parts(&Value::Array(vec![content.clone()]))),
        "bytes" => _ = writer.bin(&hex(content)),
        "bytes_repeat" => _ = writer.bin(&hex(&Value::Array(vec![content.clone()]))),
        "array" => {
            let elements = content.as_array().unwrap();
            writer.array(elements.len());
            elements.iter().for_each(|element| write_value(element, out));
        }
        "array_repeat" => {
            let count = uint(&content[1]) as usize;
            writer.array(count);
            (0..count).for_each(|_| write_value(&content[0], out));
        }
        "nested" => {
            writer.raw(&vec![0x91; uint(&content[1]) as usize]);
            write_value(&content[0], out);
        }
        "map" => {
            let entries = content.as_array().unwrap();
            writer.map(entries.len());
            for entry in entries {
                Writer::new(out).text(entry[0].as_str().unwrap());
                write_value(&entry[1], out);
            }
        }
        "tensor" => {
            let inline = content["place"].get("inline").map_or_else(Vec::new, hex);
            buffer(content, &inline).write(out).unwrap();
        }
        kind => panic!("unknown kind of value {kind}"),
    }
}

fn write_negative(value: i64, out: &mut Vec<u8>) {
    match value {
        -32.. => out.push(value as u8),
        -0x80.. => out.extend([0xd0, value as u8]),
        -0x8000.. => out.extend([&[0xd1][..], &(value as i16).to_be_bytes()].concat()),
        -0x8000_0000.. => out.extend([&[0xd2][..], &(value as i32).to_be_bytes()].concat()),
        _ => out.extend([&[0xd3][..], &value.to_be_bytes()].concat()),
    }
}

#[test]
fn good_bodies_have_both_forms() {
    for entry in read("bodies.json") {
        let name = text(&entry, "name");
        let body = hex(&entry["hex"]);
        assert_eq!(scan::msgpack(&body, &Bounds::default()), Ok(()), "{name}");
        if is_canonical(&entry) {
            let mut written = Vec::new();
            write_value(&entry["value"], &mut written);
            assert!(
                written == body,
                "{name}: written as {:02x?}",
                &written[..written.len().min(40)]
            );
        }
        if entry["json"].is_null() {
            assert!(to_json(&body).is_err(), "{name}");
            continue;
        }
        let json = parts(&entry["json"]);
        let written = String::from_utf8(to_json(&body).expect(name)).unwrap();
        assert!(written == json, "{name}: written as {:.80}", written);
        let back = from_json(json.as_bytes()).expect(name);
        let exact = is_canonical(&entry) && entry["json_exact"] != Value::Bool(false);
        assert!(!exact || back == body, "{name}: read as {:02x?}", &back[..back.len().min(40)]);
        assert_eq!(to_json(&back).unwrap(), json.as_bytes(), "{name}");
    }
}

#[test]
fn bad_bodies_are_refused() {
    for entry in read("bodies_bad.json") {
        let name = text(&entry, "name");
        if let Some(json) = entry.get("json").map(|json| parts(json).into_bytes()) {
            assert!(from_json(&json).is_err(), "{name}");
            continue;
        }
        if let Some(json) = entry.get("json_hex") {
            assert!(from_json(&hex(json)).is_err(), "{name}");
            continue;
        }
        let body = hex(&entry["hex"]);
        let scanned = scan::msgpack(&body, &Bounds::default());
        match text(&entry, "refused") {
            "scan" => assert!(scanned.is_err(), "{name}"),
            "decode" => assert_eq!(scanned, Ok(()), "{name}"),
            refused => panic!("{name}: {refused}"),
        }
        assert!(to_json(&body).is_err(), "{name}");
    }
}

/// The bombs on a stack that recursion over them would exhaust.
#[test]
fn bombs_need_no_stack() {
    let work = || {
        bad_bodies_are_refused();
        good_bodies_have_both_forms();
    };
    let small = std::thread::Builder::new().stack_size(256 << 10);
    small.spawn(work).unwrap().join().unwrap();
}

#[test]
fn prefixes_are_refused() {
    for entry in read("bodies.json") {
        let body = hex(&entry["hex"]);
        for end in 0..body.len().min(600) {
            assert!(scan::msgpack(&body[..end], &Bounds::default()).is_err(), "{}", entry["name"]);
            assert!(to_json(&body[..end]).is_err(), "{}", entry["name"]);
        }
        if let Value::String(json) = &entry["json"] {
            for (end, _) in json.char_indices() {
                let _ = from_json(&json.as_bytes()[..end]);
            }
        }
    }
}

/// What is JSON and what is not is not for us to decide.
#[test]
fn serde_json_agrees_on_what_is_json() {
    let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
    for entry in read("bodies.json").iter().filter(|entry| !entry["json"].is_null()) {
        assert!(is_json(&parts(&entry["json"])), "{}", entry["name"]);
    }
    for entry in read("bodies_bad.json").iter().filter(|entry| entry["why"] == "not JSON") {
        let json = entry.get("json").map(parts);
        assert!(json.is_none_or(|json| !is_json(&json)), "{}", entry["name"]);
    }
}

#[test]
fn the_ext_type_is_frozen() {
    assert_eq!(EXT_TYPE, b'P');
    assert!(TypedBuffer::parse(&[0, 5, 0, 0, 7]).is_ok());
}
