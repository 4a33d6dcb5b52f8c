//! Values checked against JSON Schema, the same in every language.

mod bounds;
mod quick;
mod seen;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError};
use procall_proto::Encoding;
use serde_json::Value;

use self::bounds::Bounds;
use self::quick::Quick;
use self::seen::Seen;
use crate::codec;
use crate::error::{Error, FieldError};

/// Bytes a schema may take as JSON; a longer one is refused.
const MAX_SCHEMA: usize = 64 << 10;
/// Memory a compiled pattern may take; one that needs more is refused.
const MAX_PATTERN: usize = 1 << 20;
/// Memory that all patterns of a schema may take together: each has its share.
const MAX_PATTERNS: usize = 64 << 20;
/// Mistakes that are told of one value; the rest would help nobody.
const MAX_MISTAKES: usize = 64;

/// A JSON Schema, made ready to check values: draft 2020-12, or an earlier one that `$schema` names.
///
/// Nothing is fetched: a reference must point into the schema itself. Patterns take time in proportion to the text, so look-around and
/// back-references are refused. Formats are annotations, as the draft has it.
///
/// A schema has 64 KiB and 32 levels at most, and no value keeps the checker busy: alternatives that multiply are refused with the schema, or,
/// where it depends on the value how far they do, with the value. A million steps are always allowed, which are some 50 ms, and 16 more for each
/// place of a value; a step is one subschema for one place.
///
/// ```
/// use procall::{Encoding, Validator};
/// use serde_json::json;
///
/// let schema = json!({
///     "type": "object",
///     "properties": {"age": {"type": "integer", "minimum": 0}, "name": {"type": "string"}},
///     "required": ["age", "name"],
/// });
/// let validator = Validator::new(&schema)?;
/// assert!(validator.check(Encoding::Json, br#"{"age": 7, "name": "Ada"}"#)?.is_empty());
///
/// let mistakes = validator.check(Encoding::Json, br#"{"age": -1}"#)?;
/// assert_eq!(mistakes[0].to_string(), "/age: value is less than the minimum of 0");
/// assert_eq!(mistakes[1].to_string(), "/name: is missing");
/// # Ok::<(), procall::Error>(())
/// ```
#[derive(Debug)]
pub struct Validator {
    compiled: jsonschema::Validator,
    bounds: Bounds,
    /// Of a schema that says nothing unusual.
    quick: Option<Quick>,
}

impl Validator {
    /// Longest schema in bytes of JSON, 64 KiB; a longer one is refused.
    pub const MAX_SCHEMA: usize = MAX_SCHEMA;
    /// Deepest schema in levels, 32; a deeper one is refused.
    pub const MAX_DEPTH: usize = bounds::MAX_DEPTH;

    /// Makes a schema ready. The error is INVALID_ARGUMENT and says what is wrong with it, and where.
    pub fn new(schema: &Value) -> Result<Self, Error> {
        let refused = |what: String| Error::invalid(format!("the schema cannot be used: {what}"));
        let length = serde_json::to_vec(schema).map_or(usize::MAX, |bytes| bytes.len());
        if length > MAX_SCHEMA {
            return Err(refused(format!("it takes {length} bytes, the limit is {MAX_SCHEMA}")));
        }
        let bounds = Bounds::of(schema).map_err(refused)?;
        let pattern = MAX_PATTERN.min(MAX_PATTERNS / bounds::patterns(schema).max(1));
        let options = jsonschema::options()
            .offline()
            .with_pattern_options(PatternOptions::regex().size_limit(pattern));
        // Without a name of its own it is of the newest draft.
        let options = match schema.get("$schema") {
            Some(_) => options,
            None => options.with_draft(Draft::Draft202012),
        };
        let compiled = options.build(schema).map_err(|error| {
            let path = error.instance_path().as_str().to_owned();
            let place = if path.is_empty() { String::new() } else { format!(" (at {path})") };
            refused(format!("{error}{place}"))
        })?;
        Ok(Self { compiled, bounds, quick: Quick::of(schema) })
    }

