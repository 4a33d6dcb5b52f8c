//! What goes into a session and what comes out of it.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{Encoding, Executed, Failure, Fault, Time};

/// The id of a call: odd when the initiator made it, even when the acceptor did.
pub type CallId = u64;

/// Something that a body needs until it is sent, such as memory that it refers to. Sessions do not look into it.
pub type Held = Option<Arc<dyn Any + Send + Sync>>;

/// A body to send: its encoding and its bytes, lent or owned.
///
/// Lent bytes up to a chunk are copied once, into the outgoing buffer; owned bytes above a chunk are never copied whole.
#[derive(Debug, Clone)]
pub struct Body<'a> {
    pub(crate) encoding: Encoding,
    pub(crate) data: Data<'a>,
    pub(crate) held: Held,
}

#[derive(Debug, Clone)]
pub(crate) enum Data<'a> {
    Lent(&'a [u8]),
    Owned(Bytes),
}

impl<'a> Body<'a> {
    /// No body: no arguments, or no value.
    pub const fn empty() -> Self {
        Self { encoding: Encoding::None, data: Data::Lent(&[]), held: None }
    }

    /// MessagePack bytes.
    pub const fn msgpack(bytes: &'a [u8]) -> Self {
        Self::new(Encoding::Msgpack, bytes)
    }

    /// Bytes in the encoding given.
    pub const fn new(encoding: Encoding, bytes: &'a [u8]) -> Self {
        Self { encoding, data: Data::Lent(bytes), held: None }
    }

    /// Bytes that may be taken if that is cheaper than to copy them: longer than [`HAND_OVER`](Self::HAND_OVER), they leave nothing behind.
    pub fn taken(encoding: Encoding, bytes: &'a mut Vec<u8>) -> Self {
        if bytes.len() > Self::HAND_OVER {
            Self::owned(encoding, std::mem::take(bytes))
        } else {
            Self::new(encoding, bytes)
        }
    }

    /// What is at most as long as this, the bytes of one chunk, is cheaper to copy than to hand over.
    pub const HAND_OVER: usize = 64 << 10;

    /// Owned bytes in the encoding given.
    pub fn owned(encoding: Encoding, bytes: impl Into<Bytes>) -> Self {
        Self { encoding, data: Data::Owned(bytes.into()), held: None }
    }

    /// The same with bytes of its own: copied only when they were lent.
    pub fn into_owned(self) -> Body<'static> {
        let data = match self.data {
            Data::Lent(bytes) => Bytes::copy_from_slice(bytes),
            Data::Owned(bytes) => bytes,
        };
        Body { encoding: self.encoding, data: Data::Owned(data), held: self.held }
    }

    /// The same, and `held` lives until the message that has it in one piece was sent, or is not to be sent any more. A body that is sent in
    /// chunks holds nothing.
    #[must_use]
    pub fn holding(self, held: Held) -> Self {
        Self { held, ..self }
    }

    /// What it holds.
    pub const fn held(&self) -> &Held {
        &self.held
    }

    /// The encoding of the bytes.
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::Lent(bytes) => bytes,
            Data::Owned(bytes) => bytes,
        }
    }
}

/// How a call is to be made.
///
/// ```
/// use std::time::Duration;
/// use procall_proto::Options;
///
/// let options = Options { timeout: Some(Duration::from_millis(80)), ..Options::default() };
/// assert!(!options.items_out);
/// ```
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Time until the deadline, 30 s; `None` means no deadline.
    pub timeout: Option<Duration>,
    /// For streams: whether the timeout covers the whole call (`true`) or only until the first item (`false`, the default).
    pub whole: bool,
    /// The caller sends items.
    pub items_in: bool,
    /// The caller expects items.
    pub items_out: bool,
    /// The method may run more than once without harm.
    pub idempotent: bool,
    /// The metadata map, encoded as MessagePack; empty for none.
    pub meta: &'a [u8],
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(30)),
            whole: false,
            items_in: false,
            items_out: false,
            idempotent: false,
            meta: &[],
        }
    }
}

/// A body that arrived: borrowed from the message, or put together from chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<'a> {
    /// It came in one message.
    Borrowed(&'a [u8]),
    /// It came in chunks.
    Owned(Vec<u8>),
}

