//! A cursor over JSON text, and the writing of JSON strings.

use std::borrow::Cow;

use super::JsonError;
use crate::scan::{Bounds, ScanError};

/// A number as JSON has it: an integer when it is written like one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Unsigned(u64),
    Negative(i64),
    Float(f64),
}

/// Reads JSON text piece by piece, within bounds.
///
/// Numbers are parsed here and not by serde_json, because integers beyond 64 bits must not turn into floats, and floats must be exact.
#[derive(Debug)]
pub(super) struct Text<'a> {
    text: &'a str,
    at: usize,
    bounds: Bounds,
    depth: usize,
    elements: usize,
    /// Numbers that are skipped may be any, also those that no body can have.
    any_number: bool,
}

fn syntax(at: usize, expected: &'static str) -> JsonError {
    JsonError::Syntax { at, expected }
}

impl<'a> Text<'a> {
    /// At most `extra` deeper than a body may be: what stands around it.
    pub(super) fn new(bytes: &'a [u8], extra: usize) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| JsonError::Utf8 { at: error.valid_up_to() })?;
        let mut bounds = Bounds::default();
        bounds.max_depth += extra;
        Ok(Self { text, at: 0, bounds, depth: 0, elements: 0, any_number: false })
    }

    /// Lets numbers be skipped whose values are refused wherever somebody wants them.
    pub(super) fn skipping_any_number(mut self) -> Self {
        self.any_number = true;
        self
    }