    /// One that never takes the short way.
    #[cfg(test)]
    fn thorough(schema: &Value) -> Result<Self, Error> {
        Ok(Self { quick: None, ..Self::new(schema)? })
    }

    /// Whether params are right beyond doubt, seen from their bytes. Otherwise they have to be looked at closely.
    pub(crate) fn accepts_params(
        &self,
        names: &[String],
        encoding: Encoding,
        bytes: &[u8],
    ) -> bool {
        self.quick.as_ref().is_some_and(|quick| match encoding {
            Encoding::None => quick.accepts_nothing(),
            Encoding::Msgpack => quick.accepts_params(names, bytes),
            _ => false,
        })
    }

    /// Everything that is wrong with a value, 64 mistakes at most, in the order of their places; nothing when it is as the schema wants it. The error is INVALID_ARGUMENT
    /// for bytes that are no value at all.
    ///
    /// Bytes count as texts in base64, which `{"type": "string", "contentEncoding": "base64", "x-procall": "bytes"}` describes; typed buffers as
    /// `{"$tensor": {"dtype": "float32", "shape": [2, 3]}}`, which `{"type": "object", "required": ["$tensor"], "x-procall": "buffer"}`
    /// describes; infinities as the largest numbers, and a NaN as 0.
    pub fn check(&self, encoding: Encoding, bytes: &[u8]) -> Result<Vec<FieldError>, Error> {
        if let Some(quick) = &self.quick {
            let is_right = match encoding {
                Encoding::Msgpack => quick.accepts(bytes),
                Encoding::Json => quick.accepts(&codec::to_msgpack(encoding, bytes)?),
                _ => false,
            };
            if is_right {
                return Ok(Vec::new());
            }
        }
        let Seen(value) = codec::decode(encoding, bytes)?;
        Ok(self.check_value(&value))
    }

    /// The same of a value in hand.
    pub fn check_value(&self, value: &Value) -> Vec<FieldError> {
        let of_all =
            |message: &str| vec![FieldError { path: String::new(), message: message.to_owned() }];
        if !self.bounds.allow(value) {
            return of_all(
                "takes too long to be checked: the schema has too many alternatives for it",
            );
        }
        if self.compiled.is_valid(value) {
            return Vec::new();
        }
        if !self.bounds.explain(value) {
            return of_all("is not as the schema wants it; to find out where takes too long");
        }
        let mut mistakes = Vec::new();
        for error in self.compiled.iter_errors(value) {
            tell(&error, &mut mistakes);
            if mistakes.len() >= MAX_MISTAKES {
                mistakes.truncate(MAX_MISTAKES);
                break;
            }
        }
        mistakes.sort_by(|a, b| a.path.cmp(&b.path));
        mistakes
    }
}