impl Payload<'_> {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    /// The bytes, copied only when they are borrowed.
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Borrowed(bytes) => bytes.to_vec(),
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A call that the peer made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingCall<'a> {
    /// Its id; the answer names it.
    pub id: CallId,
    /// Full or bare method name.
    pub method: Cow<'a, str>,
    /// Encoding of the params.
    pub encoding: Encoding,
    /// The params.
    pub body: Payload<'a>,
    /// The caller sends items.
    pub items_in: bool,
    /// The caller expects items.
    pub items_out: bool,
    /// The caller says that it may run more than once.
    pub idempotent: bool,
    /// When the caller gives up; [`Time::NEVER`] when it never does.
    pub deadline: Time,
    /// The deadline covers only the time to the first item of the answer: calls made on the way do not inherit it.
    pub opening: bool,
    /// The metadata map, encoded as MessagePack; empty for none.
    pub meta: Cow<'a, [u8]>,
}

/// Why a call of the peer's is no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The caller said so.
    Cancelled,
    /// Its deadline passed.
    Deadline,
    /// The caller is gone: the link ended.
    Gone,
}

/// What happened. `token` is the number that the driver gave with [`Session::call`](crate::Session::call); it is `None` on events about the peer's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// The handshake is done; [`Session::peer`](crate::Session::peer) knows the other side.
    Ready,
    /// The peer says what it serves; answer with [`Session::registered`](crate::Session::registered).
    Registration {
        /// Names the registration in the answer.
        id: CallId,
        /// Encoding of the document.
        encoding: Encoding,
        /// The registration document.
        body: Payload<'a>,
    },
    /// The peer's answer to our registration.
    Registered {
        /// Success, or why not.
        result: Result<(), Failure>,
    },
    /// The peer calls.
    Call(IncomingCall<'a>),
    /// The peer notifies.
    Notify {
        /// Full or bare method name.
        method: Cow<'a, str>,
        /// Encoding of the params.
        encoding: Encoding,
        /// The params.
        body: Payload<'a>,
        /// The metadata map, encoded as MessagePack; empty for none.
        meta: Cow<'a, [u8]>,
    },
    /// A call of ours succeeded.
    Reply {
        /// The call.
        id: CallId,
        /// The driver's number for it.
        token: u64,
        /// Encoding of the result.
        encoding: Encoding,
        /// The result.
        body: Payload<'a>,
    },
    /// A call of ours failed.
    Failed {
        /// The call.
        id: CallId,
        /// The driver's number for it.
        token: u64,
        /// Why.
        failure: Failure,
    },
    /// The peer is done with a call of ours that had its outcome before: it is no longer busy with it.
    Settled {
        /// The call.
        id: CallId,
        /// The driver's number for it.
        token: u64,
    },
    /// A value of a stream arrived. Tell the session with [`Session::consumed`](crate::Session::consumed) once it has been taken.
    Item {
        /// The call.
        id: CallId,
        /// The driver's number when the call is ours.
        token: Option<u64>,
        /// Encoding of the value.
        encoding: Encoding,
        /// The value.
        body: Payload<'a>,
    },
    /// A stream is complete. On a call of ours this is its success.
    End {
        /// The call.
        id: CallId,
        /// The driver's number when the call is ours.
        token: Option<u64>,
        /// Items in all.
        count: u64,
    },
    /// A stream that was [`Blocked`] may send again.
    Writable {
        /// The call.
        id: CallId,
        /// The driver's number when the call is ours.
        token: Option<u64>,
    },
    /// The handler of a call of ours reports how far it has come.
    Progress {
        /// The call.
        id: CallId,
        /// The driver's number for it.
        token: u64,
        /// Steps done.
        done: u64,
        /// Steps in all, when known.
        total: Option<u64>,
        /// A few words; empty for none.
        text: Cow<'a, str>,
    },
    /// A call of the peer's is no longer wanted; it must still be answered, unless the peer is gone.
    Cancelled {
        /// The call.
        id: CallId,
        /// Why.
        reason: Reason,
    },
    /// A pong came back.
    Pong {
        /// The ping's number.
        nonce: u64,
        /// Time between the two.
        round_trip: Duration,
    },
    /// The peer has missed as many heartbeats in a row as allowed.
    Suspected,
    /// A suspected peer answers again.
    Recovered,
    /// The peer takes no new calls.
    GoingAway {
        /// Why, in a few words.
        text: Cow<'a, str>,
    },
    /// Our own drain is done: no call of the peer's is left.
    Drained,
    /// The session is over. Every call has its outcome already.
    Ended(Fault),
}

