//! JSON messages.

use procall_proto::Message;
use procall_proto::json::{JsonId, Spelling, Style, decode, encode_with};
use serde_json::Value;

use super::{hex, is_canonical, parts, read, text, uint};

fn native(message: Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

fn id(value: &Value) -> Option<JsonId> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(JsonId::Text(text.clone())),
        Value::Object(object) => {
            Some(JsonId::Integer(object["integer"].as_str().unwrap().parse().unwrap()))
        }
        number => Some(JsonId::Integer(number.as_i64().unwrap().into())),
    }
}

fn style<'a>(entry: &'a Value, id: Option<&'a JsonId>) -> Style<'a> {
    let style = &entry["style"];
    let spelling = match (style["spelling"].as_str(), style["from"].as_str()) {
        (Some("invokefunctionmessage"), None) => Spelling::Invoke,
        (Some("call"), Some(from)) => Spelling::From(from),
        _ => Spelling::Call,
    };
    Style { id, spelling }
}

#[test]
fn messages_have_both_forms() {
    for entry in read("json_messages.json").iter().filter(|entry| entry.get("json").is_some()) {
        let name = text(entry, "name");
        let json = text(entry, "json");
        let [message] = decode(json.as_bytes()).expect(name).try_into().expect(name);
        let peer_id = id(&entry["id"]);
        assert_eq!(message.id(), peer_id.as_ref(), "{name}");
        let native_id = entry["native_id"].as_u64().unwrap_or(0);
        let Some(translated) = message.native(native_id) else {
            assert!(entry["native"].is_null(), "{name}");
            continue;
        };
        let bytes = hex(&entry["native"]);
        assert_eq!(native(translated), bytes, "{name}");
        if is_canonical(entry) {
            let decoded = Message::decode(&bytes).unwrap().unwrap();
            let again = encode_with(&decoded, style(entry, peer_id.as_ref())).expect(name);
            assert_eq!(String::from_utf8(again).unwrap(), json, "{name}");
        }
    }
}

#[test]
fn batches_are_read_in_order() {
    for entry in read("json_messages.json").iter().filter(|entry| entry.get("batch").is_some()) {
        let messages = decode(text(entry, "batch").as_bytes()).unwrap();
        let natives = entry["natives"].as_array().unwrap();
        assert_eq!(messages.len(), natives.len(), "{}", entry["name"]);
        for (message, expected) in messages.iter().zip(natives) {
            assert_eq!(native(message.native(0).unwrap()), hex(expected), "{}", entry["name"]);
        }
    }
}

#[test]
fn bad_messages_are_refused() {
    for entry in read("json_messages.json").iter().filter(|entry| entry.get("bad").is_some()) {
        assert!(decode(parts(&entry["bad"]).as_bytes()).is_err(), "{}", entry["name"]);
    }
}

/// Every frame that JSON can express, with its native id, survives the way there and back.
#[test]
fn frames_survive_json() {
    for entry in read("frames.json") {
        let name = text(&entry, "name");
        let bytes = hex(&entry["hex"]);
        let message = Message::decode(&bytes).unwrap().unwrap();
        let Ok(json) = encode_with(&message, Style::default()) else { continue };
        let [back] = decode(&json).expect(name).try_into().expect(name);
        let native_id = entry["message"].get("id").or_else(|| entry["message"].get("last_id"));
        let again = native(back.native(native_id.map_or(0, uint)).expect(name));
        let again = Message::decode(&again).unwrap().unwrap();
        assert_eq!(encode_with(&again, Style::default()).unwrap(), json, "{name}");
    }
}

#[test]
fn prefixes_never_panic() {
    for entry in read("json_messages.json").iter().filter(|entry| entry.get("json").is_some()) {
        let json = text(entry, "json").as_bytes();
        for end in 0..json.len() {
            let _ = decode(&json[..end]);
        }
    }
}
