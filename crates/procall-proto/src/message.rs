//! The messages of the wire in their native form.
//!
//! Every variant's documentation draws its header; the body is whatever bytes follow.
//! `spec/protocol.md`, section 2, is the normative table.

use crate::header::{CallHeader, Encoding, Flags, Kind, NotifyHeader};
use crate::wire::{Reader, WireError, Writer};

/// The version this implementation speaks.
pub const VERSION: u64 = 1;
/// The oldest version it still speaks.
pub const VERSION_MIN: u64 = 1;

/// First byte of a raw chunk: the one byte that MessagePack never uses.
pub(crate) const CHUNK: u8 = 0xc1;
/// Bytes of a raw chunk before its data: the marker, the flags, the call id.
pub(crate) const CHUNK_HEADER: usize = 10;
const MAGIC: &str = "procall";
/// Longest method name in bytes.
const MAX_METHOD: usize = 255;
/// Longest metadata map in bytes, encoded.
const MAX_META: usize = 16 << 10;

/// One message of the wire, borrowed from its bytes.
///
/// ```
/// use procall_proto::{Encoding, Flags, Message};
///
/// let bytes = [0x94, 5, 9, 1, 0, 3]; // [reply, id 9, MessagePack, no flags], body 3
/// let message = Message::decode(&bytes).unwrap().unwrap();
/// assert_eq!(
///     message,
///     Message::Reply { id: 9, encoding: Encoding::Msgpack, flags: Flags::default(), total: None, body: &[3] }
/// );
/// let mut again = Vec::new();
/// message.encode(&mut again);
/// assert_eq!(again, bytes);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// `[0, "procall", min, max]` + info map. The initiator's first message: the versions it speaks.
    Hello {
        /// Oldest version spoken.
        min: u64,
        /// Newest version spoken.
        max: u64,
        /// Info map, section 3 of the specification.
        info: &'a [u8],
    },
    /// `[1, version]` + info map. The acceptor's answer: the version to speak.
    Welcome {
        /// The version both speak from now on.
        version: u64,
        /// Info map, section 3 of the specification.
        info: &'a [u8],
    },
    /// `[2, id, enc]` + registration. What the sender serves.
    Register {
        /// An id from the sender's own range.
        id: u64,
        /// Encoding of the registration.
        encoding: Encoding,
        /// The registration document.
        body: &'a [u8],
    },
    /// `[3, id, code]` + error map. Whether the registration stands; code 0 means yes.
    Registered {
        /// The id of the registration.
        id: u64,
        /// 0, or an error number.
        code: u64,
        /// Error map (MessagePack) when `code` is not 0.
        body: &'a [u8],
    },
    /// `[4, id, method, enc, flags, total|nil, timeout_ms|nil, meta|nil]` + params.
    Call(CallHeader<'a>, &'a [u8]),
    /// `[5, id, enc, flags]` or `[5, id, enc, flags, total]` + result. Ends the call.
    Reply {
        /// The call's id.
        id: u64,
        /// Encoding of the result.
        encoding: Encoding,
        /// `MORE`.
        flags: Flags,
        /// Whole length of the body when it goes on in chunks.
        total: Option<u64>,
        /// The result or its first part.
        body: &'a [u8],
    },
    /// `[6, id, code, executed, enc]` + error map. Ends the call.
    Error {
        /// The call's id.
        id: u64,
        /// Error number of `spec/errors.toml`.
        code: u64,
        /// 0 no, 1 maybe, 2 yes.
        executed: u64,
        /// Encoding of the error map.
        encoding: Encoding,
        /// The error map.
        body: &'a [u8],
    },
    /// `[7, id, method, enc, flags, total|nil, meta|nil]` + params. Never answered.
    Notify(NotifyHeader<'a>, &'a [u8]),
    /// `[8, id, enc, flags]` or `[8, id, enc, flags, total]` + one value of a stream.
    Item {
        /// The call's id.
        id: u64,
        /// Encoding of the value.
        encoding: Encoding,
        /// `MORE`.
        flags: Flags,
        /// Whole length of the body when it goes on in chunks.
        total: Option<u64>,
        /// The value or its first part.
        body: &'a [u8],
    },
    /// `[9, id, count]`. The sender's stream is complete after `count` items. From the callee it ends the call.
    End {
        /// The call's id.
        id: u64,
        /// Items sent in all.
        count: u64,
    },
    /// `[10, id, items, bytes]`. The receiver of a stream allows that much more.
    Credit {
        /// The call's id.
        id: u64,
        /// More items.
        items: u32,
        /// More bytes.
        bytes: u32,
    },
    /// `[11, id, done, total|nil, text|nil]`. How far the handler has come.
    Progress {
        /// The call's id.
        id: u64,
        /// Steps done.
        done: u64,
        /// Steps in all, when known.
        total: Option<u64>,
        /// A few words for people; empty for none.
        text: &'a str,
    },
    /// `[12, id, reason]`. The caller no longer wants an answer. Reason: 0 by choice, 1 its deadline passed.
    Cancel {
        /// The call's id.
        id: u64,
        /// 0 by choice, 1 deadline.
        reason: u64,
    },
    /// `[13, nonce]`. Answer with the same nonce, at once.
    Ping {
        /// Any number.
        nonce: u64,
    },
    /// `[14, nonce]`.
    Pong {
        /// The ping's number.
        nonce: u64,
    },
    /// `[15, step, last_id, text]`. Step 1: start no more calls. Step 2: calls after `last_id` were not started.
    Goaway {
        /// 1 or 2.
        step: u64,
        /// The last of the receiver's calls that is served; only in step 2.
        last_id: u64,
        /// Why, in a few words.
        text: &'a str,
    },
    /// `[16, code, text]`. The session is over; the link closes after it.
    Fault {
        /// Error number of `spec/errors.toml`.
        code: u64,
        /// One sentence.
        text: &'a str,
    },
    /// `[17, len]` + bytes: one message of `len` bytes, compressed as an LZ4 block. Only between peers that both named the feature `lz4`.
    Packed {
        /// Length of the message.
        len: u64,
        /// The message, compressed.
        body: &'a [u8],
    },
    /// `0xc1, flags u8, id u64` + bytes: the next part of a body begun with `MORE`; bit 0 of flags marks the last.
    Chunk {
        /// The call's id.
        id: u64,
        /// Whether the body is complete with this chunk.
        last: bool,
        /// The bytes.
        body: &'a [u8],
    },
}

