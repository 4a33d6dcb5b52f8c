//! JSON messages as owned values, and their native counterparts.

use crate::{CallHeader, Encoding, Flags, Message, NotifyHeader};

/// The id of a call in JSON: text or an integer, echoed as it came.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum JsonId {
    /// An integer from -2^63 to 2^64-1.
    Integer(i128),
    /// Text.
    Text(String),
}

/// One JSON message.
///
/// Ids are the peer's own and become native ids in [`native`](Self::native).
/// Params, results and items stay JSON text; error maps, metadata and info are MessagePack already.
///
/// ```
/// use procall_proto::json::{self, JsonId, JsonMessage};
/// use procall_proto::{Encoding, Message};
///
/// let text = br#"{"type": "call", "id": "c1", "method": "add", "params": [1, 2]}"#;
/// let [message] = json::decode(text).unwrap().try_into().unwrap();
/// assert_eq!(message.id(), Some(&JsonId::Text("c1".into())));
/// let Some(Message::Call(call, params)) = message.native(1) else { panic!("a call") };
/// assert_eq!((call.method, call.encoding, params), ("add", Encoding::Json, &b"[1, 2]"[..]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonMessage {
    /// `hello`: the versions the peer speaks.
    Hello {
        /// Oldest version.
        min: u64,
        /// Newest version.
        max: u64,
        /// Info map, MessagePack.
        info: Vec<u8>,
        /// Whether notifications to everybody are to reach it; `None` when it does not say.
        broadcasts: Option<bool>,
    },
    /// `welcome`: the version to speak.
    Welcome {
        /// The version.
        version: u64,
        /// Info map, MessagePack.
        info: Vec<u8>,
    },
    /// `register`: what the peer serves.
    Register {
        /// Where the acknowledgement goes; without it, only a failure is answered.
        id: Option<JsonId>,
        /// The sender's name for itself, which peers of the first generation wrote into every message.
        from: Option<String>,
        /// The whole message, which is the registration document. `$` has no meaning in it.
        document: Vec<u8>,
    },
    /// `registered`: whether the registration stands.
    Registered {
        /// The registration's id.
        id: Option<JsonId>,
        /// Number of the error, or 0.
        code: u64,
        /// Error map, MessagePack; empty when `code` is 0.
        error: Vec<u8>,
    },
    /// `call`, also spelled `invokefunctionmessage`.
    Call {
        /// The call's id.
        id: JsonId,
        /// Full or bare method name.
        method: String,
        /// JSON text; `None` when absent or null.
        params: Option<Vec<u8>>,
        /// `idempotent`, `items_in`, `items_out`, `opening`.
        flags: Flags,
        /// Milliseconds left.
        timeout_ms: Option<u64>,
        /// It has none, and is not to get the usual one.
        no_deadline: bool,
        /// Metadata map, MessagePack, with `to` in it; empty for none.
        meta: Vec<u8>,
    },
    /// `result` with `ok: true`.
    Reply {
        /// The call's id.
        id: JsonId,
        /// JSON text; `None` when absent or null.
        result: Option<Vec<u8>>,
    },
    /// `result` with `ok: false`, or `error`.
    Error {
        /// The call's id; an `error` may lack it.
        id: Option<JsonId>,
        /// Number of the error.
        code: u64,
        /// 0 no, 1 maybe, 2 yes.
        executed: u64,
        /// Error map, MessagePack.
        error: Vec<u8>,
    },
    /// `notify`.
    Notify {
        /// Full or bare method name.
        method: String,
        /// JSON text; `None` when absent or null.
        params: Option<Vec<u8>>,
        /// Metadata map, MessagePack, with `to` in it; empty for none.
        meta: Vec<u8>,
    },
    /// `item`.
    Item {
        /// The call's id.
        id: JsonId,
        /// JSON text; `None` when absent or null.
        value: Option<Vec<u8>>,
    },
    /// `end`.
    End {
        /// The call's id.
        id: JsonId,
        /// Items sent in all.
        count: u64,
    },
    /// `credit`.
    Credit {
        /// The call's id.
        id: JsonId,
        /// More items.
        items: u32,
        /// More bytes.
        bytes: u32,
    },
    /// `progress`.
    Progress {
        /// The call's id.
        id: JsonId,
        /// Steps done.
        done: u64,
        /// Steps in all, when known.
        total: Option<u64>,
        /// A few words for people.
        text: String,
    },
    /// `cancel`.
    Cancel {
        /// The call's id.
        id: JsonId,
        /// 0 by choice, 1 deadline.
        reason: u64,
    },
    /// `ping`.
    Ping {
        /// Any number; 0 when absent.
        nonce: u64,
    },
    /// `pong`.
    Pong {
        /// The ping's number; 0 when absent.
        nonce: u64,
    },
    /// `goaway`.
    Goaway {
        /// 1 or 2.
        step: u64,
        /// The last call that is served, by its id.
        last_id: Option<JsonId>,
        /// Why, in a few words.
        text: String,
    },
    /// `fault`.
    Fault {
        /// Number of the error.
        code: u64,
        /// One sentence.
        text: String,
    },
}

