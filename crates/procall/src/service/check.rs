//! The part of a schema that every language checks before a handler runs: which arguments there are, and their JSON types.
//!
//! Whole schemas are checked where services register; this is what stands between a call and a handler that has no types of its own.

use procall_proto::Encoding;
use serde_json::Value;

use super::params::{Params, Signature};
use crate::error::{Error, FieldError};
use crate::registration::MethodInfo;

const NULL: u8 = 1;
const BOOLEAN: u8 = 2;
const INTEGER: u8 = 4;
const FLOAT: u8 = 8;
const STRING: u8 = 16;
const BYTES: u8 = 32;
const ARRAY: u8 = 64;
const OBJECT: u8 = 128;
const ANY: u8 = 255;

/// What the arguments of one method may be; each list has a place a parameter.
#[derive(Debug, Clone)]
pub(super) struct Check {
    names: Vec<String>,
    required: Vec<bool>,
    /// The types that an argument may have.
    types: Vec<u8>,
}

impl Check {
    /// The check for a method whose schema says something about types; `None` when it does not.
    pub(super) fn of(method: &MethodInfo) -> Option<Self> {
        let schema = method.params_schema.as_ref()?;
        let properties = schema.get("properties")?.as_object()?;
        let listed = schema.get("required").and_then(Value::as_array);
        let is_required =
            |name: &String| listed.is_some_and(|listed| listed.iter().any(|known| known == name));
        let names = method.params.clone();
        let types: Vec<u8> =
            names.iter().map(|name| properties.get(name).map_or(ANY, types)).collect();
        // Number and names of arguments are checked by whoever binds them.
        let says_types = types.iter().any(|&types| types != ANY);
        says_types.then(|| Self { required: names.iter().map(is_required).collect(), names, types })
    }

    /// Checks the params of a call; the error names every argument that is wrong.
    pub(super) fn check(&self, encoding: Encoding, body: &[u8]) -> Result<(), Error> {
        let signature = Signature {
            names: &self.names,
            required: &self.required,
            takes_whole: self.types.first() == Some(&OBJECT),
        };
        let bound = Params::new(encoding, body)?.bind(signature)?;
        let mut wrong = Vec::new();
        for (at, &types) in self.types.iter().enumerate() {
            if let Some((found, words)) = bound.value(at).map(kind)
                && types & found == 0
            {
                let message = format!("{words} is not allowed here");
                wrong.push((&self.names[at], FieldError { path: bound.path_of(at), message }));
            }
        }
        let Some((name, first)) = wrong.first() else { return Ok(()) };
        let message = format!("argument {name}: {}", first.message);
        Err(Error::invalid(message)
            .with_fields(wrong.into_iter().map(|(_, field)| field).collect()))
    }
}

/// The types that a schema allows, as far as its `type` says.
fn types(schema: &Value) -> u8 {
    let one = |name: &Value| match name.as_str() {
        Some("null") => NULL,
        Some("boolean") => BOOLEAN,
        Some("integer") => INTEGER,
        Some("number") => INTEGER | FLOAT,
        // Bytes have no type of their own in JSON Schema.
        Some("string") => STRING | BYTES,
        Some("array") => ARRAY,
        Some("object") => OBJECT,
        _ => ANY,
    };
    match schema.get("type") {
        Some(Value::Array(names)) => names.iter().map(one).fold(0, |all, one| all | one),
        Some(name) => one(name),
        None => ANY,
    }
}

/// The type of a MessagePack value that was checked to be one, and what to call it.
fn kind(value: &[u8]) -> (u8, &'static str) {
    match value.first() {
        Some(0xc0) => (NULL, "null"),
        Some(0xc2 | 0xc3) => (BOOLEAN, "a boolean"),
        Some(0x00..=0x7f | 0xe0..=0xff | 0xcc..=0xd3) => (INTEGER, "an integer"),
        Some(0xca | 0xcb) => {
            (if is_whole(value) { INTEGER | FLOAT } else { FLOAT }, "a number with a fraction")
        }
        Some(0xa0..=0xbf | 0xd9..=0xdb) => (STRING, "a string"),
        Some(0xc4..=0xc6) => (BYTES, "bytes"),
        Some(0x90..=0x9f | 0xdc | 0xdd) => (ARRAY, "an array"),
        Some(0x80..=0x8f | 0xde | 0xdf) => (OBJECT, "an object"),
        // A typed buffer stands for an array, and for whatever a schema that knows of it says.
        _ => (ANY, "a typed buffer"),
    }
}

/// Whether a float has no fraction: such a number is an integer to JSON Schema.
fn is_whole(value: &[u8]) -> bool {
    let number = match *value {
        [0xca, a, b, c, d] => f64::from(f32::from_be_bytes([a, b, c, d])),
        [0xcb, a, b, c, d, e, f, g, h] => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => return false,
    };
    number.fract() == 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(params: &impl serde::Serialize) -> Result<(), Error> {
        let method = MethodInfo {
            name: "calc.add".into(),
            params: vec!["a".into(), "b".into()],
            params_schema: Some(json!({
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}},
                "required": ["a"],
            })),
            ..MethodInfo::default()
        };
        let body = crate::codec::encode(params).unwrap();
        Check::of(&method).unwrap().check(Encoding::Msgpack, &body)
    }

    #[test]
    fn what_the_schema_allows_passes() {
        check(&(1, "x")).unwrap();
        check(&(-1, ())).unwrap();
        check(&(1,)).unwrap();
        check(&(2.0, "x")).unwrap();
        check(&json!({"b": "x", "a": 1})).unwrap();
    }

    #[test]
    fn every_wrong_argument_is_named() {
        let error = check(&("x", 1)).unwrap_err();
        let paths: Vec<&str> = error.fields().iter().map(|field| &*field.path).collect();
        assert_eq!(paths, ["/0", "/1"]);
        assert_eq!(error.message(), "argument a: a string is not allowed here");
        assert!(check(&(1.5,)).is_err());
        let error = check(&json!({"a": 1, "b": false})).unwrap_err();
        assert_eq!(error.fields()[0].path, "/b");
        assert!(check(&(1, "x", 2)).is_err());
    }
}