/// A mistake as people read it. The value itself is not shown: it may be long, or secret.
fn tell(error: &ValidationError<'_>, mistakes: &mut Vec<FieldError>) {
    let path = error.instance_path().as_str();
    let below = |name: &str| format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
    let mut push = |path: String, message: &str| {
        mistakes.push(FieldError { path, message: message.to_owned() });
    };
    match error.kind() {
        ValidationErrorKind::Required { property: Value::String(name) } => {
            push(below(name), "is missing");
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().for_each(|name| push(below(name), "is not expected here"));
        }
        _ => push(path.to_owned(), &error.masked().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procall_proto::buffer::{Dtype, TypedBuffer};
    use serde_json::json;

    fn mistakes(schema: Value, value: Value) -> Vec<String> {
        let validator = Validator::new(&schema).unwrap();
        let bytes = codec::encode(&value).unwrap();
        let found = validator.check(Encoding::Msgpack, &bytes).unwrap();
        assert_eq!(found, validator.check_value(&value), "in both forms");
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mistake_is_told_with_its_place_and_without_the_value() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
                "a/b": {"type": "integer"},
            },
            "required": ["name", "age"],
            "additionalProperties": false,
        });
        let found = mistakes(
            schema,
            json!({"name": 7, "tags": ["a", "secret"], "a/b": 1.5, "extra": 1, "more": 2}),
        );
        let expected = vec![
            "/age: is missing",
            "/a~1b: value is not of type \"integer\"",
            "/extra: is not expected here",
            "/more: is not expected here",
            "/name: value is not of type \"string\"",
            "/tags/1: value is not one of \"a\" or \"b\"",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn drafts_and_references_within_the_schema_are_known() {
        let pair = json!({
            "$defs": {"n": {"type": "number"}},
            "prefixItems": [{"$ref": "#/$defs/n"}, {"type": "string"}],
            "items": false,
        });
        assert!(mistakes(pair.clone(), json!([1.5, "x"])).is_empty());
        assert_eq!(mistakes(pair, json!([1.5, "x", 3])).len(), 1);
        let seven = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "items": [{"type": "number"}],
            "additionalItems": false,
        });
        assert_eq!(mistakes(seven, json!([1, 2])).len(), 1);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_the_reason() {
        for (schema, told) in [
            (json!({"type": "strnig"}), "strnig"),
            (json!({"$ref": "https://example.com/a.json"}), "example.com"),
            (json!({"$ref": "file:///etc/passwd"}), "passwd"),
            (json!({"$ref": "#/$defs/missing"}), "missing"),
            (json!({"pattern": "(?=a)b"}), "pattern"),
            (json!({"pattern": "("}), "("),
            (json!({"pattern": "((a{1000}){1000}){1000}"}), "pattern"),
            (json!({"description": "x".repeat(MAX_SCHEMA)}), "the limit is"),
            (json!({"anyOf": vec![json!({"pattern": "(a{200}){200}"}); 1500]}), "pattern"),
        ] {
            let error = Validator::new(&schema).unwrap_err();
            assert_eq!(error.code(), procall_proto::ErrorCode::InvalidArgument);
            assert!(error.message().contains(told), "{error}");
        }
    }

    #[test]
    fn a_pattern_takes_time_in_proportion_to_the_text() {
        let text = format!("{}!", "a".repeat(50_000));
        assert_eq!(mistakes(json!({"pattern": "^(a+)+$"}), json!(text)).len(), 1);
    }

    /// `{"$defs": {"a0": …, "a20": …}}`, each of which has the next one twice.
    fn doubling(levels: usize, twice: impl Fn(Value) -> Value) -> Value {
        let mut defs: serde_json::Map<String, Value> = (0..levels)
            .map(|at| {
                let next = json!({"$ref": format!("#/$defs/a{}", at + 1)});
                (format!("a{at}"), twice(next))
            })
            .collect();
        defs.insert(format!("a{levels}"), json!({"type": "integer"}));
        json!({"$ref": "#/$defs/a0", "$defs": defs})
    }

    #[test]
    fn a_schema_whose_alternatives_multiply_is_refused() {
        for keyword in ["anyOf", "oneOf", "allOf"] {
            let error =
                Validator::new(&doubling(20, |next| json!({keyword: [&next, &next]}))).unwrap_err();
            assert!(error.message().contains("alternatives come to more than"), "{error}");
            // Some of it is no harm.
            let small = doubling(8, |next| json!({keyword: [&next, &next]}));
            assert!(Validator::new(&small).unwrap().check_value(&json!("x")).len() <= MAX_MISTAKES);
        }
    }

    #[test]
    fn references_that_lead_nowhere_new_are_refused() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"anyOf": [{"type": "null"}, {"$ref": "#"}]}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}}}),
        ] {
            let error = Validator::new(&schema).unwrap_err();
            assert!(error.message().contains("leads back to itself"), "{error}");
        }
        // A tree does so with a step.
        let tree = json!({
            "type": "object",
            "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "value": {"type": "integer"}},
            "additionalProperties": false,
        });
        let deep =
            (0..25).fold(json!({"value": 1}), |below, _| json!({"left": below, "right": {}}));
        assert!(mistakes(tree.clone(), deep).is_empty());
        let wrong = json!({"left": {"right": {"value": "x"}}});
        assert_eq!(mistakes(tree, wrong), ["/left/right/value: value is not of type \"integer\""]);
    }

    #[test]
    fn a_value_that_would_take_for_ever_is_refused() {
        // Each level is looked at twice as often as the one above it.
        let twice = json!({"anyOf": [
            {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
            {"type": "array", "items": {"$ref": "#"}, "maxItems": 1},
        ]});
        let validator = Validator::new(&twice).unwrap();
        let nested = |depth| (0..depth).fold(json!(1), |below, _| json!([below]));
        assert_eq!(validator.check_value(&nested(4)).len(), 1);
        let found = validator.check_value(&nested(60));
        assert!(found[0].message.starts_with("takes too long"), "{found:?}");

        let flat = Validator::new(&json!({"items": {"anyOf": vec![json!({"enum": [0]}); 2000]}}));
        let long = json!(vec![1; 10_000]);
        assert!(flat.unwrap().check_value(&long)[0].message.starts_with("takes too long"));
    }

    #[test]
    fn a_long_value_takes_its_time() {
        let schema = json!({"items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}});
        assert!(Validator::new(&schema).unwrap().check_value(&json!(vec![7; 500_000])).is_empty());
    }

    #[test]
    fn alternatives_that_constants_tell_apart_are_one() {
        let of = |kind: &str| {
            json!({
                "type": "object",
                "properties": {"kind": {"const": kind}, "left": {"$ref": "#"}, "right": {"$ref": "#"}},
                "required": ["kind", "left", "right"],
            })
        };
        let leaf = json!({
            "type": "object",
            "properties": {"kind": {"const": "leaf"}},
            "required": ["kind"],
        });
        let terms = json!({"oneOf": [of("add"), of("sub"), of("mul"), of("div"), leaf]});
        let nested = |leaf: Value| {
            (0..10).fold(
                leaf,
                |below, _| json!({"kind": "mul", "left": below, "right": {"kind": "leaf"}}),
            )
        };
        let validator = Validator::new(&terms).unwrap();
        assert!(validator.check_value(&nested(json!({"kind": "leaf"}))).is_empty());
        let found = validator.check_value(&nested(json!({"kind": "tree"})));
        assert!(found[0].message.starts_with("is not as the schema wants it"), "{found:?}");
    }

    #[test]
    fn size_depth_and_far_references_are_bounded() {
        let deep = |levels| (0..levels).fold(json!({}), |below, _| json!({"not": below}));
        assert!(Validator::new(&deep(30)).is_ok());
        let named = |count| {
            let parts: serde_json::Map<String, Value> = (0..count)
                .map(|at| (at.to_string(), json!({"$id": format!("https://example.com/{at}")})))
                .collect();
            json!({"$defs": parts})
        };
        assert!(Validator::new(&named(10)).is_ok());
        let chained: serde_json::Map<String, Value> = (0..200)
            .map(|at| (at.to_string(), json!({"$ref": format!("#/$defs/{}", at + 1)})))
            .collect();
        let mut chained = json!({"$ref": "#/$defs/0", "$defs": chained});
        chained["$defs"]["200"] = json!({});
        for (schema, told) in [
            (deep(40), "nested more than 32 deep"),
            (named(100), "have an $id"),
            (chained, "stand inside each other"),
            (json!({"$dynamicRef": "#x", "$dynamicAnchor": "x"}), "use $ref"),
        ] {
            let error = Validator::new(&schema).unwrap_err();
            assert!(error.message().contains(told), "{error}");
        }
    }

    #[test]
    fn references_by_name_are_followed() {
        let tree = json!({
            "properties": {"node": {"$id": "T0", "properties": {"next": {"$ref": "T0"}}, "type": "object"}},
        });
        assert!(mistakes(tree.clone(), json!({"node": {"next": {"next": {}}}})).is_empty());
        assert_eq!(mistakes(tree, json!({"node": {"next": {"next": 1}}})).len(), 1);
        let anchored = json!({"$ref": "#n", "$defs": {"a": {"$anchor": "n", "type": "number"}}});
        assert_eq!(mistakes(anchored, json!("x")).len(), 1);
    }

    #[test]
    fn values_that_json_does_not_have() {
        let check = |schema: Value, bytes: &[u8]| {
            Validator::new(&schema).unwrap().check(Encoding::Msgpack, bytes).unwrap().len()
        };
        assert_eq!(check(json!({"type": "string"}), b"\xc4\x03abc"), 0, "bytes");
        assert_eq!(check(json!({"type": "integer"}), b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), 0);
        assert_eq!(check(json!({"maximum": 10}), b"\xcb\x7f\xf0\0\0\0\0\0\0"), 1, "infinity");
        assert_eq!(check(json!({"type": "number"}), b"\xcb\x7f\xf8\0\0\0\0\0\0"), 0, "NaN");
        assert!(Validator::new(&json!({})).unwrap().check(Encoding::Msgpack, b"\xc1").is_err());
        assert!(
            Validator::new(&json!({})).unwrap().check(Encoding::Msgpack, b"\xc7\x01\x05x").is_err()
        );
        let twice =
            Validator::new(&json!({})).unwrap().check(Encoding::Msgpack, b"\x82\xa1a\x01\xa1a\x02");
        assert!(twice.is_err());
    }

    #[test]
    fn bytes_and_typed_buffers_have_one_schema_in_every_language_and_encoding() {
        let bytes = crate::bytes::bytes_schema();
        let buffer = json!({"type": "object", "required": ["$tensor"], "x-procall": "buffer"});
        let mut tensor = Vec::new();
        TypedBuffer::inline(Dtype::F32, &[2, 3], &[0; 24]).write(&mut tensor).unwrap();
        let json_tensor =
            json!({"$tensor": {"dtype": "float32", "shape": [1], "data": "AAAAAA=="}}).to_string();
        for (schema, encoding, value, mistakes) in [
            (&bytes, Encoding::Msgpack, &b"\xc4\x03abc"[..], 0),
            (&bytes, Encoding::Raw, b"abc", 0),
            (&bytes, Encoding::Json, br#"{"$bytes": "YWJj"}"#, 0),
            (&bytes, Encoding::Msgpack, b"\x93\x01\x02\x03", 1),
            (&bytes, Encoding::Msgpack, &tensor, 1),
            (&buffer, Encoding::Msgpack, &tensor, 0),
            (&buffer, Encoding::Json, json_tensor.as_bytes(), 0),
            (&buffer, Encoding::Msgpack, b"\xc4\x03abc", 1),
            (&buffer, Encoding::Msgpack, b"\x80", 1),
        ] {
            let found = Validator::new(schema).unwrap().check(encoding, value).unwrap();
            assert_eq!(found.len(), mistakes, "{schema} {encoding:?} {value:?}: {found:?}");
        }
        let matrix = json!({"properties": {"$tensor": {"properties": {
            "dtype": {"enum": ["float32"]}, "shape": {"prefixItems": [{"const": 2}, {"const": 3}]},
        }}}});
        assert!(
            Validator::new(&matrix).unwrap().check(Encoding::Msgpack, &tensor).unwrap().is_empty()
        );
        let vector = json!({"properties": {"$tensor": {"properties": {"shape": {"maxItems": 1}}}}});
        let found = Validator::new(&vector).unwrap().check(Encoding::Msgpack, &tensor).unwrap();
        assert_eq!(found[0].path, "/$tensor/shape");
    }

    #[test]
    fn a_flood_of_mistakes_is_cut_off() {
        let found = mistakes(json!({"items": {"type": "string"}}), json!(vec![1; 1000]));
        assert_eq!(found.len(), MAX_MISTAKES);
    }
}
