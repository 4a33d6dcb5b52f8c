//! The common case, without a value being built: plain types, checked in the bytes as they came.
//!
//! What this accepts, the whole checker accepts. What it does not accept may be right all the same, so that the whole checker then has the word.

use procall_proto::wire::Reader;
use serde_json::Value;

/// Values that are looked at in one body; one with more is left to the whole checker.
const MAX_VALUES: usize = 4096;
/// Properties of one object, a bit each.
const MAX_PROPERTIES: usize = 64;

/// Kinds of values, a bit each.
const NULL: u8 = 1;
const TRUTH: u8 = 2;
const INTEGER: u8 = 4;
const FLOAT: u8 = 8;
const TEXT: u8 = 16;
const ARRAY: u8 = 32;
const OBJECT: u8 = 64;
/// What is no container.
const PLAIN: u8 = NULL | TRUTH | INTEGER | FLOAT | TEXT;

/// A schema of nothing but types, properties, items and bounds of integers.
#[derive(Debug)]
pub(super) struct Quick {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    kinds: u8,
    least: Option<i128>,
    most: Option<i128>,
    properties: Vec<(Box<str>, Self)>,
    /// Bits of the properties that must be there.
    required: u64,
    items: Option<Box<Self>>,
}

impl Quick {
    /// `None` for a schema that says more than can be checked here.
    pub(super) fn of(schema: &Value) -> Option<Self> {
        Node::of(schema).map(|root| Self { root })
    }

    /// Whether a MessagePack value is certainly right.
    pub(super) fn accepts(&self, bytes: &[u8]) -> bool {
        let (mut reader, mut left) = (Reader::new(bytes), MAX_VALUES);
        self.root.accepts(&mut reader, &mut left).is_some() && reader.rest().is_empty()
    }

    /// The same of the params of a method with these parameters, by position or by name.
    pub(super) fn accepts_params(&self, names: &[String], bytes: &[u8]) -> bool {
        self.params(names, bytes).is_some()
    }

    /// Whether the method may be called without arguments.
    pub(super) fn accepts_nothing(&self) -> bool {
        self.root.kinds == OBJECT && self.root.required == 0
    }

    fn params(&self, names: &[String], bytes: &[u8]) -> Option<()> {
        let mut reader = Reader::new(bytes);
        if matches!(bytes.first(), Some(0x80..=0x8f | 0xde | 0xdf)) {
            // An object without the name of the sole parameter may be the value of that parameter.
            if let [name] = names
                && (reader.map().ok()? != 1 || reader.text("a name").ok()? != name)
            {
                return None;
            }
            return self.accepts(bytes).then_some(());
        }
        // What is neither is refused by the whole checker. A method that takes an array means something else by one.
        let count = reader.array().ok().filter(|_| self.root.kinds == OBJECT)?;
        let (mut seen, mut left) = (0, MAX_VALUES);
        for name in names.get(..count)? {
            self.root.member(name, &mut seen, &mut reader, &mut left)?;
        }
        (self.root.required & !seen == 0 && reader.rest().is_empty()).then_some(())
    }
}

impl Node {
    fn of(schema: &Value) -> Option<Self> {
        let mut node = Self { kinds: PLAIN | ARRAY | OBJECT, ..Self::default() };
        if schema == &Value::Bool(true) {
            return Some(node);
        }
        let mut required = None;
        for (keyword, value) in schema.as_object()? {
            match &**keyword {
                "type" => {
                    node.kinds = match value {
                        Value::Array(kinds) => {
                            kinds.iter().try_fold(0, |sum, one| Some(sum | kind(one.as_str()?)?))?
                        }
                        one => kind(one.as_str()?)?,
                    };
                }
                "properties" => {
                    for (name, one) in value.as_object()? {
                        node.properties.push((name.as_str().into(), Self::of(one)?));
                    }
                }
                "required" => required = Some(value.as_array()?),
                "items" => node.items = Some(Box::new(Self::of(value)?)),
                "minimum" => node.least = Some(integer(value)?),
                "maximum" => node.most = Some(integer(value)?),
                // Members without a schema of their own are left to the whole checker.
                "additionalProperties" => {}
                "$schema" if value == "https://json-schema.org/draft/2020-12/schema" => {}
                // Notes, formats among them.
                "title" | "description" | "default" | "examples" | "deprecated" | "$comment"
                | "format" | "contentEncoding" => {}
                note if note.starts_with("x-") => {}
                _ => return None,
            }
        }
        if node.properties.len() > MAX_PROPERTIES {
            return None;
        }
        for name in required.into_iter().flatten() {
            node.required |= 1 << node.place(name.as_str()?)?;
        }
        Some(node)
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.properties.iter().position(|(known, _)| **known == *name)
    }

