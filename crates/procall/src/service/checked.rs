//! Params checked against a method's schema, in either of their forms.

use std::borrow::Cow;

use procall_proto::Encoding;
use procall_proto::wire::Writer;

use super::params::Params;
use crate::error::{Error, FieldError};
use crate::registration::MethodInfo;
use crate::schema::Validator;

impl Validator {
    /// Everything that is wrong with the params of a call, by position or by name, when this is the schema of the method's params. The error is
    /// INVALID_ARGUMENT for bytes that are no params at all.
    ///
    /// ```
    /// use procall::{Encoding, MethodInfo, Validator};
    /// use serde_json::json;
    ///
    /// let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]});
    /// let method = MethodInfo { params: vec!["a".into()], params_schema: Some(schema.clone()), ..MethodInfo::default() };
    /// let validator = Validator::new(&schema)?;
    /// assert!(validator.check_params(&method, Encoding::Json, b"[1]")?.is_empty());
    /// assert!(validator.check_params(&method, Encoding::Json, br#"{"a": 1}"#)?.is_empty());
    /// assert_eq!(validator.check_params(&method, Encoding::Json, br#"["x"]"#)?[0].path, "/0");
    /// assert_eq!(validator.check_params(&method, Encoding::Json, b"[]")?[0].path, "/0");
    /// assert_eq!(validator.check_params(&method, Encoding::Json, b"[1, 2]")?[0].path, "/1");
    ///
    /// // A function of one object of all of them gives no order.
    /// let gathering = MethodInfo { params: Vec::new(), ..method };
    /// assert!(validator.check_params(&gathering, Encoding::Json, br#"[{"a": 1}]"#)?.is_empty());
    /// assert_eq!(validator.check_params(&gathering, Encoding::Json, br#"[{"a": "x"}]"#)?[0].path, "/0/a");
    /// # Ok::<(), procall::Error>(())
    /// ```
    pub fn check_params(
        &self,
        method: &MethodInfo,
        encoding: Encoding,
        bytes: &[u8],
    ) -> Result<Vec<FieldError>, Error> {
        let names = &method.params;
        if self.accepts_params(names, encoding, bytes) {
            return Ok(Vec::new());
        }
        let params = Params::new(encoding, bytes)?;
        if encoding == Encoding::Json
            && self.accepts_params(names, Encoding::Msgpack, params.bytes())
        {
            return Ok(Vec::new());
        }
        let Some(values) = params.positional() else {
            let whole = matches!(names.as_slice(), [name] if is_object(method, name) && params.leaves_out(names));
            let object = match whole {
                false => Cow::Borrowed(params.bytes()),
                true => Cow::Owned(object(names, std::iter::once(params.bytes()))),
            };
            let mut mistakes = self.check(Encoding::Msgpack, &object)?;
            if let (true, [name]) = (whole, names.as_slice()) {
                let inside = format!("/{name}");
                for mistake in &mut mistakes {
                    if let Some(rest) = mistake.path.strip_prefix(&inside) {
                        mistake.path = rest.to_owned();
                    }
                }
            }
            return Ok(mistakes);
        };
        if takes_array(method) || names.is_empty() && !values.is_empty() {
            // It takes any number of arguments; or whoever gives no order of parameters may mean an array, or one object of all of them.
            let array = if values.is_empty() { &[0x90] } else { params.bytes() };
            let mistakes = self.check(Encoding::Msgpack, array)?;
            return Ok(match self.check_gathered(&values[..])? {
                Some(inside) if !mistakes.is_empty() => inside,
                _ => mistakes,
            });
        }
        let named = object(names, values.iter().copied().take(names.len()));
        let mut mistakes = self.check(Encoding::Msgpack, &named)?;
        if !mistakes.is_empty() && self.check_gathered(&values[..])?.is_some_and(|it| it.is_empty())
        {
            return Ok(Vec::new());
        }
        for mistake in &mut mistakes {
            let at = names.iter().enumerate().find_map(|(at, name)| {
                let rest = mistake.path.strip_prefix('/')?.strip_prefix(name.as_str())?;
                (rest.is_empty() || rest.starts_with('/')).then(|| format!("/{at}{rest}"))
            });
            mistake.path = at.unwrap_or_else(|| std::mem::take(&mut mistake.path));
        }
        for at in names.len()..values.len() {
            mistakes
                .push(FieldError { path: format!("/{at}"), message: "is one too many".to_owned() });
        }
        Ok(mistakes)
    }

    /// What is wrong with a sole argument, if it is a map, when it is to be one object of all parameters.
    fn check_gathered(&self, values: &[&[u8]]) -> Result<Option<Vec<FieldError>>, Error> {
        let [value] = values else { return Ok(None) };
        if !is_map(value) {
            return Ok(None);
        }
        let mut inside = self.check(Encoding::Msgpack, value)?;
        for mistake in &mut inside {
            mistake.path.insert_str(0, "/0");
        }
        Ok(Some(inside))
    }
}

/// Whether the schema of the params is one of arrays too: the method takes any number of arguments.
fn takes_array(method: &MethodInfo) -> bool {
    let kinds = method.params_schema.as_ref().and_then(|schema| schema.get("type")?.as_array());
    kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "array"))
}

/// The values under their names, as one MessagePack map.
fn object<'a>(names: &[String], values: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    writer.map(values.clone().count());
    for (name, value) in names.iter().zip(values) {
        writer.text(name).raw(value);
    }
    bytes
}

/// Whether a MessagePack value is a map.
fn is_map(value: &[u8]) -> bool {
    matches!(value.first(), Some(0x80..=0x8f | 0xde | 0xdf))
}

/// Whether the schema of a parameter is that of an object, so that a map may stand for it.
fn is_object(method: &MethodInfo, name: &str) -> bool {
    let property =
        method.params_schema.as_ref().and_then(|schema| schema.get("properties")?.get(name));
    property.is_some_and(|schema| {
        // Nothing is known of it, so that only its function can tell.
        schema.as_object().is_some_and(serde_json::Map::is_empty)
            || schema.get("type").is_some_and(|kind| kind == "object")
            || schema.get("properties").is_some()
            || schema.get("$ref").is_some()
    })
}
