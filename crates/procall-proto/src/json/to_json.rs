//! Bodies from MessagePack to JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::Keys;
use super::text::write_string;
use super::tokens::{Token, Tokens};
use super::{BYTES, JsonError, TENSOR};
use crate::buffer::{EXT_TYPE, TypedBuffer};
use crate::scan::{self, Bounds};

/// Turns a MessagePack body into JSON that says exactly the same.
///
/// What JSON cannot say is refused: NaN and infinities, buffers in shared memory, ext values that are not ours.
/// A map with a key twice is refused too.
///
/// ```
/// use procall_proto::json::{JsonError, to_json};
///
/// assert_eq!(to_json(&[0x81, 0xa2, b'$', b'x', 0xc0]).unwrap(), br#"{"$$x":null}"#);
/// let nan = [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0];
/// assert_eq!(to_json(&nan), Err(JsonError::NotFinite { at: 0 }));
/// ```
pub fn to_json(body: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut json = ToJson::new(body, Dollar::Marks)?;
    json.value()?;
    Ok(json.out)
}

/// What a `$` at the front of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dollar {
    /// Ours: bodies.
    Marks,
    /// A letter like any other: registrations, whose schemas are full of `$ref`.
    Letter,
}

/// The entries of a MessagePack map, each appended as `,"key":value`, but for those whose key is in `without`.
pub(super) fn append_entries(
    map: &[u8],
    dollar: Dollar,
    without: &[&str],
    out: &mut Vec<u8>,
) -> Result<(), JsonError> {
    let mut json = ToJson::new(map, dollar)?;
    let Token::Map(len) = json.tokens.next()? else {
        return Err(JsonError::NoForm("a document that is not a map"));
    };
    let mut keys = Keys::new();
    for _ in 0..len {
        json.out.push(b',');
        let before = json.out.len() - 1;
        let key = json.key(&mut keys)?;
        json.value()?;
        if without.contains(&key) {
            json.out.truncate(before);
        }
    }
    out.append(&mut json.out);
    Ok(())
}

/// Appends bytes as a JSON string of base64.
pub(super) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

struct ToJson<'a> {
    tokens: Tokens<'a>,
    dollar: Dollar,
    out: Vec<u8>,
}

impl<'a> ToJson<'a> {
    fn new(body: &'a [u8], dollar: Dollar) -> Result<Self, JsonError> {
        // From here on nesting is bounded, so the recursion below is.
        scan::msgpack(body, &Bounds::default())?;
        Ok(Self { tokens: Tokens::new(body), dollar, out: Vec::with_capacity(2 * body.len()) })
    }

    fn key(&mut self, keys: &mut Keys<&'a str>) -> Result<&'a str, JsonError> {
        let at = self.tokens.at();
        let key = self.tokens.key()?;
        if !keys.insert(key) {
            return Err(JsonError::DuplicateKey { at });
        }
        if self.dollar == Dollar::Marks && key.starts_with('$') {
            write_string(&format!("${key}"), &mut self.out);
        } else {
            write_string(key, &mut self.out);
        }
        self.out.push(b':');
        Ok(key)
    }

    fn value(&mut self) -> Result<(), JsonError> {
        let at = self.tokens.at();
        match self.tokens.next()? {
            Token::Nil => self.out.extend_from_slice(b"null"),
            Token::Bool(true) => self.out.extend_from_slice(b"true"),
            Token::Bool(false) => self.out.extend_from_slice(b"false"),
            Token::Unsigned(value) => self.out.extend_from_slice(value.to_string().as_bytes()),
            Token::Negative(value) => self.out.extend_from_slice(value.to_string().as_bytes()),
            Token::Float(value) if value.is_finite() => {
                // Debug writes the shortest text that reads back as the same float, and never without a point or an exponent.
                self.out.extend_from_slice(format!("{value:?}").as_bytes());
            }
            Token::Float(_) => return Err(JsonError::NotFinite { at }),
            Token::Text(text) => write_string(text, &mut self.out),
            Token::Bytes(_) | Token::Ext(..) if self.dollar == Dollar::Letter => {
                return Err(JsonError::NoForm("a registration with bytes in it"));
            }
            Token::Bytes(bytes) => {
                self.marked(BYTES);
                write_base64(bytes, &mut self.out);
                self.out.push(b'}');
            }
            Token::Ext(kind, payload) if kind == EXT_TYPE as i8 => {
                self.marked(TENSOR);
                write_tensor(&TypedBuffer::parse(payload)?, &mut self.out)?;
                self.out.push(b'}');
            }
            Token::Ext(kind, _) => return Err(JsonError::Ext { at, kind }),
            Token::Array(len) => {
                self.out.push(b'[');
                for index in 0..len {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    self.value()?;
                }
                self.out.push(b']');
            }
            Token::Map(len) => {
                self.out.push(b'{');
                let mut keys = Keys::new();
                for index in 0..len {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    self.key(&mut keys)?;
                    self.value()?;
                }
                self.out.push(b'}');
            }
        }
        Ok(())
    }

    fn marked(&mut self, mark: &str) {
        self.out.push(b'{');
        write_string(mark, &mut self.out);
        self.out.push(b':');
    }
}

fn write_tensor(buffer: &TypedBuffer<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let data = buffer.to_c_order()?;
    let shape: Vec<String> = buffer.shape.iter().map(u64::to_string).collect();
    let head = format!(
        "{{\"dtype\":\"{}\",\"shape\":[{}],\"data\":",
        buffer.dtype.name(),
        shape.join(",")
    );
    out.extend_from_slice(head.as_bytes());
    write_base64(&data, out);
    out.push(b'}');
    Ok(())
}
