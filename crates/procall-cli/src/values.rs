//! From answers to text.

use procall::{Encoded, Encoding, Error, ErrorCode, Executed, json};

use crate::failure::Failure;

/// A value of an answer, in the forms it can be printed in.
#[derive(Debug)]
pub(crate) struct Value {
    msgpack: Vec<u8>,
    json: String,
}

impl Value {
    /// Takes an answer. One that JSON cannot say, such as NaN, is an error: it is never printed as something else.
    pub(crate) fn new(answer: Encoded) -> Result<Self, Failure> {
        let unreadable = |error: String| {
            let message = format!("the result cannot be printed as JSON: {error}");
            Failure::from(
                Error::new(ErrorCode::InvalidResult, message).with_executed(Executed::Yes),
            )
            .fix("have the method return what JSON can say, or call it from a program")
        };
        let msgpack = match answer.encoding {
            Encoding::None => vec![0xc0],
            Encoding::Msgpack => answer.bytes,
            Encoding::Json => {
                json::from_json(&answer.bytes).map_err(|error| unreadable(error.to_string()))?
            }
            Encoding::Raw => bin(&answer.bytes),
            Encoding::Unknown(number) => {
                return Err(unreadable(format!("encoding {number} is not known")));
            }
        };
        let json = json::to_json(&msgpack).map_err(|error| unreadable(error.to_string()))?;
        let json = String::from_utf8(json).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { msgpack, json })
    }

    /// On one line.
    pub(crate) fn compact(&self) -> &str {
        &self.json
    }

    /// The text when it is one, JSON otherwise: what a shell wants.
    pub(crate) fn bare(&self) -> String {
        self.text().unwrap_or_else(|| self.json.clone())
    }

    /// The text when it is one. Nothing else is parsed: as a tree, a large result would take many times its size.
    fn text(&self) -> Option<String> {
        if !self.json.starts_with('"') {
            return None;
        }
        serde_json::from_str(&self.json).ok()
    }

    /// For people: text as it is, the rest indented.
    pub(crate) fn pretty(&self) -> String {
        self.text().unwrap_or_else(|| indented(&self.json))
    }

    /// The bytes, when it is nothing else.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        let head = match self.msgpack.first()? {
            0xc4 => 2,
            0xc5 => 3,
            0xc6 => 5,
            _ => return None,
        };
        self.msgpack.get(head..)
    }
}

/// MessagePack of bytes.
fn bin(bytes: &[u8]) -> Vec<u8> {
    let mut value = match u32::try_from(bytes.len()).unwrap_or(u32::MAX) {
        len @ 0..=0xff => vec![0xc4, len.to_be_bytes()[3]],
        len => [&[0xc6][..], &len.to_be_bytes()].concat(),
    };
    value.extend_from_slice(bytes);
    value
}

/// JSON without white space, indented. It keeps the order of keys and every digit, which a parsed value would not.
fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let (mut in_text, mut escaped) = (false, false);
    let mut chars = json.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = chars.next() {
        if in_text {
            out.push(c);
            in_text = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                in_text = c == '"';
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        Value::new(Encoded::new(Encoding::Json, json.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn indenting_keeps_order_digits_and_text() {
        let shown = value(r#"{"b":1.0,"a":[18446744073709551615,"x,{\"y\":1}\\"],"e":{},"l":[]}"#);
        let expected = "{\n  \"b\": 1.0,\n  \"a\": [\n    18446744073709551615,\n    \
                        \"x,{\\\"y\\\":1}\\\\\"\n  ],\n  \"e\": {},\n  \"l\": []\n}";
        assert_eq!(shown.pretty(), expected);
    }

    #[test]
    fn text_is_bare_and_numbers_are_as_they_are() {
        assert_eq!((value("\"a b\"").bare(), value("5").bare()), ("a b".into(), "5".into()));
        assert_eq!(value("\"a\\nb\"").compact(), "\"a\\nb\"");
    }

    #[test]
    fn bytes_are_bytes() {
        for len in [0, 3, 255, 256, 70_000] {
            let bytes = vec![7; len];
            let raw = Encoded::new(Encoding::Raw, bytes.clone());
            assert_eq!(Value::new(raw).unwrap().bytes(), Some(&*bytes));
        }
        assert_eq!(value("5").bytes(), None);
    }

    #[test]
    fn what_json_cannot_say_is_an_error() {
        let nan = [&[0xcb][..], &f64::NAN.to_be_bytes()].concat();
        let failure = Value::new(Encoded::new(Encoding::Msgpack, nan)).unwrap_err();
        assert_eq!((failure.code(), failure.exit_code()), (ErrorCode::InvalidResult, 1));
    }
}
