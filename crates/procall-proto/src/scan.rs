//! Depth and length bombs, refused before any decoder sees them.
//!
//! A decoder that follows nesting with its own stack, or that believes a length before the bytes are there, can be killed by a few bytes.
//! A scan walks the same bytes with a small fixed stack of counters, allocates nothing, and takes time proportional to the bytes that are really there.
//! What it lets through, any ordinary decoder may read.

/// What a body may cost its decoder.
///
/// ```
/// use procall_proto::scan::{self, Bounds};
///
/// let nested = [0x91, 0x91, 0x90]; // [[[]]]
/// assert!(scan::msgpack(&nested, &Bounds::default()).is_ok());
/// assert!(scan::msgpack(&nested, &Bounds { max_depth: 2, ..Bounds::default() }).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Arrays and maps inside each other, 64; values above 128 mean 128. One more is refused.
    pub max_depth: usize,
    /// Elements of arrays and keys and values of maps in the whole body, 1,000,000. Empty ones count too, because decoders pay for each.
    pub max_elements: usize,
    /// Bytes of one map key, 64 KiB. In JSON the key is measured as written, escapes included.
    pub max_key: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max_depth: 64, max_elements: 1_000_000, max_key: 64 << 10 }
    }
}

/// Why a body was refused. `at` is the offset of the offending byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The bytes end inside a value, or a length says that there is more than there is.
    #[error("the body ends inside the value at byte {at}")]
    Truncated {
        /// Where the value begins.
        at: usize,
    },
    /// Bytes follow the value.
    #[error("bytes follow the value at byte {at}")]
    Trailing {
        /// The first byte too many.
        at: usize,
    },
    /// Nested too deep.
    #[error("the body is nested more than {max} deep at byte {at}")]
    Deep {
        /// Where the array or map begins that is too much.
        at: usize,
        /// The bound.
        max: usize,
    },
    /// Too many elements.
    #[error("the body has more than {max} elements at byte {at}")]
    Elements {
        /// Where the bound is passed.
        at: usize,
        /// The bound.
        max: usize,
    },
    /// A map key is too long.
    #[error("the map key at byte {at} is longer than {max} bytes")]
    Key {
        /// Where the key begins.
        at: usize,
        /// The bound.
        max: usize,
    },
    /// A map key is not text.
    #[error("the map key at byte {at} is not text")]
    KeyType {
        /// Where the key begins.
        at: usize,
    },
    /// Text is not UTF-8.
    #[error("the text at byte {at} is not UTF-8")]
    Utf8 {
        /// Where the text begins.
        at: usize,
    },
    /// A byte that begins no value, or brackets that do not match.
    #[error("no value can begin or end with the byte at {at}")]
    Malformed {
        /// Where it is.
        at: usize,
    },
}

/// Room for counters; a deeper bound is cut to this.
const STACK: usize = 128;
/// Room that nearly every body fits. Clearing all of it for a body of three bytes would take longer than the scan.
const SMALL_STACK: usize = 8;

/// Checks that `bytes` are exactly one MessagePack value within `bounds`, with text that is UTF-8 and maps whose keys are text.
///
/// Whether a key stands twice in a map is left to decoders, which have the keys in hand anyway.
///
/// ```
/// use procall_proto::scan::{self, Bounds, ScanError};
///
/// let bounds = Bounds::default();
/// assert_eq!(scan::msgpack(&[0x82, 0xa1, b'a', 1, 0xa1, b'b', 0xc0], &bounds), Ok(()));
/// // An array that claims four thousand million elements and has none.
/// let error = scan::msgpack(&[0xdd, 0xff, 0xff, 0xff, 0xff], &bounds).unwrap_err();
/// assert_eq!(error, ScanError::Elements { at: 0, max: 1_000_000 });
/// ```
pub fn msgpack(bytes: &[u8], bounds: &Bounds) -> Result<(), ScanError> {
    let fits = walk::<SMALL_STACK>(bytes, bounds)? || walk::<STACK>(bytes, bounds)?;
    debug_assert!(fits, "the depth is bounded by the larger room");
    Ok(())
}

/// The scan with room for so many counters; `false` when there are too few.
fn walk<const ROOM: usize>(bytes: &[u8], bounds: &Bounds) -> Result<bool, ScanError> {
    let max_depth = bounds.max_depth.min(STACK);
    // Values still to come in each container around the current one, times two, plus one for a map.
    let mut stack = [0_u64; ROOM];
    let mut depth = 0;
    let mut elements = 0_u64;
    // The container being read: values still to come, and whether keys and values alternate. The body is the only element of nothing.
    let (mut left, mut in_map) = (1_u64, false);
    let mut at = 0;
    loop {
        while left == 0 {
            if depth == 0 {
                return if at == bytes.len() { Ok(true) } else { Err(ScanError::Trailing { at }) };
            }
            depth -= 1;
            (left, in_map) = (stack[depth] >> 1, stack[depth] & 1 == 1);
        }
        let is_key = in_map && left.is_multiple_of(2);
        left -= 1;
        // Most values are a single byte, and need no head.
        if !is_key && matches!(bytes.get(at), Some(0..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3)) {
            at += 1;
            continue;
        }
        let head = Head::read(&bytes[at..]).ok_or(ScanError::Truncated { at })?;
        let (begin, Head { len, kind }) = (at, head);
        // At most 9 bytes of head and 4 GiB of data, so the sum is far from overflow, and it is compared before it is believed.
        if len > (bytes.len() - begin) as u64 {
            return Err(ScanError::Truncated { at });
        }
        at += len as usize;
        if is_key && !matches!(kind, HeadKind::Text { .. }) {
            return Err(ScanError::KeyType { at: begin });
        }
        match kind {
            HeadKind::Plain => {}
            HeadKind::Text { skip } => {
                let text = &bytes[begin + skip..at];
                if is_key && text.len() > bounds.max_key {
                    return Err(ScanError::Key { at: begin, max: bounds.max_key });
                }
                std::str::from_utf8(text).map_err(|_| ScanError::Utf8 { at: begin })?;
            }
            HeadKind::Reserved => return Err(ScanError::Malformed { at: begin }),
            HeadKind::Container { count, map } => {
                if depth == max_depth {
                    return Err(ScanError::Deep { at: begin, max: max_depth });
                }
                elements += count;
                if elements > bounds.max_elements as u64 {
                    return Err(ScanError::Elements { at: begin, max: bounds.max_elements });
                }
                // Every element takes at least one byte, so a claim beyond the bytes left is a lie.
                if count > (bytes.len() - at) as u64 {
                    return Err(ScanError::Truncated { at: begin });
                }
                if depth == ROOM {
                    return Ok(false);
                }
                stack[depth] = left << 1 | u64::from(in_map);
                depth += 1;
                (left, in_map) = (count, map);
            }
        }
    }
}

