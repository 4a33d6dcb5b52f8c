//! From words on the command line to params.
//!
//! What is written is JSON text until the library makes MessagePack of it, so that no number is rounded on the way.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use procall::scan::ScanError;
use procall::{Error, ErrorCode, FieldError, MethodInfo, json};

use crate::failure::Failure;
use crate::schema::{Reading, reading};

/// The params of a call as MessagePack.
pub(crate) fn params(words: &[String], method: &MethodInfo) -> Result<Vec<u8>, Failure> {
    if let [only] = words
        && let Some(text) = whole(only)?
    {
        return json::from_json(&text).map_err(|error| {
            Failure::usage(format!("the arguments are not valid JSON: {error}"))
                .fix("write an object {\"a\": 2}, an array [2, 3], or key=value words")
        });
    }
    let named = words.iter().filter(|word| split(word).is_some()).count();
    let text = if words.is_empty() {
        "[]".to_owned()
    } else if named == words.len() {
        let entries = words.iter().filter_map(|word| split(word));
        let entries: Result<Vec<String>, Failure> = entries
            .map(|(key, value)| {
                let value = value_of(key, value, reading(method, key))?;
                Ok(format!("{}:{value}", serde_json::Value::from(key)))
            })
            .collect();
        format!("{{{}}}", entries?.join(","))
    } else if named == 0 {
        let values = words.iter().enumerate().map(|(at, word)| {
            let name = method.params.get(at).map(String::as_str);
            let reading = name.map_or(Reading::Json, |name| reading(method, name));
            value_of(name.unwrap_or(&at.to_string()), Value::Given(word), reading)
        });
        format!("[{}]", values.collect::<Result<Vec<String>, Failure>>()?.join(","))
    } else {
        let bare = words.iter().find(|word| split(word).is_none()).map_or("", String::as_str);
        return Err(Failure::usage(format!(
            "\"{bare}\" has no name, but other arguments have one"
        ))
        .fix("give all arguments as key=value, or all of them without names"));
    };
    json::from_json(text.as_bytes()).map_err(|error| Failure::usage(error.to_string()))
}

/// The text of an item that stands on a line: JSON, or else text.
pub(crate) fn item(line: &str) -> Result<Vec<u8>, Failure> {
    let text = value_of("item", Value::Given(line), Reading::Json)?;
    json::from_json(text.as_bytes()).map_err(|error| Failure::usage(error.to_string()))
}

/// All params in one word: JSON, a file, or standard input.
fn whole(word: &str) -> Result<Option<Vec<u8>>, Failure> {
    if word == "-" {
        let mut text = Vec::new();
        std::io::stdin()
            .read_to_end(&mut text)
            .map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
        return Ok(Some(text));
    }
    if let Some(path) = word.strip_prefix('@') {
        return read(path).map(Some);
    }
    let is_json = word.starts_with(['{', '[']);
    Ok(is_json.then(|| word.as_bytes().to_vec()))
}

