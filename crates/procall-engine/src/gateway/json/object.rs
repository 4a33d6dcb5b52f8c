//! The text of JSON messages, and values between JSON and the native form.

use procall::json::{self, JsonError, JsonId};
use procall::{Encoded, Encoding, Error, ErrorCode, Executed};
use serde_json::{Map, Value};

/// A JSON object that is written key by key.
#[derive(Debug)]
pub(crate) struct Object {
    out: String,
}

impl Object {
    /// Without any key yet.
    pub(crate) fn new() -> Self {
        Self { out: "{".to_owned() }
    }

    /// A message of this type.
    pub(crate) fn message(tag: &str) -> Self {
        Self::new().text("type", tag)
    }

    /// A value that is JSON already.
    pub(crate) fn raw(mut self, name: &str, json: &str) -> Self {
        if self.out.len() > 1 {
            self.out.push(',');
        }
        self.out.push_str(&quoted(name));
        self.out.push(':');
        self.out.push_str(json);
        self
    }

    pub(crate) fn text(self, name: &str, text: &str) -> Self {
        let json = quoted(text);
        self.raw(name, &json)
    }

    /// Text, or null.
    pub(crate) fn text_or_null(self, name: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self.raw(name, "null"),
        }
    }

    pub(crate) fn uint(self, name: &str, value: u64) -> Self {
        self.raw(name, &value.to_string())
    }

    pub(crate) fn bool(self, name: &str, value: bool) -> Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    /// Nothing, unless it is true.
    pub(crate) fn flag(self, name: &str, value: bool) -> Self {
        if value { self.bool(name, true) } else { self }
    }

    /// What is known of an error, by `code`, but for what stands in keys of these names.
    pub(crate) fn error(self, code: &str, error: &Error, without: &[&str]) -> Self {
        let ours = ["code", "message", "executed"];
        let executed = error.executed().as_str();
        let mut object =
            self.text("code", code).text("message", error.message()).text("executed", executed);
        for (name, value) in error_map(error) {
            if !ours.contains(&&*name) && !without.contains(&&*name) {
                object = object.raw(&name, &value.to_string());
            }
        }
        object
    }

    /// The whole text.
    pub(crate) fn finish(mut self) -> String {
        self.out.push('}');
        self.out
    }
}

/// The error map as JSON. What the service attached is left out when JSON cannot say it: that an error arrives counts for more.
fn error_map(error: &Error) -> Map<String, Value> {
    let read = |error: &Error| {
        let text = json::to_json(&error.encoded()).ok()?;
        serde_json::from_slice(&text).ok()
    };
    read(error).or_else(|| read(&error.clone().with_raw_details(Vec::new()))).unwrap_or_default()
}

/// Text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// An id as JSON.
pub(crate) fn id_json(id: &JsonId) -> String {
    match id {
        JsonId::Integer(value) => value.to_string(),
        JsonId::Text(text) => quoted(text),
    }
}

/// A JSON value in the native form; null and nothing are no value.
pub(crate) fn value_from_json(text: Option<&[u8]>) -> Result<Encoded, JsonError> {
    const NIL: [u8; 1] = [0xc0];
    Ok(match text.map(json::from_json).transpose()? {
        None => Encoded::new(Encoding::None, Vec::new()),
        Some(nil) if nil == NIL => Encoded::new(Encoding::None, Vec::new()),
        Some(bytes) => Encoded::new(Encoding::Msgpack, bytes),
    })
}

/// The params of a call in the native form. A bare scalar is the one positional argument.
pub(crate) fn params_from_json(text: Option<&[u8]>) -> Result<Encoded, Error> {
    let mut value = value_from_json(text).map_err(|error| {
        Error::new(ErrorCode::InvalidArgument, format!("the params cannot be read: {error}"))
            .with_source(error)
    })?;
    let bare = match value.bytes.first() {
        None | Some(0x80..=0x9f | 0xdc..=0xdf) => false,
        Some(_) => true,
    };
    if bare {
        value.bytes.insert(0, 0x91);
    }
    Ok(value)
}

/// A native value as JSON. `what` names it in the error, which does not say whether a handler ran.
pub(crate) fn value_to_json(
    encoding: Encoding,
    bytes: &[u8],
    what: &str,
) -> Result<String, String> {
    let cannot = |error: JsonError| format!("{what} cannot be said in JSON: {error}");
    let text = match encoding {
        Encoding::None => return Ok("null".to_owned()),
        Encoding::Msgpack => json::to_json(bytes).map_err(cannot)?,
        // Another peer's JSON may have marks and numbers that nobody has looked at.
        Encoding::Json => {
            let native = json::from_json(bytes).map_err(cannot)?;
            json::to_json(&native).map_err(cannot)?
        }
        Encoding::Raw => {
            let mut native = vec![0xc6];
            let len = u32::try_from(bytes.len()).map_err(|_| format!("{what} is too long"))?;
            native.extend_from_slice(&len.to_be_bytes());
            native.extend_from_slice(bytes);
            json::to_json(&native).map_err(cannot)?
        }
        Encoding::Unknown(number) => {
            return Err(format!("{what} has the encoding {number}, which is not known here"));
        }
    };
    String::from_utf8(text).map_err(|error| format!("{what} is not UTF-8: {error}"))
}

/// A result or an item as JSON; what cannot be said is the handler's doing.
pub(crate) fn result_to_json(value: &Encoded) -> Result<String, Error> {
    value_to_json(value.encoding, &value.bytes, "the result").map_err(|message| {
        Error::new(ErrorCode::InvalidResult, message).with_executed(Executed::Yes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_texts_are_escaped() {
        let text = Object::message("a\"b").text_or_null("to", None).flag("x", false).uint("n", 3);
        assert_eq!(text.finish(), r#"{"type":"a\"b","to":null,"n":3}"#);
        assert_eq!(Object::new().finish(), "{}");
    }

    #[test]
    fn an_error_arrives_without_the_details_that_json_cannot_say() {
        let nan = vec![0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0];
        let error = Error::handler("Odd", "no number").with_raw_details(nan);
        let text = Object::new().error("HANDLER_ERROR", &error, &[]).finish();
        let expected =
            r#"{"code":"HANDLER_ERROR","message":"no number","executed":"yes","type":"Odd"}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn only_arrays_and_objects_are_params_as_they_are() {
        let params = |text: &str| params_from_json(Some(text.as_bytes())).map(|value| value.bytes);
        assert_eq!(params("[1]").unwrap(), [0x91, 1]);
        assert_eq!(params("{\"a\":1}").unwrap(), [0x81, 0xa1, b'a', 1]);
        assert_eq!(params("5").unwrap(), [0x91, 5]);
        assert_eq!(params("{\"$bytes\":\"AA==\"}").unwrap(), [0x91, 0xc4, 1, 0]);
        assert!(params("null").unwrap().is_empty());
        let error = params("[1e999]").unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }

    #[test]
    fn raw_bytes_are_marked() {
        assert_eq!(value_to_json(Encoding::Raw, &[0], "it").unwrap(), r#"{"$bytes":"AA=="}"#);
        assert!(
            value_to_json(Encoding::Unknown(9), &[0], "it").unwrap_err().contains("encoding 9")
        );
    }
}
