//! What a connection keeps for a call of ours until its handle has taken it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Poll, Waker};

use procall_proto::{Body, CallId, Encoding, ErrorCode, Failure, Time};

use super::Lease;
use crate::codec;
use crate::error::Error;
use crate::lent::{self, Lent};
use crate::metrics::Ending;

/// A value and how it is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The encoding of `bytes`.
    pub encoding: Encoding,
    /// The value.
    pub bytes: Vec<u8>,
    /// Large arrays of the value that are not among its bytes; [`filled_in`](Self::filled_in) has them there.
    pub lent: Lent,
}

impl Encoded {
    /// No value.
    pub const NONE: Self = Self::new(Encoding::None, Vec::new());

    /// A value of these bytes.
    pub const fn new(encoding: Encoding, bytes: Vec<u8>) -> Self {
        Self { encoding, bytes, lent: Lent::NONE }
    }

    /// The same, with the bytes of all its arrays in it. INVALID_ARGUMENT when one of them is nowhere.
    pub fn filled_in(self) -> Result<Self, Error> {
        if self.lent.is_none() {
            return Ok(self);
        }
        Ok(Self::new(self.encoding, self.lent.fill_in(&self.bytes)?))
    }

    /// For a session to send.
    pub(crate) fn body(&self) -> Body<'_> {
        Body::new(self.encoding, &self.bytes).holding(self.lent.held())
    }

    /// What arrived as it is given to whoever waits for it: with all its arrays in it, unless somebody can look at them where they are.
    pub(crate) fn arrived(self) -> Result<Self, Error> {
        if lent::keeps_lent() { Ok(self) } else { self.filled_in() }
    }

    /// A value, encoded. INVALID_RESULT when it cannot be.
    ///
    /// ```
    /// use procall::Encoded;
    ///
    /// let encoded = Encoded::of(&(1, "two"))?;
    /// assert_eq!(encoded.decode::<(i64, String)>()?, (1, "two".to_owned()));
    /// # Ok::<(), procall::Error>(())
    /// ```
    pub fn of<T: serde::Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        match codec::encode(value) {
            Ok(bytes) => Ok(Self::new(Encoding::Msgpack, bytes)),
            Err(error) => Err(Error::new(
                ErrorCode::InvalidResult,
                format!("the result cannot be encoded: {error}"),
            )),
        }
    }

    /// The value. INVALID_ARGUMENT when it is not of this type.
    pub fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        if self.lent.is_none() {
            return codec::decode(self.encoding, &self.bytes);
        }
        codec::decode(self.encoding, &self.lent.fill_in(&self.bytes)?)
    }
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Reply(Encoded),
    /// The stream of the answer is complete.
    End,
    Failed(Box<Failure>),
}

impl Outcome {
    pub(crate) fn ending(&self) -> Ending {
        match self {
            Self::Reply(_) | Self::End => Ending::Succeeded,
            Self::Failed(failure) if failure.code == ErrorCode::Cancelled => Ending::Cancelled,
            Self::Failed(_) => Ending::Failed,
        }
    }
}

/// How far the handler of a call has come.
///
/// ```
/// use procall::Progress;
///
/// let progress = Progress { done: 3, total: Some(4), text: "shards".into() };
/// assert_eq!(progress.to_string(), "3/4 shards");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Steps done.
    pub done: u64,
    /// Steps in all, when known.
    pub total: Option<u64>,
    /// A few words for people; may be empty.
    pub text: String,
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.done)?;
        if let Some(total) = self.total {
            write!(f, "/{total}")?;
        }
        if !self.text.is_empty() {
            write!(f, " {}", self.text)?;
        }
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct Slot {
    /// 0, which no call has, while it waits for its turn.
    pub(crate) id: CallId,
    /// Where it stands in the line of those who wait for their turn.
    pub(crate) place: Option<u64>,
    pub(crate) outcome: Option<Outcome>,
    /// Items that arrived and were not taken; bounded by the stream's credit.
    pub(crate) items: VecDeque<Encoded>,
    /// The newest progress that was not taken.
    pub(crate) progress: Option<Progress>,
    /// Who waits for the outcome, an item or progress.
    pub(crate) waker: Option<Waker>,
    /// Who waits for credit to send an item.
    pub(crate) send_waker: Option<Waker>,
    /// Somebody to tell when the peer is no longer busy with the call.
    pub(crate) lease: Option<Arc<dyn Lease>>,
    /// The handle is gone: nobody will take anything any more.
    pub(crate) dropped: bool,
    /// The session is done with the call.
    pub(crate) settled: bool,
    /// When it was started, a wait for a worker included.
    pub(crate) began: Time,
}

impl Slot {
    /// The outcome, once all items before it are taken.
    pub(crate) fn poll_outcome(&mut self, waker: &Waker) -> Poll<Outcome> {
        if self.items.is_empty()
            && let Some(outcome) = self.outcome.take()
        {
            return Poll::Ready(outcome);
        }
        self.register(waker);
        Poll::Pending
    }

    pub(crate) fn register(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(current) => current.clone_from(waker),
            None => self.waker = Some(waker.clone()),
        }
    }
}
