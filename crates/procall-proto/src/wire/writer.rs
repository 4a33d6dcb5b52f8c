//! Appends MessagePack values to a buffer that the caller owns.

/// Writes MessagePack values one after another, each in its shortest form.
///
/// ```
/// use procall_proto::wire::Writer;
///
/// let mut bytes = Vec::new();
/// Writer::new(&mut bytes).array(2).uint(5).text("ok");
/// assert_eq!(bytes, [0x92, 5, 0xa2, b'o', b'k']);
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    fn marked(&mut self, marker: u8, len: usize, value: u64) -> &mut Self {
        self.out.push(marker);
        self.out.extend_from_slice(&value.to_be_bytes()[8 - len..]);
        self
    }

    /// The head of an array of `len` elements.
    pub fn array(&mut self, len: usize) -> &mut Self {
        match len {
            0..=15 => self.out.push(0x90 | len as u8),
            16..=0xffff => return self.marked(0xdc, 2, len as u64),
            _ => return self.marked(0xdd, 4, len as u64),
        }
        self
    }

    /// The head of a map of `len` entries.
    pub fn map(&mut self, len: usize) -> &mut Self {
        match len {
            0..=15 => self.out.push(0x80 | len as u8),
            16..=0xffff => return self.marked(0xde, 2, len as u64),
            _ => return self.marked(0xdf, 4, len as u64),
        }
        self
    }

    /// An unsigned integer.
    #[inline]
    pub fn uint(&mut self, value: u64) -> &mut Self {
        match value {
            0..=0x7f => self.out.push(value as u8),
            0x80..=0xff => return self.marked(0xcc, 1, value),
            0x100..=0xffff => return self.marked(0xcd, 2, value),
            0x1_0000..=0xffff_ffff => return self.marked(0xce, 4, value),
            _ => return self.marked(0xcf, 8, value),
        }
        self
    }

    /// An unsigned integer, or nil.
    #[inline]
    pub fn uint_or_nil(&mut self, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.uint(value),
            None => self.nil(),
        }
    }

    /// Nil.
    #[inline]
    pub fn nil(&mut self) -> &mut Self {
        self.out.push(0xc0);
        self
    }

    /// A boolean.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.out.push(if value { 0xc3 } else { 0xc2 });
        self
    }

    /// Text.
    #[inline]
    pub fn text(&mut self, text: &str) -> &mut Self {
        match text.len() {
            len @ 0..=31 => self.out.push(0xa0 | len as u8),
            len @ 32..=0xff => _ = self.marked(0xd9, 1, len as u64),
            len @ 0x100..=0xffff => _ = self.marked(0xda, 2, len as u64),
            len => _ = self.marked(0xdb, 4, len as u64),
        }
        self.out.extend_from_slice(text.as_bytes());
        self
    }

    /// Bytes.
    pub fn bin(&mut self, bytes: &[u8]) -> &mut Self {
        match bytes.len() {
            len @ 0..=0xff => _ = self.marked(0xc4, 1, len as u64),
            len @ 0x100..=0xffff => _ = self.marked(0xc5, 2, len as u64),
            len => _ = self.marked(0xc6, 4, len as u64),
        }
        self.raw(bytes)
    }

    /// A value that is encoded already.
    #[inline]
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.out.extend_from_slice(encoded);
        self
    }
}
