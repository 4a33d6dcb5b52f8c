//! What cannot be said in JSON, or was said wrongly.

use crate::buffer::BufferError;
use crate::scan::ScanError;

/// Why a value or a message has no exact form on the other side. `at` is an offset in the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Malformed MessagePack, or a bound passed in either form.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A typed buffer that is not valid, or whose bytes are in shared memory.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// The text is not JSON.
    #[error("expected {expected} at byte {at}")]
    Syntax {
        /// Where.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// The text is not UTF-8.
    #[error("the text is not UTF-8 from byte {at}")]
    Utf8 {
        /// Where.
        at: usize,
    },
    /// Half of a surrogate pair, which stands for no character.
    #[error("a lone surrogate at byte {at}")]
    Surrogate {
        /// Where.
        at: usize,
    },
    /// An integer outside -2^63..2^64-1.
    #[error("the integer at byte {at} does not fit 64 bits")]
    Integer {
        /// Where.
        at: usize,
    },
    /// A number beyond the range of a double.
    #[error("the number at byte {at} is beyond the range of a double")]
    Float {
        /// Where.
        at: usize,
    },
    /// NaN or an infinity, which JSON cannot say.
    #[error("the number at byte {at} is not finite, which JSON cannot express")]
    NotFinite {
        /// Where.
        at: usize,
    },
    /// A key stands twice in an object.
    #[error("the key at byte {at} stands twice")]
    DuplicateKey {
        /// The second one.
        at: usize,
    },
    /// A key begins with a single `$` and is none of ours, or is not alone.
    #[error(
        "the key at byte {at} begins with `$`; write it with `$$`, or use `$bytes` or `$tensor` alone"
    )]
    DollarKey {
        /// Where.
        at: usize,
    },
    /// Not base64 with padding.
    #[error("the text at byte {at} is not base64 with padding")]
    Base64 {
        /// Where.
        at: usize,
    },
    /// An ext value other than a typed buffer.
    #[error("ext type {kind} at byte {at} is not a value of this protocol")]
    Ext {
        /// Where.
        at: usize,
        /// Its type.
        kind: i8,
    },
    /// A field of a message is missing or of the wrong type.
    #[error("the field `{name}` should be {expected}")]
    Field {
        /// Its name.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A message that has no JSON form.
    #[error("{0} has no JSON form")]
    NoForm(&'static str),
}