fn encoding(reader: &mut Reader<'_>) -> Result<Encoding, WireError> {
    let number = reader.uint("the encoding")?;
    u8::try_from(number).map(Encoding::from_number).map_err(|_| WireError::Range("the encoding"))
}

fn flags(reader: &mut Reader<'_>) -> Result<Flags, WireError> {
    // Bits above the lowest eight are for later versions.
    Ok(Flags(reader.uint("the flags")? as u8))
}

fn method<'a>(reader: &mut Reader<'a>) -> Result<&'a str, WireError> {
    let method = reader.text("a method name")?;
    if method.is_empty() || method.len() > MAX_METHOD {
        return Err(WireError::Range("a method name of 1 to 255 bytes"));
    }
    Ok(method)
}

fn meta<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
    if reader.nil() {
        return Ok(&[]);
    }
    let meta = reader.skip()?;
    match meta.first() {
        Some(0x80..=0x8f | 0xde | 0xdf) if meta.len() <= MAX_META => Ok(meta),
        _ => Err(WireError::Expected("a metadata map of at most 16 KiB")),
    }
}

/// Whether these bytes may stand where the metadata stands; empty means none.
pub(crate) fn is_meta(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    bytes.is_empty() || (bytes[0] != 0xc0 && meta(&mut reader).is_ok() && reader.rest().is_empty())
}

/// `total` stands exactly when `MORE` is set.
fn body_total(flags: Flags, total: Option<u64>) -> Result<Option<u64>, WireError> {
    match (flags.contains(Flags::MORE), total) {
        (true, None) => Err(WireError::Expected("the total length of a chunked body")),
        (true, total) => Ok(total),
        (false, _) => Ok(None),
    }
}

