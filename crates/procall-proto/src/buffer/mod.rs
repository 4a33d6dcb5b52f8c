//! Typed buffers: arrays of numbers on the wire.
//!
//! A typed buffer is a MessagePack ext value of type [`EXT_TYPE`].
//! It says what the elements are, how they are laid out, and where their bytes are: in the message itself, or in shared memory.
//!
//! ```text
//! ┌───────┬───────┬──────┬───────┬──────────────────┬────────────────────┬───────────────────────────────┐
//! │ place │ dtype │ ndim │ flags │ shape            │ strides            │ 0: the bytes                  │
//! │ u8    │ u8    │ u8   │ u8    │ ndim × u64 LE    │ ndim × i64 LE      │ 1: region u32, generation u32,│
//! │ 0, 1  │       │ ≤ 32 │ 1, 2  │ in elements      │ in bytes, flag 1   │    offset u64, length u64, LE │
//! └───────┴───────┴──────┴───────┴──────────────────┴────────────────────┴───────────────────────────────┘
//! ```

mod dtype;
mod elsewhere;
mod layout;

pub use dtype::Dtype;
pub use elsewhere::{Elsewhere, elsewhere, fill_in, relabel};

use layout::Layout;

/// The MessagePack ext type of a typed buffer, `P`.
pub const EXT_TYPE: u8 = 0x50;
/// Most dimensions, as numpy and DLPack consumers can take.
pub const MAX_DIMS: usize = 32;

const HEAD: usize = 4;
const FLAG_STRIDES: u8 = 1;
const FLAG_BIG_ENDIAN: u8 = 2;
const REGION_LEN: usize = 24;

/// Where a buffer's bytes are. They begin at the lowest address that any element has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// In the message.
    Inline(&'a [u8]),
    /// In memory that both peers share.
    Region {
        /// The region's number in its session.
        region: u32,
        /// The use of the region that is meant; an older one is stale.
        generation: u32,
        /// Where in the region the bytes begin.
        offset: u64,
        /// How many they are.
        length: u64,
    },
}

/// An array of numbers: element type, layout and the place of its bytes.
///
/// One made by [`parse`](Self::parse) is valid: its element count does not overflow, and every element lies within its bytes.
///
/// ```
/// use procall_proto::buffer::{Dtype, Place, TypedBuffer};
///
/// let pixels = TypedBuffer {
///     dtype: Dtype::U8,
///     big_endian: false,
///     shape: vec![2, 3],
///     strides: None,
///     place: Place::Inline(&[1, 2, 3, 4, 5, 6]),
/// };
/// let mut payload = Vec::new();
/// pixels.write_payload(&mut payload).unwrap();
/// assert_eq!(TypedBuffer::parse(&payload).unwrap(), pixels);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedBuffer<'a> {
    /// What an element is.
    pub dtype: Dtype,
    /// Whether the bytes of an element stand highest first.
    pub big_endian: bool,
    /// Elements in each dimension; none for a single element.
    pub shape: Vec<u64>,
    /// Bytes from one element to the next in each dimension; `None` means C order.
    pub strides: Option<Vec<i64>>,
    /// Where the bytes are.
    pub place: Place<'a>,
}

/// Why bytes are not a typed buffer, or a typed buffer cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BufferError {
    /// The payload ends too early.
    #[error("the typed buffer ends in the middle of its header")]
    Truncated,
    /// A number that this version does not know. It could change what all else means, so it is not skipped.
    #[error("the typed buffer has an unknown {what}: {number}")]
    Unknown {
        /// The field.
        what: &'static str,
        /// Its number.
        number: u8,
    },
    /// Too many dimensions.
    #[error("the typed buffer has {0} dimensions; at most 32 are allowed")]
    Dims(usize),
    /// Strides for another number of dimensions than the shape has.
    #[error("the typed buffer has {strides} strides for {dims} dimensions")]
    Strides {
        /// Dimensions.
        dims: usize,
        /// Strides.
        strides: usize,
    },
    /// More bytes than fit a signed 64-bit number.
    #[error("the shape or the strides of the typed buffer overflow")]
    Overflow,
    /// Elements lie on top of each other, so that a few bytes stand for many.
    #[error("the elements of the typed buffer overlap")]
    Overlap,
    /// The layout needs another number of bytes than there are.
    #[error("the layout of the typed buffer needs {needed} bytes, but {given} are given")]
    Length {
        /// What shape and strides need.
        needed: u64,
        /// What there is.
        given: u64,
    },
    /// The bytes are in shared memory, where this operation cannot reach them.
    #[error("the bytes of the typed buffer are in shared memory")]
    Region,
    /// The payload is longer than a MessagePack ext value can be.
    #[error("the typed buffer is larger than 4 GiB")]
    TooLarge,
}

