//! A cursor over MessagePack bytes that trusts nothing.

/// Why bytes could not be read as the value expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end inside a value.
    #[error("the header ends in the middle of a value")]
    Truncated,
    /// A value of another type stands here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A number does not fit its field.
    #[error("a number is out of range for {0}")]
    Range(&'static str),
    /// Text is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// A skipped value is nested too deep.
    #[error("a header value is nested more than {0} deep")]
    Deep(usize),
}

/// Reads MessagePack values one after another.
///
/// ```
/// use procall_proto::wire::Reader;
///
/// let mut reader = Reader::new(&[0x93, 4, 0xa1, b'x', 0xc0]);
/// assert_eq!(reader.array().unwrap(), 3);
/// assert_eq!(reader.uint("kind").unwrap(), 4);
/// assert_eq!(reader.text("name").unwrap(), "x");
/// assert!(reader.nil());
/// assert!(reader.rest().is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

/// Depth to which [`Reader::skip`] follows a value it does not know.
const SKIP_DEPTH: usize = 8;

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) = self.bytes.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.bytes = tail;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, WireError> {
        let (&first, tail) = self.bytes.split_first().ok_or(WireError::Truncated)?;
        self.bytes = tail;
        Ok(first)
    }

    fn be(&mut self, len: usize) -> Result<u64, WireError> {
        Ok(self.take(len)?.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// The number of elements of an array.
    pub fn array(&mut self) -> Result<usize, WireError> {
        match self.byte()? {
            marker @ 0x90..=0x9f => Ok(usize::from(marker & 0x0f)),
            0xdc => self.be(2).map(|len| len as usize),
            0xdd => self.be(4).map(|len| len as usize),
            _ => Err(WireError::Expected("an array")),
        }
    }

    /// The number of entries of a map.
    pub fn map(&mut self) -> Result<usize, WireError> {
        match self.byte()? {
            marker @ 0x80..=0x8f => Ok(usize::from(marker & 0x0f)),
            0xde => self.be(2).map(|len| len as usize),
            0xdf => self.be(4).map(|len| len as usize),
            _ => Err(WireError::Expected("a map")),
        }
    }

    /// An unsigned integer of any width; `what` names the field in the error.
    #[inline]
    pub fn uint(&mut self, what: &'static str) -> Result<u64, WireError> {
        match self.byte()? {
            small @ 0x00..=0x7f => Ok(u64::from(small)),
            0xcc => self.be(1),
            0xcd => self.be(2),
            0xce => self.be(4),
            0xcf => self.be(8),
            _ => Err(WireError::Expected(what)),
        }
    }

    /// An unsigned integer that fits 32 bits.
    pub fn uint32(&mut self, what: &'static str) -> Result<u32, WireError> {
        u32::try_from(self.uint(what)?).map_err(|_| WireError::Range(what))
    }

    /// An unsigned integer or nil.
    #[inline]
    pub fn uint_or_nil(&mut self, what: &'static str) -> Result<Option<u64>, WireError> {
        if self.nil() { Ok(None) } else { self.uint(what).map(Some) }
    }

    /// Takes a nil if one is next.
    #[inline]
    pub fn nil(&mut self) -> bool {
        let found = self.bytes.first() == Some(&0xc0);
        if found {
            self.bytes = &self.bytes[1..];
        }
        found
    }

    /// Text.
    #[inline]
    pub fn text(&mut self, what: &'static str) -> Result<&'a str, WireError> {
        let len = match self.byte()? {
            marker @ 0xa0..=0xbf => u64::from(marker & 0x1f),
            0xd9 => self.be(1)?,
            0xda => self.be(2)?,
            0xdb => self.be(4)?,
            _ => return Err(WireError::Expected(what)),
        };
        std::str::from_utf8(self.take(len as usize)?).map_err(|_| WireError::Utf8)
    }

    /// Bytes.
    pub fn bin(&mut self, what: &'static str) -> Result<&'a [u8], WireError> {
        let len = match self.byte()? {
            0xc4 => self.be(1)?,
            0xc5 => self.be(2)?,
            0xc6 => self.be(4)?,
            _ => return Err(WireError::Expected(what)),
        };
        self.take(len as usize)
    }

    /// Skips one value of any type and returns its bytes.
    pub fn skip(&mut self) -> Result<&'a [u8], WireError> {
        let before = self.bytes;
        self.skip_to_depth(SKIP_DEPTH)?;
        Ok(&before[..before.len() - self.bytes.len()])
    }

    fn skip_to_depth(&mut self, depth: usize) -> Result<(), WireError> {
        let nested = self.skip_head()?;
        if nested > 0 && depth == 0 {
            return Err(WireError::Deep(SKIP_DEPTH));
        }
        // Each nested value takes at least one byte, so a length that lies ends at `Truncated`.
        for _ in 0..nested {
            self.skip_to_depth(depth - 1)?;
        }
        Ok(())
    }

    /// Skips one value of any depth without recursion, for bytes that [`crate::scan`] has checked.
    ///
    /// ```
    /// use procall_proto::wire::Reader;
    ///
    /// let mut reader = Reader::new(&[0x92, 0x91, 1, 2, 7]);
    /// assert_eq!(reader.skip_any().unwrap(), [0x92, 0x91, 1, 2]);
    /// assert_eq!(reader.rest(), [7]);
    /// ```
    pub fn skip_any(&mut self) -> Result<&'a [u8], WireError> {
        let before = self.bytes;
        let mut left: u64 = 1;
        while left > 0 {
            left = (left - 1).saturating_add(self.skip_head()?);
        }
        Ok(&before[..before.len() - self.bytes.len()])
    }

    /// Skips a value's marker, length and flat bytes; returns how many values are nested in it.
    fn skip_head(&mut self) -> Result<u64, WireError> {
        let (fixed, nested) = match self.byte()? {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (0, 0),
            marker @ 0x80..=0x8f => (0, 2 * u64::from(marker & 0x0f)),
            marker @ 0x90..=0x9f => (0, u64::from(marker & 0x0f)),
            marker @ 0xa0..=0xbf => (u64::from(marker & 0x1f), 0),
            0xc1 => return Err(WireError::Expected("a MessagePack value")),
            0xc4 | 0xd9 => (self.be(1)?, 0),
            0xc5 | 0xda => (self.be(2)?, 0),
            0xc6 | 0xdb => (self.be(4)?, 0),
            0xc7 => (self.be(1)? + 1, 0),
            0xc8 => (self.be(2)? + 1, 0),
            0xc9 => (self.be(4)? + 1, 0),
            0xcc | 0xd0 => (1, 0),
            0xcd | 0xd1 => (2, 0),
            0xca | 0xce | 0xd2 => (4, 0),
            0xcb | 0xcf | 0xd3 => (8, 0),
            marker @ 0xd4..=0xd8 => (1 + (1 << (marker - 0xd4)), 0),
            0xdc => (0, self.be(2)?),
            0xdd => (0, self.be(4)?),
            0xde => (0, 2 * self.be(2)?),
            0xdf => (0, 2 * self.be(4)?),
        };
        self.take(usize::try_from(fixed).map_err(|_| WireError::Truncated)?)?;
        Ok(nested)
    }
}