    /// Reads one value. `None` when it is not certain that it is right; how far the reader has come then, means nothing.
    fn accepts(&self, reader: &mut Reader<'_>, left: &mut usize) -> Option<()> {
        *left = left.checked_sub(1)?;
        let marker = *reader.rest().first()?;
        let kind = match marker {
            0xc0 => NULL,
            0xc2 | 0xc3 => TRUTH,
            0x00..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff => INTEGER,
            0xca | 0xcb => FLOAT,
            0xa0..=0xbf | 0xd9..=0xdb => TEXT,
            // Bytes count as texts in base64, so that these need not be made.
            0xc4..=0xc6 => TEXT,
            0x90..=0x9f | 0xdc | 0xdd => ARRAY,
            0x80..=0x8f | 0xde | 0xdf => OBJECT,
            // Buffers and what is no value at all.
            _ => return None,
        };
        if self.kinds & kind == 0 {
            return None;
        }
        let bounded = self.least.is_some() || self.most.is_some();
        match kind {
            TEXT if !matches!(marker, 0xc4..=0xc6) => drop(reader.text("a text").ok()?),
            INTEGER if bounded => {
                let number = number(reader.skip().ok()?)?;
                let fits = self.least.is_none_or(|least| least <= number)
                    && self.most.is_none_or(|most| number <= most);
                return fits.then_some(());
            }
            FLOAT if bounded => return None,
            ARRAY => {
                let items = self.items.as_ref()?;
                for _ in 0..reader.array().ok()? {
                    items.accepts(reader, left)?;
                }
            }
            OBJECT => {
                let mut seen = 0;
                for _ in 0..reader.map().ok()? {
                    let name = reader.text("a name").ok()?;
                    self.member(name, &mut seen, reader, left)?;
                }
                return (self.required & !seen == 0).then_some(());
            }
            _ => drop(reader.skip().ok()?),
        }
        Some(())
    }

    /// Reads the value of a member that has not been there before.
    fn member(
        &self,
        name: &str,
        seen: &mut u64,
        reader: &mut Reader<'_>,
        left: &mut usize,
    ) -> Option<()> {
        let place = self.place(name)?;
        if *seen & (1 << place) != 0 {
            return None;
        }
        *seen |= 1 << place;
        self.properties[place].1.accepts(reader, left)
    }
}

fn kind(name: &str) -> Option<u8> {
    Some(match name {
        "null" => NULL,
        "boolean" => TRUTH,
        // A float without a fraction is an integer too, and is left to the whole checker.
        "integer" => INTEGER,
        "number" => INTEGER | FLOAT,
        "string" => TEXT,
        "array" => ARRAY,
        "object" => OBJECT,
        _ => return None,
    })
}

fn integer(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}