    /// The offset of the next piece.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The text from `begin` to the next piece.
    pub(super) fn since(&self, begin: usize) -> &'a str {
        &self.text[begin..self.at]
    }

    /// How many arrays and objects the next piece is in.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The first byte of the next piece.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.byte()
    }

    /// Takes a piece of one byte, if it is next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(super) fn require(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(syntax(self.at, expected)) }
    }

    /// Takes a word such as `null`, if it is next.
    pub(super) fn word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(ScanError::Trailing { at: self.at }.into()),
        }
    }

    /// Steps into an array or object, past its opening bracket.
    pub(super) fn enter(&mut self) -> Result<(), JsonError> {
        if self.depth == self.bounds.max_depth {
            return Err(ScanError::Deep { at: self.at, max: self.bounds.max_depth }.into());
        }
        self.at += 1;
        self.depth += 1;
        Ok(())
    }

    /// Whether another element follows; steps over the comma before it, or out past the closing bracket.
    pub(super) fn more(&mut self, first: &mut bool, close: u8) -> Result<bool, JsonError> {
        if self.take(close) {
            self.depth -= 1;
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.require(b',', "a comma or the closing bracket")?;
        }
        self.charge()?;
        Ok(true)
    }

    fn charge(&mut self) -> Result<(), JsonError> {
        self.elements += 1;
        if self.elements > self.bounds.max_elements {
            return Err(ScanError::Elements { at: self.at, max: self.bounds.max_elements }.into());
        }
        Ok(())
    }

    /// A key with its colon, and where it began.
    pub(super) fn key(&mut self) -> Result<(usize, Cow<'a, str>), JsonError> {
        self.peek();
        let at = self.at;
        let key = self.string()?;
        if key.len() > self.bounds.max_key {
            return Err(ScanError::Key { at, max: self.bounds.max_key }.into());
        }
        self.require(b':', "a colon")?;
        self.charge()?;
        Ok((at, key))
    }

    /// A string without its quotes and escapes.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.require(b'"', "a string")?;
        let mut begin = self.at;
        let mut owned = String::new();
        loop {
            match self.byte().ok_or_else(|| syntax(self.at, "a closing quote"))? {
                b'"' => {
                    let part = &self.text[begin..self.at];
                    self.at += 1;
                    if owned.is_empty() {
                        return Ok(part.into());
                    }
                    owned.push_str(part);
                    return Ok(owned.into());
                }
                b'\\' => {
                    owned.push_str(&self.text[begin..self.at]);
                    owned.push(self.escape()?);
                    begin = self.at;
                }
                0..=0x1f => {
                    return Err(syntax(self.at, "an escape instead of a control character"));
                }
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let at = self.at;
        self.at += 2;
        Ok(match self.text.as_bytes().get(at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let lone = JsonError::Surrogate { at };
                let first = self.hex()?;
                if !(0xd800..0xe000).contains(&first) {
                    return char::from_u32(first).ok_or(lone);
                }
                if first >= 0xdc00 || !self.text[self.at..].starts_with("\\u") {
                    return Err(lone);
                }
                self.at += 2;
                let second = self.hex()?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Err(lone);
                }
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(code).ok_or(lone);
            }
            _ => return Err(syntax(at, "a known escape")),
        })
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let value = digits.and_then(|digits| {
            digits
                .iter()
                .try_fold(0, |value, &byte| Some(value << 4 | (byte as char).to_digit(16)?))
        });
        let value = value.ok_or_else(|| syntax(self.at, "four hexadecimal digits"))?;
        self.at += 4;
        Ok(value)
    }

    /// A number, exact or refused.
    pub(super) fn number(&mut self) -> Result<Number, JsonError> {
        self.peek();
        let begin = self.at;
        for word in ["NaN", "Infinity", "-Infinity"] {
            if self.word(word) {
                return Err(JsonError::NotFinite { at: begin });
            }
        }
        let negative = self.step(b"-");
        if !self.step(b"0") {
            self.digits()?;
        }
        let mut integer = true;
        if self.step(b".") {
            integer = false;
            self.digits()?;
        }
        if self.step(b"eE") {
            integer = false;
            self.step(b"+-");
            self.digits()?;
        }
        let number = &self.text[begin..self.at];
        if !integer {
            // The standard library rounds correctly; only what becomes infinite is beyond it.
            let value: f64 = number.parse().map_err(|_| syntax(begin, "a number"))?;
            let finite = value.is_finite();
            return if finite {
                Ok(Number::Float(value))
            } else {
                Err(JsonError::Float { at: begin })
            };
        }
        if number == "-0" {
            return Ok(Number::Float(-0.0));
        }
        let parsed = if negative {
            number.parse().ok().map(Number::Negative)
        } else {
            number.parse().ok().map(Number::Unsigned)
        };
        parsed.ok_or(JsonError::Integer { at: begin })
    }

    /// Takes one byte of `set`, if it is next.
    fn step(&mut self, set: &[u8]) -> bool {
        let found = self.byte().is_some_and(|byte| set.contains(&byte));
        self.at += usize::from(found);
        found
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let begin = self.at;
        while self.step(b"0123456789") {}
        if self.at == begin { Err(syntax(begin, "a digit")) } else { Ok(()) }
    }

    /// Skips one value, which must be JSON, and returns its text.
    pub(super) fn skip(&mut self) -> Result<&'a str, JsonError> {
        let next = self.peek();
        let begin = self.at;
        match next {
            Some(b'"') => _ = self.string()?,
            Some(b'[') => {
                self.enter()?;
                let mut first = true;
                while self.more(&mut first, b']')? {
                    self.skip()?;
                }
            }
            Some(b'{') => {
                self.enter()?;
                let mut first = true;
                while self.more(&mut first, b'}')? {
                    self.key()?;
                    self.skip()?;
                }
            }
            _ if self.word("null") || self.word("true") || self.word("false") => {}
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => match self.number() {
                Ok(_) => {}
                Err(
                    JsonError::NotFinite { .. }
                    | JsonError::Integer { .. }
                    | JsonError::Float { .. },
                ) if self.any_number => {}
                Err(error) => return Err(error),
            },
            _ => return Err(syntax(self.at, "a value")),
        }
        Ok(&self.text[begin..self.at])
    }
}

/// Appends `text` as a JSON string.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut begin = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => b'u',
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[begin..at]);
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            out.extend_from_slice(format!("{byte:04x}").as_bytes());
        }
        begin = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[begin..]);
    out.push(b'"');
}