impl<'a> TypedBuffer<'a> {
    /// A buffer in C order with its bytes in the message.
    pub fn inline(dtype: Dtype, shape: &[u64], bytes: &'a [u8]) -> Self {
        Self {
            dtype,
            big_endian: false,
            shape: shape.to_vec(),
            strides: None,
            place: Place::Inline(bytes),
        }
    }

    /// Reads the payload of an ext value of type [`EXT_TYPE`] and validates it.
    pub fn parse(payload: &'a [u8]) -> Result<Self, BufferError> {
        let (&[place, dtype, ndim, flags], rest) =
            payload.split_first_chunk::<HEAD>().ok_or(BufferError::Truncated)?;
        let dtype = Dtype::from_number(dtype)
            .ok_or(BufferError::Unknown { what: "element type", number: dtype })?;
        if flags & !(FLAG_STRIDES | FLAG_BIG_ENDIAN) != 0 {
            return Err(BufferError::Unknown { what: "flag", number: flags });
        }
        let ndim = usize::from(ndim);
        if ndim > MAX_DIMS {
            return Err(BufferError::Dims(ndim));
        }
        let (shape, mut rest) = split_words(rest, ndim)?;
        let shape = shape.map(u64::from_le_bytes).collect();
        let mut strides = None;
        if flags & FLAG_STRIDES != 0 {
            let (words, after) = split_words(rest, ndim)?;
            strides = Some(words.map(i64::from_le_bytes).collect());
            rest = after;
        }
        let place = match place {
            0 => Place::Inline(rest),
            1 => parse_region(rest)?,
            number => return Err(BufferError::Unknown { what: "place", number }),
        };
        let big_endian = flags & FLAG_BIG_ENDIAN != 0;
        let buffer = Self { dtype, big_endian, shape, strides, place };
        buffer.validate()?;
        Ok(buffer)
    }

    /// Appends the payload of the ext value to `out`, if the buffer is valid.
    pub fn write_payload(&self, out: &mut Vec<u8>) -> Result<(), BufferError> {
        self.validate()?;
        let place = match self.place {
            Place::Inline(_) => 0,
            Place::Region { .. } => 1,
        };
        let strides = if self.strides.is_some() { FLAG_STRIDES } else { 0 };
        let order = if self.big_endian { FLAG_BIG_ENDIAN } else { 0 };
        // At most 32, as validated.
        let ndim = self.shape.len() as u8;
        out.extend_from_slice(&[place, self.dtype.number(), ndim, strides | order]);
        out.extend(self.shape.iter().flat_map(|dim| dim.to_le_bytes()));
        out.extend(self.strides.iter().flatten().flat_map(|stride| stride.to_le_bytes()));
        match self.place {
            Place::Inline(bytes) => out.extend_from_slice(bytes),
            Place::Region { region, generation, offset, length } => {
                out.extend_from_slice(&region.to_le_bytes());
                out.extend_from_slice(&generation.to_le_bytes());
                out.extend_from_slice(&offset.to_le_bytes());
                out.extend_from_slice(&length.to_le_bytes());
            }
        }
        Ok(())
    }