/// A JSON body as a native one.
fn body(text: &Option<Vec<u8>>) -> (Encoding, &[u8]) {
    match text {
        Some(text) => (Encoding::Json, text),
        None => (Encoding::None, &[]),
    }
}

impl JsonMessage {
    /// The id that the peer gave.
    pub fn id(&self) -> Option<&JsonId> {
        match self {
            Self::Register { id, .. } | Self::Registered { id, .. } | Self::Error { id, .. } => {
                id.as_ref()
            }
            Self::Call { id, .. }
            | Self::Reply { id, .. }
            | Self::Item { id, .. }
            | Self::End { id, .. }
            | Self::Credit { id, .. }
            | Self::Progress { id, .. }
            | Self::Cancel { id, .. } => Some(id),
            Self::Goaway { last_id, .. } => last_id.as_ref(),
            Self::Hello { .. }
            | Self::Welcome { .. }
            | Self::Notify { .. }
            | Self::Ping { .. }
            | Self::Pong { .. }
            | Self::Fault { .. } => None,
        }
    }

    /// The same as a native message with this id in place of the peer's own; the id is unused where a message has none.
    /// `None` for an error without an id, which concerns no call.
    pub fn native(&self, id: u64) -> Option<Message<'_>> {
        let none = Flags::default();
        Some(match self {
            Self::Hello { min, max, info, .. } => Message::Hello { min: *min, max: *max, info },
            Self::Welcome { version, info } => Message::Welcome { version: *version, info },
            Self::Register { document, .. } => {
                Message::Register { id, encoding: Encoding::Json, body: document }
            }
            Self::Registered { code, error, .. } => {
                Message::Registered { id, code: *code, body: error }
            }
            Self::Call { method, params, flags, timeout_ms, meta, .. } => {
                let (encoding, body) = body(params);
                let (flags, timeout_ms) = (*flags, *timeout_ms);
                Message::Call(
                    CallHeader { id, method, encoding, flags, total: None, timeout_ms, meta },
                    body,
                )
            }
            Self::Reply { result, .. } => {
                let (encoding, body) = body(result);
                Message::Reply { id, encoding, flags: none, total: None, body }
            }
            Self::Error { id: None, .. } => return None,
            Self::Error { code, executed, error, .. } => {
                let encoding = Encoding::Msgpack;
                Message::Error { id, code: *code, executed: *executed, encoding, body: error }
            }
            Self::Notify { method, params, meta } => {
                let (encoding, body) = body(params);
                Message::Notify(
                    NotifyHeader { id, method, encoding, flags: none, total: None, meta },
                    body,
                )
            }
            Self::Item { value, .. } => {
                let (encoding, body) = body(value);
                Message::Item { id, encoding, flags: none, total: None, body }
            }
            Self::End { count, .. } => Message::End { id, count: *count },
            Self::Credit { items, bytes, .. } => {
                Message::Credit { id, items: *items, bytes: *bytes }
            }
            Self::Progress { done, total, text, .. } => {
                Message::Progress { id, done: *done, total: *total, text }
            }
            Self::Cancel { reason, .. } => Message::Cancel { id, reason: *reason },
            Self::Ping { nonce } => Message::Ping { nonce: *nonce },
            Self::Pong { nonce } => Message::Pong { nonce: *nonce },
            Self::Goaway { step, text, .. } => Message::Goaway { step: *step, last_id: id, text },
            Self::Fault { code, text } => Message::Fault { code: *code, text },
        })
    }
}