impl<'a> Message<'a> {
    /// Reads one native message or chunk. `Ok(None)` is a message of a kind that this version does not know and skips.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<Self>, WireError> {
        if bytes.first() == Some(&CHUNK) {
            return Self::decode_chunk(bytes).map(Some);
        }
        let mut reader = Reader::new(bytes);
        let mut left = match bytes.first() {
            Some(0x90..=0x9f) => reader.array()?,
            _ => return Err(WireError::Expected("a header: an array of up to 15 elements")),
        };
        let reader = &mut reader;
        left = left.checked_sub(1).ok_or(WireError::Expected("the kind"))?;
        let Some(kind) = Kind::from_number(reader.uint("the kind")?) else { return Ok(None) };
        let mut field = || {
            let more = left > 0;
            left = left.saturating_sub(1);
            more
        };
        // A missing required element reads past the header into the body, so each is checked against the array's length first.
        macro_rules! required {
            ($read:expr) => {
                if field() {
                    $read?
                } else {
                    return Err(WireError::Expected("more header elements"));
                }
            };
        }
        macro_rules! optional {
            ($read:expr, $default:expr) => {
                if field() { $read? } else { $default }
            };
        }
        let mut message = match kind {
            Kind::Hello => {
                if required!(reader.text("the protocol's name")) != MAGIC {
                    return Err(WireError::Expected("the name \"procall\""));
                }
                let min = required!(reader.uint("the oldest version"));
                let max = required!(reader.uint("the newest version"));
                Self::Hello { min, max, info: &[] }
            }
            Kind::Welcome => {
                Self::Welcome { version: required!(reader.uint("the version")), info: &[] }
            }
            Kind::Register => Self::Register {
                id: required!(reader.uint("the id")),
                encoding: required!(encoding(reader)),
                body: &[],
            },
            Kind::Registered => Self::Registered {
                id: required!(reader.uint("the id")),
                code: required!(reader.uint("the code")),
                body: &[],
            },
            Kind::Call => {
                let id = required!(reader.uint("the id"));
                let method = required!(method(reader));
                let encoding = required!(encoding(reader));
                let flags = required!(flags(reader));
                let total = body_total(flags, optional!(reader.uint_or_nil("the total"), None))?;
                let timeout_ms = optional!(reader.uint_or_nil("the timeout"), None);
                let meta = optional!(meta(reader), &[]);
                Self::Call(CallHeader { id, method, encoding, flags, total, timeout_ms, meta }, &[])
            }
            Kind::Reply | Kind::Item => {
                let id = required!(reader.uint("the id"));
                let encoding = required!(encoding(reader));
                let flags = required!(flags(reader));
                let total = body_total(flags, optional!(reader.uint_or_nil("the total"), None))?;
                if kind == Kind::Reply {
                    Self::Reply { id, encoding, flags, total, body: &[] }
                } else {
                    Self::Item { id, encoding, flags, total, body: &[] }
                }
            }
            Kind::Error => Self::Error {
                id: required!(reader.uint("the id")),
                code: required!(reader.uint("the code")),
                executed: required!(reader.uint("the verdict")),
                encoding: required!(encoding(reader)),
                body: &[],
            },
            Kind::Notify => {
                let id = required!(reader.uint("the id"));
                let method = required!(method(reader));
                let encoding = required!(encoding(reader));
                let flags = required!(flags(reader));
                let total = body_total(flags, optional!(reader.uint_or_nil("the total"), None))?;
                let meta = optional!(meta(reader), &[]);
                Self::Notify(NotifyHeader { id, method, encoding, flags, total, meta }, &[])
            }
            Kind::End => Self::End {
                id: required!(reader.uint("the id")),
                count: required!(reader.uint("the count")),
            },
            Kind::Credit => Self::Credit {
                id: required!(reader.uint("the id")),
                items: required!(reader.uint32("the items")),
                bytes: required!(reader.uint32("the bytes")),
            },
            Kind::Progress => Self::Progress {
                id: required!(reader.uint("the id")),
                done: required!(reader.uint("the steps done")),
                total: optional!(reader.uint_or_nil("the steps in all"), None),
                text: if field() && !reader.nil() { reader.text("a text")? } else { "" },
            },
            Kind::Cancel => Self::Cancel {
                id: required!(reader.uint("the id")),
                reason: optional!(reader.uint("the reason"), 0),
            },
            Kind::Ping => Self::Ping { nonce: required!(reader.uint("the nonce")) },
            Kind::Pong => Self::Pong { nonce: required!(reader.uint("the nonce")) },
            Kind::Goaway => Self::Goaway {
                step: required!(reader.uint("the step")),
                last_id: required!(reader.uint("the last id")),
                text: optional!(reader.text("a text"), ""),
            },
            Kind::Fault => Self::Fault {
                code: required!(reader.uint("the code")),
                text: optional!(reader.text("a text"), ""),
            },
            Kind::Packed => Self::Packed { len: required!(reader.uint("the length")), body: &[] },
        };
        for _ in 0..left {
            reader.skip()?;
        }
        message.set_body(reader.rest());
        Ok(Some(message))
    }

    fn decode_chunk(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (head, body) = bytes.split_at_checked(CHUNK_HEADER).ok_or(WireError::Truncated)?;
        let id = head[2..].iter().fold(0, |id, &byte| id << 8 | u64::from(byte));
        Ok(Self::Chunk { id, last: head[1] & 1 != 0, body })
    }

    fn set_body(&mut self, rest: &'a [u8]) {
        match self {
            Self::Hello { info: body, .. }
            | Self::Welcome { info: body, .. }
            | Self::Register { body, .. }
            | Self::Registered { body, .. }
            | Self::Call(_, body)
            | Self::Reply { body, .. }
            | Self::Error { body, .. }
            | Self::Notify(_, body)
            | Self::Item { body, .. }
            | Self::Packed { body, .. }
            | Self::Chunk { body, .. } => *body = rest,
            // These kinds have no body; bytes there are for later versions.
            Self::End { .. }
            | Self::Credit { .. }
            | Self::Progress { .. }
            | Self::Cancel { .. }
            | Self::Ping { .. }
            | Self::Pong { .. }
            | Self::Goaway { .. }
            | Self::Fault { .. } => {}
        }
    }

    /// Appends the message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        let w = &mut writer;
        match *self {
            Self::Hello { min, max, info } => {
                w.array(4).uint(Kind::Hello as u64).text(MAGIC).uint(min).uint(max).raw(info)
            }
            Self::Welcome { version, info } => {
                w.array(2).uint(Kind::Welcome as u64).uint(version).raw(info)
            }
            Self::Register { id, encoding, body } => w
                .array(3)
                .uint(Kind::Register as u64)
                .uint(id)
                .uint(encoding.number().into())
                .raw(body),
            Self::Registered { id, code, body } => {
                w.array(3).uint(Kind::Registered as u64).uint(id).uint(code).raw(body)
            }
            Self::Call(ref call, body) => {
                w.array(8).uint(Kind::Call as u64).uint(call.id).text(call.method);
                w.uint(call.encoding.number().into()).uint(call.flags.0.into());
                w.uint_or_nil(call.total).uint_or_nil(call.timeout_ms);
                if call.meta.is_empty() {
                    w.nil()
                } else {
                    w.raw(call.meta)
                };
                w.raw(body)
            }
            Self::Reply { id, encoding, flags, total, body } => {
                Self::encode_value(w, Kind::Reply, id, encoding, flags, total).raw(body)
            }
            Self::Error { id, code, executed, encoding, body } => {
                w.array(5).uint(Kind::Error as u64).uint(id).uint(code).uint(executed);
                w.uint(encoding.number().into()).raw(body)
            }
            Self::Notify(ref notify, body) => {
                w.array(7).uint(Kind::Notify as u64).uint(notify.id).text(notify.method);
                w.uint(notify.encoding.number().into()).uint(notify.flags.0.into());
                w.uint_or_nil(notify.total);
                if notify.meta.is_empty() {
                    w.nil()
                } else {
                    w.raw(notify.meta)
                };
                w.raw(body)
            }
            Self::Item { id, encoding, flags, total, body } => {
                Self::encode_value(w, Kind::Item, id, encoding, flags, total).raw(body)
            }
            Self::End { id, count } => w.array(3).uint(Kind::End as u64).uint(id).uint(count),
            Self::Credit { id, items, bytes } => {
                w.array(4).uint(Kind::Credit as u64).uint(id).uint(items.into()).uint(bytes.into())
            }
            Self::Progress { id, done, total, text } => {
                w.array(5).uint(Kind::Progress as u64).uint(id).uint(done).uint_or_nil(total);
                if text.is_empty() { w.nil() } else { w.text(text) }
            }
            Self::Cancel { id, reason } => {
                w.array(3).uint(Kind::Cancel as u64).uint(id).uint(reason)
            }
            Self::Ping { nonce } => w.array(2).uint(Kind::Ping as u64).uint(nonce),
            Self::Pong { nonce } => w.array(2).uint(Kind::Pong as u64).uint(nonce),
            Self::Goaway { step, last_id, text } => {
                w.array(4).uint(Kind::Goaway as u64).uint(step).uint(last_id).text(text)
            }
            Self::Fault { code, text } => w.array(3).uint(Kind::Fault as u64).uint(code).text(text),
            Self::Packed { len, body } => w.array(2).uint(Kind::Packed as u64).uint(len).raw(body),
            Self::Chunk { id, last, body } => {
                w.raw(&[CHUNK, u8::from(last)]).raw(&id.to_be_bytes()).raw(body)
            }
        };
    }

    fn encode_value<'w, 'b>(
        w: &'w mut Writer<'b>,
        kind: Kind,
        id: u64,
        encoding: Encoding,
        flags: Flags,
        total: Option<u64>,
    ) -> &'w mut Writer<'b> {
        w.array(if total.is_some() { 5 } else { 4 }).uint(kind as u64).uint(id);
        w.uint(encoding.number().into()).uint(flags.0.into());
        match total {
            Some(total) => w.uint(total),
            None => w,
        }
    }
}
