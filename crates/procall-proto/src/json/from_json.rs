//! Bodies from JSON to MessagePack.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::Keys;
use super::text::{Number, Text};
use super::{BYTES, JsonError, TENSOR};
use crate::buffer::{BufferError, Dtype, MAX_DIMS, TypedBuffer};
use crate::scan::{Bounds, ScanError};
use crate::wire::Writer;

/// Turns a JSON body into MessagePack that says exactly the same, every value in its shortest form.
///
/// Refused is what would arrive changed: integers beyond 64 bits, numbers beyond a double, lone surrogates, a key that stands twice.
/// A number is an integer when it is written without point and exponent; `-0` is the float.
///
/// ```
/// use procall_proto::json::{JsonError, from_json};
///
/// assert_eq!(from_json(br#"{"$$x": null}"#).unwrap(), [0x81, 0xa2, b'$', b'x', 0xc0]);
/// assert_eq!(from_json(b"18446744073709551616"), Err(JsonError::Integer { at: 0 }));
/// assert_eq!(from_json(br#"{"a": 1, "a": 2}"#), Err(JsonError::DuplicateKey { at: 9 }));
/// ```
pub fn from_json(body: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut json = FromJson {
        text: Text::new(body, MARK_DEPTH)?,
        out: Vec::with_capacity(body.len()),
        heads: Vec::new(),
    };
    json.value()?;
    json.text.end()?;
    Ok(json.finish())
}

/// How deep the JSON of a value goes that is not nested at all: `$tensor`, its object, its shape.
const MARK_DEPTH: usize = 3;

/// The head of an array or map, whose count is known only after its elements.
struct Head {
    /// Where it belongs in the output.
    at: usize,
    count: usize,
    map: bool,
}

struct FromJson<'a> {
    text: Text<'a>,
    /// Everything but the heads.
    out: Vec<u8>,
    /// In the order in which they stand.
    heads: Vec<Head>,
}