fn read(path: &str) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::usage(format!("{path} cannot be read: {error}"))
            .fix("what follows @ is the path of a file; for a text that begins with @ write key:='\"@...\"'")
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value<'a> {
    Given(&'a str),
    /// After `:=`
    Json(&'a str),
}

/// `key=value` or `key:=json`. What is before the sign must be able to name a parameter.
fn split(word: &str) -> Option<(&str, Value<'_>)> {
    let (key, value) = word.split_once('=')?;
    let (key, forced) = match key.strip_suffix(':') {
        Some(key) => (key, true),
        None => (key, false),
    };
    let mut chars = key.chars();
    let is_name = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_' || c == '$')
        && chars.all(|c| c.is_alphanumeric() || "_-.$".contains(c));
    is_name.then_some((key, if forced { Value::Json(value) } else { Value::Given(value) }))
}

/// A value as JSON text.
fn value_of(key: &str, value: Value<'_>, reading: Reading) -> Result<String, Failure> {
    let wrong = |message: String| {
        let field = FieldError { path: format!("/{key}"), message: message.clone() };
        let error = Error::new(ErrorCode::InvalidArgument, format!("argument {key}: {message}"));
        Failure::from(error.with_fields(vec![field]))
    };
    let text = match value {
        Value::Json(text) => {
            check(text).map_err(|error| {
                wrong(format!("not valid JSON: {error}"))
                    .fix(format!("for text write {key}={text}"))
            })?;
            return Ok(text.to_owned());
        }
        Value::Given(text) => text,
    };
    if let Some(path) = text.strip_prefix('@') {
        let content = read(path)?;
        return match (reading, String::from_utf8(content)) {
            (Reading::Bytes, content) => {
                Ok(bytes(&content.map_or_else(|error| error.into_bytes(), String::into_bytes)))
            }
            (_, Ok(content)) => Ok(string(&content)),
            (_, Err(_)) => {
                Err(wrong(format!("{path} is not UTF-8, and the method takes no bytes here")))
            }
        };
    }
    match reading {
        Reading::Text => Ok(string(text)),
        Reading::Bytes => match is_bytes(text) {
            true => Ok(text.to_owned()),
            false => Ok(bytes(text.as_bytes())),
        },
        Reading::Json => match check(text) {
            Ok(()) => Ok(text.to_owned()),
            // What is no JSON is text, 2024-11-20 for instance; a number that is too long or a key twice is a mistake.
            Err(
                json::JsonError::Syntax { .. }
                | json::JsonError::Scan(
                    ScanError::Trailing { .. }
                    | ScanError::Truncated { .. }
                    | ScanError::Malformed { .. },
                ),
            ) => Ok(string(text)),
            Err(error) => {
                Err(wrong(error.to_string()).fix(format!("for text write {key}:='\"...\"'")))
            }
        },
    }
}

fn check(text: &str) -> Result<(), json::JsonError> {
    json::from_json(text.as_bytes()).map(|_| ())
}

/// Whether a value is written in the form that JSON has for bytes.
fn is_bytes(text: &str) -> bool {
    text.starts_with("{\"$bytes\"") && check(text).is_ok()
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn bytes(content: &[u8]) -> String {
    format!("{{\"$bytes\":\"{}\"}}", STANDARD.encode(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as object;

    fn method() -> MethodInfo {
        MethodInfo {
            name: "m".into(),
            params: ["n", "name", "blob"].map(str::to_owned).into(),
            params_schema: Some(object!({"properties": {
                "n": {"type": "integer"},
                "name": {"type": "string"},
                "blob": {"type": "string", "contentEncoding": "base64", "x-procall": "bytes"},
            }})),
            ..MethodInfo::default()
        }
    }

    /// What the words come to, as JSON.
    fn read(words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let params = params(&words, &method()).unwrap();
        String::from_utf8(json::to_json(&params).unwrap()).unwrap()
    }

    fn refused(words: &[&str]) -> Failure {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        params(&words, &method()).unwrap_err()
    }

    #[test]
    fn a_value_is_json_unless_the_schema_says_text() {
        assert_eq!(read(&["n=5", "name=5"]), r#"{"n":5,"name":"5"}"#);
        assert_eq!(read(&["n=x", "other=[1,2]"]), r#"{"n":"x","other":[1,2]}"#);
        assert_eq!(read(&["name:=5"]), r#"{"name":5}"#);
        assert_eq!(read(&["n=2024-11-20", "m={x"]), r#"{"n":"2024-11-20","m":"{x"}"#);
        assert_eq!(read(&["name=", "n=true"]), r#"{"name":"","n":true}"#);
    }

    #[test]
    fn no_number_is_rounded() {
        assert_eq!(read(&["n=18446744073709551615"]), r#"{"n":18446744073709551615}"#);
        let failure = refused(&["n=18446744073709551616"]);
        assert_eq!(failure.code(), ErrorCode::InvalidArgument);
    }

    #[test]
    fn positions_are_for_all_or_none() {
        assert_eq!(read(&["5", "5", "abc"]), r#"[5,"5",{"$bytes":"YWJj"}]"#);
        assert_eq!(read(&[]), "[]");
        assert_eq!(refused(&["5", "name=5"]).exit_code(), 2);
        // What is no name is a value.
        assert_eq!(read(&["1=2"]), r#"["1=2"]"#);
    }

    #[test]
    fn whole_params_are_json() {
        assert_eq!(read(&["{\"n\": 1}"]), r#"{"n":1}"#);
        assert_eq!(read(&["[1, 2]"]), "[1,2]");
        assert_eq!(refused(&["{\"n\": }"]).exit_code(), 2);
    }

    #[test]
    fn files_are_text_or_bytes_as_the_schema_says() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"5").unwrap();
        let at = file.path().display();
        assert_eq!(read(&[&format!("n=@{at}")]), r#"{"n":"5"}"#);
        assert_eq!(read(&[&format!("blob=@{at}")]), r#"{"blob":{"$bytes":"NQ=="}}"#);
        std::fs::write(file.path(), b"{\"n\": 7}").unwrap();
        assert_eq!(read(&[&format!("@{at}")]), r#"{"n":7}"#);
        std::fs::write(file.path(), [0xff, 0]).unwrap();
        assert_eq!(read(&[&format!("blob=@{at}")]), r#"{"blob":{"$bytes":"/wA="}}"#);
        assert_eq!(refused(&[&format!("n=@{at}")]).exit_code(), 2);
        assert_eq!(refused(&["n=@/nowhere/at/all"]).exit_code(), 2);
    }
}
