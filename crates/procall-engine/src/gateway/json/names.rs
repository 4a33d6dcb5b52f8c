//! The order of parameters that are only described as the properties of an object.
//!
//! Clients of the seeds describe their params as one object and understand nothing else, while callers elsewhere may give theirs by position.

use std::collections::HashMap;
use std::fmt;

use procall::Encoding;
use procall::wire::{Reader, WireError, Writer};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

/// By method, the names of its parameters as its schema has them.
pub(super) type Names = HashMap<String, Vec<String>>;

/// The names of all methods of a registration whose params are an object with properties, and that do not give them themselves.
pub(super) fn read(document: &[u8]) -> Names {
    // What is no registration at all is told by whoever reads it whole.
    let document: Document = serde_json::from_slice(document).unwrap_or_default();
    let methods = document.methods.into_iter().flatten();
    let named = methods.filter_map(|method| match method {
        Method::Described { name, params_schema: Some(schema), params: None } => {
            let keys = schema.properties?.0;
            (!keys.is_empty()).then_some((name, keys))
        }
        Method::Described { .. } | Method::Other(_) => None,
    });
    named.collect()
}

/// Positional params as an object of these names; `None` when they are not positional, or too many.
pub(super) fn by_name(names: &[String], encoding: Encoding, params: &[u8]) -> Option<Vec<u8>> {
    if encoding != Encoding::Msgpack || !matches!(params.first(), Some(0x90..=0x9f | 0xdc | 0xdd)) {
        return None;
    }
    let object = || -> Result<Option<Vec<u8>>, WireError> {
        let mut reader = Reader::new(params);
        let count = reader.array()?;
        if count > names.len() {
            return Ok(None);
        }
        let mut object = Vec::with_capacity(2 * params.len());
        let mut writer = Writer::new(&mut object);
        writer.map(count);
        for name in &names[..count] {
            writer.text(name).raw(reader.skip_any()?);
        }
        Ok(Some(object))
    };
    object().ok().flatten()
}

#[derive(Default, Deserialize)]
struct Document {
    methods: Option<Vec<Method>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Method {
    Described { name: String, params_schema: Option<Schema>, params: Option<IgnoredAny> },
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Schema {
    properties: Option<Keys>,
}

/// The keys of an object in their order, which a map of serde_json does not keep.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_properties_keep_their_order() {
        let names = read(
            br#"{"type": "register", "methods": [
                {"name": "f", "params_schema": {"properties": {"z": {}, "a": true, "m": {}}}},
                {"name": "g", "params_schema": true},
                {"name": "h", "params_schema": {"properties": {"x": {}}}, "params": ["x"]},
                {"name": "i", "params_schema": {"type": "array"}},
                {"name": "j"}, 5
            ]}"#,
        );
        assert_eq!(names, Names::from([("f".into(), vec!["z".into(), "a".into(), "m".into()])]));
        assert!(read(b"5").is_empty());
    }

    #[test]
    fn only_positions_become_names() {
        let names = ["a".to_owned(), "b".to_owned()];
        let object = |params: &[u8]| by_name(&names, Encoding::Msgpack, params);
        assert_eq!(object(&[0x92, 1, 2]).unwrap(), [0x82, 0xa1, b'a', 1, 0xa1, b'b', 2]);
        assert_eq!(object(&[0x91, 1]).unwrap(), [0x81, 0xa1, b'a', 1]);
        assert_eq!(object(&[0x93, 1, 2, 3]), None);
        assert_eq!(object(&[0x81, 0xa1, b'a', 1]), None);
        assert_eq!(by_name(&names, Encoding::Json, b"[1]"), None);
    }
}
