//! MessagePack bodies, value by value.

use crate::scan::ScanError;

/// One scalar, or the head of an array or map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Ext(i8, &'a [u8]),
    Array(usize),
    Map(usize),
}

/// Reads the tokens of a body that a scan has let through.
#[derive(Debug, Clone)]
pub(super) struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The offset of the next token.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], ScanError> {
        let end = self.at.saturating_add(len);
        let taken = self.bytes.get(self.at..end).ok_or(ScanError::Truncated { at: self.at })?;
        self.at = end;
        Ok(taken)
    }

    fn be(&mut self, len: usize) -> Result<u64, ScanError> {
        Ok(self.take(len)?.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// A signed number of `len` bytes.
    fn signed(&mut self, len: usize) -> Result<Token<'a>, ScanError> {
        let unused = 64 - 8 * len;
        let value = (self.be(len)? << unused) as i64 >> unused;
        Ok(if value < 0 { Token::Negative(value) } else { Token::Unsigned(value as u64) })
    }

    fn text(&mut self, len: u64) -> Result<Token<'a>, ScanError> {
        let at = self.at;
        let text = std::str::from_utf8(self.take(len as usize)?);
        text.map(Token::Text).map_err(|_| ScanError::Utf8 { at })
    }

    fn ext(&mut self, len: u64) -> Result<Token<'a>, ScanError> {
        let kind = self.be(1)? as i8;
        Ok(Token::Ext(kind, self.take(len as usize)?))
    }

    /// Steps over one value with all that is in it.
    pub(super) fn skip(&mut self) -> Result<(), ScanError> {
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            left += match self.next()? {
                Token::Array(len) => len,
                Token::Map(len) => 2 * len,
                _ => 0,
            };
        }
        Ok(())
    }

    /// A map key.
    pub(super) fn key(&mut self) -> Result<&'a str, ScanError> {
        let at = self.at;
        match self.next()? {
            Token::Text(key) => Ok(key),
            _ => Err(ScanError::KeyType { at }),
        }
    }

    /// The next token.
    pub(super) fn next(&mut self) -> Result<Token<'a>, ScanError> {
        let at = self.at;
        let marker = self.be(1)? as u8;
        Ok(match marker {
            0x00..=0x7f => Token::Unsigned(marker.into()),
            0xe0..=0xff => Token::Negative(i64::from(marker as i8)),
            0x80..=0x8f => Token::Map((marker & 0x0f).into()),
            0x90..=0x9f => Token::Array((marker & 0x0f).into()),
            0xa0..=0xbf => self.text(u64::from(marker & 0x1f))?,
            0xc0 => Token::Nil,
            0xc1 => return Err(ScanError::Malformed { at }),
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xc4..=0xc6 => {
                let len = self.be(1 << (marker - 0xc4))?;
                Token::Bytes(self.take(len as usize)?)
            }
            0xc7..=0xc9 => {
                let len = self.be(1 << (marker - 0xc7))?;
                self.ext(len)?
            }
            0xca => Token::Float(f32::from_bits(self.be(4)? as u32).into()),
            0xcb => Token::Float(f64::from_bits(self.be(8)?)),
            0xcc..=0xcf => Token::Unsigned(self.be(1 << (marker - 0xcc))?),
            0xd0..=0xd3 => self.signed(1 << (marker - 0xd0))?,
            0xd4..=0xd8 => self.ext(1 << (marker - 0xd4))?,
            0xd9..=0xdb => {
                let len = self.be(1 << (marker - 0xd9))?;
                self.text(len)?
            }
            0xdc | 0xdd => Token::Array(self.be(if marker == 0xdc { 2 } else { 4 })? as usize),
            0xde | 0xdf => Token::Map(self.be(if marker == 0xde { 2 } else { 4 })? as usize),
        })
    }
}
