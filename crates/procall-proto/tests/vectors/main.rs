//! The golden vectors of `spec/vectors/`, whose README defines their form.

mod bodies;
mod buffers;
mod frames;
mod messages;
mod roundtrip;

use serde_json::Value;

/// The entries of one file.
fn read(file: &str) -> Vec<Value> {
    let path = format!("{}/../../spec/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap_or_else(|| panic!("{key} is text in {entry}"))
}

/// An unsigned integer; beyond 2^53 it is written as text.
fn uint(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value}"))
}

fn optional_uint(value: &Value) -> Option<u64> {
    (!value.is_null()).then(|| uint(value))
}

fn is_canonical(entry: &Value) -> bool {
    entry["canonical"] != Value::Bool(false)
}

/// Text, or parts of text, of which `[part, count]` is repeated.
fn parts(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .map(|part| match part {
                Value::Array(repeat) => {
                    repeat[0].as_str().unwrap().repeat(uint(&repeat[1]) as usize)
                }
                part => part.as_str().unwrap().to_owned(),
            })
            .collect(),
        _ => panic!("{value}"),
    }
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = parts(value).into_bytes();
    assert!(digits.len().is_multiple_of(2));
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a hexadecimal digit") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
