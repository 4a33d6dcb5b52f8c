//! The parts that headers are made of.

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// There is no body: no arguments, or no value.
    None,
    /// MessagePack.
    Msgpack,
    /// JSON text.
    Json,
    /// Bytes that mean themselves.
    Raw,
    /// An encoding that this version does not know.
    Unknown(u8),
}

impl Encoding {
    /// The wire number.
    pub const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Msgpack => 1,
            Self::Json => 2,
            Self::Raw => 3,
            Self::Unknown(number) => number,
        }
    }

    /// The encoding with this wire number.
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Msgpack,
            2 => Self::Json,
            3 => Self::Raw,
            number => Self::Unknown(number),
        }
    }
}

/// Bits that say more about a message. Unknown bits are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// The body goes on in chunks.
    pub const MORE: Self = Self(1);
    /// The caller sends a stream of items.
    pub const ITEMS_IN: Self = Self(2);
    /// The caller expects a stream of items.
    pub const ITEMS_OUT: Self = Self(4);
    /// The method may run more than once without harm.
    pub const IDEMPOTENT: Self = Self(8);
    /// For streams: the timeout covers only the time until the first item, and starts anew when the items of the caller are all sent.
    pub const OPENING: Self = Self(16);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These bits and those of `other`, when `on`.
    #[must_use]
    pub const fn with(self, other: Self, on: bool) -> Self {
        Self(self.0 | if on { other.0 } else { 0 })
    }
}

/// The kinds of native message and their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each kind is described on its Message variant")]
#[repr(u8)]
pub enum Kind {
    Hello = 0,
    Welcome = 1,
    Register = 2,
    Registered = 3,
    Call = 4,
    Reply = 5,
    Error = 6,
    Notify = 7,
    Item = 8,
    End = 9,
    Credit = 10,
    Progress = 11,
    Cancel = 12,
    Ping = 13,
    Pong = 14,
    Goaway = 15,
    Fault = 16,
    Packed = 17,
}

impl Kind {
    const ALL: [Self; 18] = [
        Self::Hello,
        Self::Welcome,
        Self::Register,
        Self::Registered,
        Self::Call,
        Self::Reply,
        Self::Error,
        Self::Notify,
        Self::Item,
        Self::End,
        Self::Credit,
        Self::Progress,
        Self::Cancel,
        Self::Ping,
        Self::Pong,
        Self::Goaway,
        Self::Fault,
        Self::Packed,
    ];

    pub(crate) fn from_number(number: u64) -> Option<Self> {
        usize::try_from(number).ok().and_then(|number| Self::ALL.get(number)).copied()
    }
}

/// The header of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallHeader<'a> {
    /// The call's id.
    pub id: u64,
    /// Full or bare method name, at most 255 bytes.
    pub method: &'a str,
    /// Encoding of the params.
    pub encoding: Encoding,
    /// `MORE`, `ITEMS_IN`, `ITEMS_OUT`, `IDEMPOTENT`.
    pub flags: Flags,
    /// Whole length of the body when it goes on in chunks, else `None`.
    pub total: Option<u64>,
    /// Milliseconds left until the deadline; `None` means no deadline.
    pub timeout_ms: Option<u64>,
    /// The metadata map, encoded as MessagePack; empty for none.
    pub meta: &'a [u8],
}

/// The header of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyHeader<'a> {
    /// An id from the sender's own range; only chunks refer to it.
    pub id: u64,
    /// Full or bare method name, at most 255 bytes.
    pub method: &'a str,
    /// Encoding of the params.
    pub encoding: Encoding,
    /// `MORE`.
    pub flags: Flags,
    /// Whole length of the body when it goes on in chunks, else `None`.
    pub total: Option<u64>,
    /// The metadata map, encoded as MessagePack; empty for none.
    pub meta: &'a [u8],
}