impl FromJson<'_> {
    fn finish(self) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.out.len() + 5 * self.heads.len());
        let mut done = 0;
        for head in &self.heads {
            whole.extend_from_slice(&self.out[done..head.at]);
            done = head.at;
            let mut writer = Writer::new(&mut whole);
            if head.map {
                writer.map(head.count)
            } else {
                writer.array(head.count)
            };
        }
        whole.extend_from_slice(&self.out[done..]);
        whole
    }

    fn value(&mut self) -> Result<(), JsonError> {
        match self.text.peek() {
            Some(b'"') => {
                let text = self.text.string()?;
                Writer::new(&mut self.out).text(&text);
            }
            Some(b'[') => self.array()?,
            Some(b'{') => self.object()?,
            _ if self.text.word("null") => _ = Writer::new(&mut self.out).nil(),
            _ if self.text.word("true") => _ = Writer::new(&mut self.out).boolean(true),
            _ if self.text.word("false") => _ = Writer::new(&mut self.out).boolean(false),
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => match self.text.number()? {
                Number::Unsigned(value) => _ = Writer::new(&mut self.out).uint(value),
                Number::Negative(value) => write_negative(value, &mut self.out),
                Number::Float(value) => {
                    self.out.push(0xcb);
                    self.out.extend_from_slice(&value.to_be_bytes());
                }
            },
            _ => return Err(JsonError::Syntax { at: self.text.at(), expected: "a value" }),
        }
        Ok(())
    }

    fn open(&mut self, map: bool) -> Result<usize, JsonError> {
        self.text.enter()?;
        self.heads.push(Head { at: self.out.len(), count: 0, map });
        Ok(self.heads.len() - 1)
    }

    /// Refuses an array or map that is nested too deep. The objects of marks are exempt, because they are none in MessagePack.
    fn check_depth(&self) -> Result<(), JsonError> {
        let max = Bounds::default().max_depth;
        if self.text.depth() <= max {
            Ok(())
        } else {
            Err(ScanError::Deep { at: self.text.at(), max }.into())
        }
    }

    fn array(&mut self) -> Result<(), JsonError> {
        let head = self.open(false)?;
        self.check_depth()?;
        let mut first = true;
        while self.text.more(&mut first, b']')? {
            self.value()?;
            self.heads[head].count += 1;
        }
        Ok(())
    }

    fn object(&mut self) -> Result<(), JsonError> {
        let head = self.open(true)?;
        let mut keys = Keys::new();
        let mut first = true;
        if self.text.peek() == Some(b'}') {
            self.check_depth()?;
        }
        while self.text.more(&mut first, b'}')? {
            let (at, key) = self.text.key()?;
            let user_key = match key.strip_prefix('$') {
                None => key,
                Some(user_key) if user_key.starts_with('$') => Cow::Owned(user_key.to_owned()),
                Some(_) if self.heads[head].count == 0 && (key == BYTES || key == TENSOR) => {
                    self.heads.truncate(head);
                    return self.marked(at, &key);
                }
                Some(_) => return Err(JsonError::DollarKey { at }),
            };
            self.check_depth()?;
            Writer::new(&mut self.out).text(&user_key);
            if !keys.insert(user_key) {
                return Err(JsonError::DuplicateKey { at });
            }
            self.value()?;
            self.heads[head].count += 1;
        }
        Ok(())
    }

    /// The value behind `$bytes` or `$tensor`, and the end of its object.
    fn marked(&mut self, key_at: usize, key: &str) -> Result<(), JsonError> {
        if key == BYTES {
            let bytes = self.base64()?;
            Writer::new(&mut self.out).bin(&bytes);
        } else {
            self.tensor()?;
        }
        match self.text.more(&mut false, b'}') {
            Ok(false) => Ok(()),
            Ok(true) => Err(JsonError::DollarKey { at: key_at }),
            Err(error) => Err(error),
        }
    }

    fn base64(&mut self) -> Result<Vec<u8>, JsonError> {
        self.text.peek();
        let at = self.text.at();
        let text = self.text.string()?;
        STANDARD.decode(text.as_bytes()).map_err(|_| JsonError::Base64 { at })
    }

    fn tensor(&mut self) -> Result<(), JsonError> {
        if self.text.peek() != Some(b'{') {
            return Err(JsonError::Field { name: TENSOR, expected: "an object" });
        }
        self.text.enter()?;
        let (mut dtype, mut shape, mut data) = (None, None, None);
        let mut first = true;
        while self.text.more(&mut first, b'}')? {
            let (at, key) = self.text.key()?;
            let twice = match &*key {
                "dtype" => dtype.replace(self.dtype()?).is_some(),
                "shape" => shape.replace(self.shape()?).is_some(),
                "data" => data.replace(self.base64()?).is_some(),
                _ => return Err(JsonError::Syntax { at, expected: "dtype, shape or data" }),
            };
            if twice {
                return Err(JsonError::DuplicateKey { at });
            }
        }
        let (Some(dtype), Some(shape), Some(data)) = (dtype, shape, data) else {
            return Err(JsonError::Field { name: TENSOR, expected: "dtype, shape and data" });
        };
        Ok(TypedBuffer::inline(dtype, &shape, &data).write(&mut self.out)?)
    }

    fn dtype(&mut self) -> Result<Dtype, JsonError> {
        let name = self.text.string()?;
        let expected = "the name of an element type";
        Dtype::from_name(&name).ok_or(JsonError::Field { name: "dtype", expected })
    }

    fn shape(&mut self) -> Result<Vec<u64>, JsonError> {
        let wrong = JsonError::Field { name: "shape", expected: "an array of sizes" };
        if self.text.peek() != Some(b'[') {
            return Err(wrong);
        }
        self.text.enter()?;
        let mut shape = Vec::new();
        let mut first = true;
        while self.text.more(&mut first, b']')? {
            let Number::Unsigned(dim) = self.text.number()? else { return Err(wrong) };
            shape.push(dim);
            if shape.len() > MAX_DIMS {
                return Err(BufferError::Dims(shape.len()).into());
            }
        }
        Ok(shape)
    }
}

/// Appends a negative integer in its shortest form.
fn write_negative(value: i64, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    let (marker, len) = match value {
        -32..=-1 => return out.push(value as u8),
        -0x80..=-33 => (0xd0, 1),
        -0x8000..=-0x81 => (0xd1, 2),
        -0x8000_0000..=-0x8001 => (0xd2, 4),
        _ => (0xd3, 8),
    };
    out.push(marker);
    out.extend_from_slice(&bytes[8 - len..]);
}