    /// Appends the whole MessagePack ext value to `out`, if the buffer is valid.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), BufferError> {
        let words = 8 * (self.shape.len() + self.strides.as_ref().map_or(0, Vec::len));
        let bytes = match self.place {
            Place::Inline(bytes) => bytes.len(),
            Place::Region { .. } => REGION_LEN,
        };
        let len = u32::try_from(HEAD + words + bytes).map_err(|_| BufferError::TooLarge)?;
        let before = out.len();
        match len {
            4 | 8 | 16 => out.push(0xd4 + len.ilog2() as u8),
            len if len <= 0xff => out.extend_from_slice(&[0xc7, len as u8]),
            len if len <= 0xffff => {
                out.push(0xc8);
                out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                out.push(0xc9);
                out.extend_from_slice(&len.to_be_bytes());
            }
        }
        out.push(EXT_TYPE);
        self.write_payload(out).inspect_err(|_| out.truncate(before))
    }

    /// Checks what [`parse`](Self::parse) promises, for a buffer made by hand.
    pub fn validate(&self) -> Result<(), BufferError> {
        let layout = self.layout()?;
        let given = match self.place {
            Place::Inline(bytes) => bytes.len() as u64,
            Place::Region { offset, length, .. } => {
                offset.checked_add(length).ok_or(BufferError::Overflow)?;
                length
            }
        };
        if layout.extent != given {
            return Err(BufferError::Length { needed: layout.extent, given });
        }
        Ok(())
    }

    fn layout(&self) -> Result<Layout, BufferError> {
        Layout::new(self.dtype.size(), &self.shape, self.strides.as_deref())
    }

    /// Bytes that the elements take when packed; an error when that overflows or elements overlap.
    pub fn nbytes(&self) -> Result<u64, BufferError> {
        self.layout().map(|layout| layout.nbytes)
    }

    /// Offset of the element with index 0 in every dimension. It is not 0 when a stride is negative.
    pub fn origin(&self) -> Result<u64, BufferError> {
        self.layout().map(|layout| layout.origin)
    }

    /// Whether the elements lie packed, with the last dimension changing fastest.
    pub fn is_c_contiguous(&self) -> bool {
        layout::is_c_contiguous(self.dtype.size(), &self.shape, self.strides.as_deref())
    }

    /// The elements packed in C order and little-endian, borrowed when they already are.
    ///
    /// ```
    /// use procall_proto::buffer::{Dtype, Place, TypedBuffer};
    ///
    /// let reversed = TypedBuffer {
    ///     dtype: Dtype::U8,
    ///     big_endian: false,
    ///     shape: vec![3],
    ///     strides: Some(vec![-1]),
    ///     place: Place::Inline(&[1, 2, 3]),
    /// };
    /// assert_eq!(&*reversed.to_c_order().unwrap(), &[3, 2, 1]);
    /// ```
    pub fn to_c_order(&self) -> Result<std::borrow::Cow<'a, [u8]>, BufferError> {
        self.validate()?;
        let Place::Inline(bytes) = self.place else { return Err(BufferError::Region) };
        let number_size = self.dtype.number_size();
        let swap = self.big_endian && number_size > 1;
        if self.is_c_contiguous() && !swap {
            return Ok(bytes.into());
        }
        let mut packed = match &self.strides {
            Some(strides) if !self.is_c_contiguous() => {
                layout::gather(bytes, self.dtype.size(), &self.shape, strides, &self.layout()?)
            }
            _ => bytes.to_vec(),
        };
        if swap {
            packed.chunks_exact_mut(number_size).for_each(<[u8]>::reverse);
        }
        Ok(packed.into())
    }
}

/// The next `count` words of 8 bytes, and what follows them.
fn split_words(
    bytes: &[u8],
    count: usize,
) -> Result<(impl Iterator<Item = [u8; 8]>, &[u8]), BufferError> {
    let (words, rest) = bytes.split_at_checked(8 * count).ok_or(BufferError::Truncated)?;
    let (words, _) = words.as_chunks::<8>();
    Ok((words.iter().copied(), rest))
}

fn parse_region<'a>(bytes: &[u8]) -> Result<Place<'a>, BufferError> {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    let [Some(region), Some(generation)] =
        [word(0), word(4)].map(|word| word.map(u32::from_le_bytes))
    else {
        return Err(BufferError::Truncated);
    };
    let (words, rest) = split_words(&bytes[8..], 2)?;
    let words: Vec<u64> = words.map(u64::from_le_bytes).collect();
    if !rest.is_empty() {
        return Err(BufferError::Length { needed: REGION_LEN as u64, given: bytes.len() as u64 });
    }
    Ok(Place::Region { region, generation, offset: words[0], length: words[1] })
}
