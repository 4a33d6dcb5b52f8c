//! Schemas of methods, gathered in one place of a document.

use serde_json::{Map, Value};

/// Schemas by the names that they have in a document. A registered schema refers to its own root, which it no longer is.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    pub(super) all: Map<String, Value>,
}

/// Where a document keeps them.
const PLACE: &str = "#/components/schemas/";

impl Schemas {
    /// Adds a schema; what is returned refers to it.
    pub(super) fn add(&mut self, method: &str, what: &str, mut schema: Value) -> Value {
        let name = format!("{}.{what}", component(method));
        let place = format!("{PLACE}{name}");
        move_references(&mut schema, &place);
        self.all.insert(name, schema);
        reference(&place)
    }
}

/// A reference to a place in the document.
pub(super) fn reference(place: &str) -> Value {
    Value::Object(Map::from_iter([("$ref".to_owned(), Value::from(place))]))
}

/// A name with the characters that names of components may have: others become `_` and their number, so that no two names become one.
fn component(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => out.push(c),
            '_' => out.push_str("__"),
            other => out.push_str(&format!("_{:x}_", u32::from(other))),
        }
    }
    out
}

/// Lets the references of a schema to itself find it where it stands now.
fn move_references(schema: &mut Value, place: &str) {
    let object = match schema {
        Value::Object(object) => object,
        Value::Array(several) => {
            return several.iter_mut().for_each(|schema| move_references(schema, place));
        }
        _ => return,
    };
    // A schema with an id of its own is the root of its references, wherever it stands.
    if object.contains_key("$id") {
        return;
    }
    for (key, value) in object.iter_mut() {
        match (key.as_str(), value) {
            ("$ref" | "$dynamicRef", Value::String(target)) => {
                if let Some(path) = target.strip_prefix('#').filter(|path| is_path(path)) {
                    *target = format!("{place}{path}");
                }
            }
            // These hold values, not schemas.
            ("const" | "enum" | "default" | "examples" | "example", _) => {}
            (
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                Value::Object(named),
            ) => named.values_mut().for_each(|schema| move_references(schema, place)),
            (_, value) => move_references(value, place),
        }
    }
}

/// Whether it is a pointer, and no anchor, which is found in the whole document.
fn is_path(fragment: &str) -> bool {
    fragment.is_empty() || fragment.starts_with('/')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_find_what_they_meant() {
        let mut schemas = Schemas::default();
        let schema = json!({
            "properties": {
                "a": {"$ref": "#/$defs/A"},
                "tree": {"$ref": "#"},
                "$ref": {"type": "string"},
                "fixed": {"const": {"$ref": "#/$defs/A"}},
            },
            "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/B"}, {"$ref": "#anchor"}]}, "B": {"$id": "urn:b", "items": {"$ref": "#"}}},
        });
        let found = schemas.add("shop.buy", "params", schema);
        assert_eq!(found, json!({"$ref": "#/components/schemas/shop.buy.params"}));
        let expected = json!({
            "properties": {
                "a": {"$ref": "#/components/schemas/shop.buy.params/$defs/A"},
                "tree": {"$ref": "#/components/schemas/shop.buy.params"},
                "$ref": {"type": "string"},
                "fixed": {"const": {"$ref": "#/$defs/A"}},
            },
            "$defs": {
                "A": {"anyOf": [
                    {"$ref": "#/components/schemas/shop.buy.params/$defs/B"},
                    {"$ref": "#anchor"},
                ]},
                "B": {"$id": "urn:b", "items": {"$ref": "#"}},
            },
        });
        assert_eq!(schemas.all["shop.buy.params"], expected);
    }

    #[test]
    fn names_stay_apart_and_fit() {
        let names = ["a_b", "a/b", "a__b", "ä", "a.b"].map(component);
        assert_eq!(names, ["a__b", "a_2f_b", "a____b", "_e4_", "a.b"]);
    }
}