/// What the first bytes of a MessagePack value say about it.
pub(crate) struct Head {
    /// Bytes of the value; of a container only its head.
    pub(crate) len: u64,
    kind: HeadKind,
}

enum HeadKind {
    Plain,
    Text {
        /// Bytes before the text itself.
        skip: usize,
    },
    Container {
        /// Values inside; a map entry is two.
        count: u64,
        map: bool,
    },
    Reserved,
}

impl Head {
    /// `None` when the bytes end inside the head.
    #[inline(always)]
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let be = |len: usize| -> Option<u64> {
            let bytes = bytes.get(1..=len)?;
            Some(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
        };
        let plain = |len: u64| Self { len, kind: HeadKind::Plain };
        let text = |skip: u8, len: u64| Self {
            len: u64::from(skip) + len,
            kind: HeadKind::Text { skip: skip.into() },
        };
        let container = |len: u64, count: u64, map: bool| Self {
            len,
            kind: HeadKind::Container { count: if map { 2 * count } else { count }, map },
        };
        Some(match *bytes.first()? {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => plain(1),
            marker @ 0x80..=0x8f => container(1, (marker & 0x0f).into(), true),
            marker @ 0x90..=0x9f => container(1, (marker & 0x0f).into(), false),
            marker @ 0xa0..=0xbf => text(1, (marker & 0x1f).into()),
            0xc1 => Self { len: 1, kind: HeadKind::Reserved },
            0xc4 => plain(2 + be(1)?),
            0xc5 => plain(3 + be(2)?),
            0xc6 => plain(5 + be(4)?),
            0xc7 => plain(3 + be(1)?),
            0xc8 => plain(4 + be(2)?),
            0xc9 => plain(6 + be(4)?),
            0xcc | 0xd0 => plain(2),
            0xcd | 0xd1 => plain(3),
            0xca | 0xce | 0xd2 => plain(5),
            0xcb | 0xcf | 0xd3 => plain(9),
            marker @ 0xd4..=0xd8 => plain(2 + (1 << (marker - 0xd4))),
            0xd9 => text(2, be(1)?),
            0xda => text(3, be(2)?),
            0xdb => text(5, be(4)?),
            0xdc => container(3, be(2)?, false),
            0xdd => container(5, be(4)?, false),
            0xde => container(3, be(2)?, true),
            0xdf => container(5, be(4)?, true),
        })
    }
}

/// Checks that JSON text stays within `bounds`, without building anything.
///
/// It follows strings and brackets only; whether the text is JSON at all is for the parser that reads it next.
///
/// ```
/// use procall_proto::scan::{self, Bounds};
///
/// let bounds = Bounds { max_depth: 1, ..Bounds::default() };
/// assert!(scan::json(br#"{"a": "[[["}"#, &bounds).is_ok());
/// assert!(scan::json(br#"{"a": []}"#, &bounds).is_err());
/// ```
pub fn json(bytes: &[u8], bounds: &Bounds) -> Result<(), ScanError> {
    let mut depth = 0_usize;
    let mut elements = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let begin = at;
        at += 1;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => continue,
            b']' | b'}' => {
                depth = depth.checked_sub(1).ok_or(ScanError::Malformed { at: begin })?;
                continue;
            }
            b'[' | b'{' => {
                if depth >= bounds.max_depth {
                    return Err(ScanError::Deep { at: begin, max: bounds.max_depth });
                }
                depth += 1;
            }
            b'"' => {
                at = json_string_end(bytes, at).ok_or(ScanError::Truncated { at: begin })?;
                let next = bytes[at..].iter().find(|byte| !byte.is_ascii_whitespace());
                if next == Some(&b':') && at - begin - 2 > bounds.max_key {
                    return Err(ScanError::Key { at: begin, max: bounds.max_key });
                }
            }
            // A number or a word; anything else is the parser's to refuse.
            _ => {
                let rest = bytes[at..].iter();
                at += rest.take_while(|byte| !b" \t\n\r,:[]{}\"".contains(byte)).count();
            }
        }
        // The body itself is an element of nothing.
        if elements > bounds.max_elements {
            return Err(ScanError::Elements { at: begin, max: bounds.max_elements });
        }
        elements += 1;
    }
    if depth > 0 { Err(ScanError::Truncated { at }) } else { Ok(()) }
}

/// The offset behind the closing quote of the string whose text begins at `at`.
fn json_string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}
