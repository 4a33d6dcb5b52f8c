//! The lines of a subject: JSON, one object a line, with marks for values that JSON has no word for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use procall::Value;
use serde_json::{Map, Value as Json, json};

const SAFE: i128 = (1 << 53) - 1;

const PERIOD: usize = 251;

/// The bytes that everybody knows: 0 to 250, again and again.
pub(crate) fn fill(size: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..=250).collect();
    let mut made = period.repeat(size / PERIOD + 1);
    made.truncate(size);
    made
}

pub(crate) fn is_fill(data: &[u8]) -> bool {
    data == fill(data.len())
}

/// A value of a line as one that travels.
pub(crate) fn read(value: &Json) -> Value {
    match value {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Value::from(value),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(values) => Value::Array(values.iter().map(read).collect()),
        Json::Object(entries) => marked(entries).unwrap_or_else(|| {
            let plain = |key: &String| match key.strip_prefix("$$") {
                Some(rest) => format!("${rest}"),
                None => key.clone(),
            };
            Value::Map(entries.iter().map(|(key, each)| (plain(key), read(each))).collect())
        }),
    }
}

/// The value that a mark stands for.
fn marked(entries: &Map<String, Json>) -> Option<Value> {
    let mut all = entries.iter();
    let (Some((mark, content)), None) = (all.next(), all.next()) else { return None };
    let text = content.as_str();
    Some(match mark.as_str() {
        "$bytes" => Value::Bytes(STANDARD.decode(text?).ok()?),
        "$fill" => Value::Bytes(fill(usize::try_from(content.as_u64()?).ok()?)),
        "$int" => Value::Int(text?.parse().ok()?),
        "$float" => Value::Float(text?.parse().ok()?),
        _ => return None,
    })
}

/// A value as one for a line.
pub(crate) fn write(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) if value.abs() > SAFE => json!({"$int": value.to_string()}),
        Value::Int(value) => i64::try_from(*value).map_or(Json::Null, Json::from),
        Value::Float(value) if !value.is_finite() || value.fract() == 0.0 => {
            json!({"$float": format!("{value:?}")})
        }
        Value::Float(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) if bytes.len() > 256 && is_fill(bytes) => json!({"$fill": bytes.len()}),
        Value::Bytes(bytes) => json!({"$bytes": STANDARD.encode(bytes)}),
        Value::Array(values) => values.iter().map(write).collect(),
        Value::Map(entries) => {
            let marked =
                |key: &String| if key.starts_with('$') { format!("${key}") } else { key.clone() };
            Json::Object(entries.iter().map(|(key, each)| (marked(key), write(each))).collect())
        }
        Value::Buffer(_) => json!({"$buffer": true}),
    }
}