impl Event<'_> {
    /// The same with bytes of its own.
    pub fn into_owned(self) -> Event<'static> {
        let body = |body: Payload<'_>| Payload::Owned(body.into_vec());
        match self {
            Self::Registration { id, encoding, body: document } => {
                Event::Registration { id, encoding, body: body(document) }
            }
            Self::Call(call) => Event::Call(IncomingCall {
                method: Cow::Owned(call.method.into_owned()),
                body: body(call.body),
                meta: Cow::Owned(call.meta.into_owned()),
                ..call
            }),
            Self::Notify { method, encoding, body: params, meta } => Event::Notify {
                method: Cow::Owned(method.into_owned()),
                encoding,
                body: body(params),
                meta: Cow::Owned(meta.into_owned()),
            },
            Self::Reply { id, token, encoding, body: result } => {
                Event::Reply { id, token, encoding, body: body(result) }
            }
            Self::Item { id, token, encoding, body: value } => {
                Event::Item { id, token, encoding, body: body(value) }
            }
            Self::Progress { id, token, done, total, text } => {
                let text = Cow::Owned(text.into_owned());
                Event::Progress { id, token, done, total, text }
            }
            Self::GoingAway { text } => Event::GoingAway { text: Cow::Owned(text.into_owned()) },
            Self::Ready => Event::Ready,
            Self::Registered { result } => Event::Registered { result },
            Self::Failed { id, token, failure } => Event::Failed { id, token, failure },
            Self::Settled { id, token } => Event::Settled { id, token },
            Self::End { id, token, count } => Event::End { id, token, count },
            Self::Writable { id, token } => Event::Writable { id, token },
            Self::Cancelled { id, reason } => Event::Cancelled { id, reason },
            Self::Pong { nonce, round_trip } => Event::Pong { nonce, round_trip },
            Self::Suspected => Event::Suspected,
            Self::Recovered => Event::Recovered,
            Self::Drained => Event::Drained,
            Self::Ended(fault) => Event::Ended(fault),
        }
    }

    pub(crate) fn failed(
        id: CallId,
        token: u64,
        failure: Failure,
        executed: Executed,
    ) -> Event<'static> {
        Event::Failed { id, token, failure: failure.with_executed(executed) }
    }
}

/// What the peer said of itself in the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// The protocol version spoken.
    pub version: u64,
    /// Its own id; empty when it gave none.
    pub id: String,
    /// What its part of the session is called where chains of calls name it; empty when it gave none.
    pub mark: String,
    /// A name for people; empty when it gave none.
    pub name: String,
    /// Its implementation, such as `rust/0.1.0`.
    pub runtime: String,
    /// Its process id, 0 when it gave none. A claim, not a proof: `unix` links know the real one.
    pub pid: u32,
    /// The service that it is there for; empty when it named none.
    pub want: String,
    /// Optional parts of the protocol that it understands.
    pub features: Vec<String>,
    /// Longest chunk it takes, in bytes.
    pub chunk: usize,
    /// Longest message it takes, in bytes.
    pub max_message: usize,
    /// Calls it serves at once.
    pub max_calls: usize,
    /// Its stream window in items.
    pub stream_items: u32,
    /// Its stream window in bytes.
    pub stream_bytes: u32,
    /// Which of this side's [`Config::secrets`](crate::Config::secrets) it has shown, counted from 0; `None` when it has shown none of them.
    pub secret: Option<usize>,
}

/// A stream has no credit left; [`Event::Writable`] says when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// No credit now.
    #[error("the reader of the stream is not ready for more")]
    Credit,
    /// The call is over, or it has no stream in this direction: nothing more can be sent.
    #[error("the stream is over")]
    Over,
}

/// Numbers for people who look at a session from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Answers that came after their call had its outcome; dropped.
    pub late: u64,
    /// Chunks of bodies that nobody waits for; dropped.
    pub stray_chunks: u64,
    /// Messages of unknown kind; skipped.
    pub unknown: u64,
    /// Calls refused because too many were in flight.
    pub refused: u64,
    /// Notifications of the peer's that were dropped, because they were too long or too many were unfinished.
    pub dropped: u64,
}