/// An integer of MessagePack.
fn number(bytes: &[u8]) -> Option<i128> {
    let (&marker, rest) = bytes.split_first()?;
    let unsigned = rest.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    Some(match marker {
        0x00..=0x7f => i128::from(marker),
        0xe0..=0xff => i128::from(marker.cast_signed()),
        0xcc..=0xcf => i128::from(unsigned),
        0xd0..=0xd3 => {
            let unused = 64 - 8 * u32::try_from(rest.len()).ok()?;
            i128::from((unsigned << unused).cast_signed() >> unused)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use procall_proto::Encoding;
    use serde_json::json;

    use super::*;
    use crate::codec;
    use crate::registration::MethodInfo;
    use crate::schema::Validator;

    fn add() -> Value {
        let number = json!({"type": "number"});
        json!({
            "type": "object",
            "properties": {"a": number, "b": {"type": "integer", "minimum": -5, "maximum": 300}},
            "required": ["a", "b"],
            "additionalProperties": false,
        })
    }

    #[test]
    fn the_usual_is_accepted_without_the_whole_checker() {
        let quick = Quick::of(&add()).unwrap();
        let names = ["a".to_owned(), "b".to_owned()];
        for value in [json!([1, 2]), json!([1.5, -5]), json!({"b": 300, "a": 0})] {
            assert!(quick.accepts_params(&names, &codec::encode(&value).unwrap()), "{value}");
        }
        for value in
            [json!([1]), json!([1, 2, 3]), json!([1, 301]), json!([1, -6]), json!({"a": 1})]
        {
            assert!(!quick.accepts_params(&names, &codec::encode(&value).unwrap()), "{value}");
        }
        let bytes = json!({"type": "string", "contentEncoding": "base64", "x-procall": "bytes"});
        assert!(Quick::of(&bytes).unwrap().accepts(b"\xc4\x02\xff\0"));
        assert!(Quick::of(&json!({"properties": {"a": {"enum": [1]}}})).is_none());
        assert!(Quick::of(&json!({"required": ["a"]})).is_none());
    }

    #[test]
    fn integers_of_every_width_are_read() {
        for (bytes, expected) in [
            (&b"\x07"[..], 7),
            (b"\xff", -1),
            (b"\xcc\xff", 255),
            (b"\xd0\x80", -128),
            (b"\xd1\x01\x00", 256),
            (b"\xd2\xff\xff\xff\xfe", -2),
            (b"\xd3\x80\0\0\0\0\0\0\0", i128::from(i64::MIN)),
            (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", i128::from(u64::MAX)),
        ] {
            assert_eq!(number(bytes), Some(expected), "{bytes:02x?}");
        }
    }

    /// Every schema with every value, in both forms of params: whatever is accepted here, the whole checker finds nothing in.
    #[test]
    fn what_is_accepted_is_right() {
        let schemas = [
            add(),
            json!({"type": "object"}),
            json!({"type": "object", "properties": {
                "a": {"type": "integer", "format": "int64"}, "b": {"type": "string", "format": "date"}}}),
            json!({"properties": {"a": {"type": "string", "contentEncoding": "base64"}}}),
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema",
                "properties": {"a": {"type": "string", "contentEncoding": "base64"}}}),
            json!({"type": "object", "properties": {"a": true, "b": {"items": {"type": "string"}}}}),
            json!({"properties": {"a": {"type": ["null", "boolean", "string"]}, "b": {}}}),
            json!({"type": ["object", "array"], "properties": {"a": {}}, "items": {"type": "integer"}}),
            json!({"type": "object", "properties": {"a": {
                "type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}}}),
            json!({"type": "array", "items": {"type": "array", "items": {"maximum": 3}}}),
            json!({"type": "integer"}),
        ];
        let parts = [
            json!(null),
            json!(true),
            json!(1),
            json!(-7),
            json!(3.5),
            json!(2.0),
            json!("x"),
            json!([]),
            json!([1]),
            json!(["x", 4]),
            json!([[4]]),
            json!({}),
            json!({"x": 1}),
            json!({"x": "y"}),
            json!({"a": 1, "b": 2}),
            json!(u64::MAX),
        ];
        let mut bodies: Vec<Vec<u8>> = vec![
            b"\x82\xa1a\x01\xa1a\x02".to_vec(),
            b"\x92\x01".to_vec(),
            b"\x01\x01".to_vec(),
            b"\x91\xa1\xff".to_vec(),
            b"\x92\xc4\x01x\x01".to_vec(),
            b"\x91\xc4\x02\xff\0".to_vec(),
            b"\x81\xa1a\xc5\0\x01x".to_vec(),
            b"\x91\xc6\0\0\0\x09x".to_vec(),
            b"\x91\xcb\x7f\xf8\0\0\0\0\0\0".to_vec(),
            b"\x91\xc7\x01\x05x".to_vec(),
            b"\x81\x01\x02".to_vec(),
            b"\xc1".to_vec(),
            Vec::new(),
        ];
        for one in &parts {
            bodies.push(codec::encode(one).unwrap());
            bodies.push(codec::encode(&json!([one])).unwrap());
            bodies.push(codec::encode(&json!({"a": one})).unwrap());
            for other in &parts {
                bodies.push(codec::encode(&json!([one, other])).unwrap());
                bodies.push(codec::encode(&json!({"a": one, "b": other})).unwrap());
            }
        }
        let mut accepted = 0;
        for schema in schemas {
            let quick = Quick::of(&schema).unwrap();
            let whole = Validator::thorough(&schema).unwrap();
            for names in [&[][..], &["a"], &["b"], &["a", "b"], &["a", "c"]] {
                let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
                let method = MethodInfo {
                    params: names.clone(),
                    params_schema: Some(schema.clone()),
                    ..MethodInfo::default()
                };
                for body in &bodies {
                    if quick.accepts(body) {
                        accepted += 1;
                        let found = whole.check(Encoding::Msgpack, body).unwrap();
                        assert!(found.is_empty(), "{schema} {body:02x?}: {found:?}");
                    }
                    if quick.accepts_params(&names, body) {
                        accepted += 1;
                        let found = whole.check_params(&method, Encoding::Msgpack, body).unwrap();
                        assert!(found.is_empty(), "{schema} {names:?} {body:02x?}: {found:?}");
                    }
                }
                if quick.accepts_nothing() {
                    let found = whole.check_params(&method, Encoding::None, &[]).unwrap();
                    assert!(found.is_empty(), "{schema} {names:?}: {found:?}");
                }
            }
        }
        assert!(accepted > 1000, "only {accepted}");
    }
}
