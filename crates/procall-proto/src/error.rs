//! How a call fails, and how a session ends.

use crate::{Encoding, ErrorCode, Message};

/// Whether the handler's first instruction ran.
///
/// `No` is a guarantee: the complete request was never handed to the peer, or the peer's own runtime says that it did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Executed {
    /// It did not run.
    No,
    /// It may have run.
    Maybe,
    /// It ran.
    Yes,
}

impl Executed {
    /// The word used on the wire's JSON form, in logs and in every language.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Maybe => "maybe",
            Self::Yes => "yes",
        }
    }

    /// The wire number: 0 no, 1 maybe, 2 yes.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The verdict with this wire number. Numbers that this version does not know mean `Maybe`, the one that promises nothing.
    pub const fn from_number(number: u64) -> Self {
        match number {
            0 => Self::No,
            2 => Self::Yes,
            _ => Self::Maybe,
        }
    }
}

impl std::fmt::Display for Executed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call failed, as the session knows it: a code, a verdict and the error map that the peer sent or the session wrote.
///
/// The error map's keys are in `spec/protocol.md`, section 5; the session does not look into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong. A number this version does not know arrives as [`ErrorCode::Internal`].
    pub code: ErrorCode,
    /// Whether the handler ran.
    pub executed: Executed,
    /// Encoding of `body`.
    pub encoding: Encoding,
    /// The peer's error map, or empty.
    pub body: Vec<u8>,
    /// The session's own sentence when the failure arose on this side or has a number that this version does not know, else empty.
    pub message: String,
}

impl Failure {
    /// A failure found on this side, with the code's usual verdict.
    pub fn local(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            executed: code.executed(),
            encoding: Encoding::None,
            body: Vec::new(),
            message: message.into(),
        }
    }

    /// A failure of the peer's, as the wire has it: a code that this version does not know is [`ErrorCode::Internal`], and the message says
    /// its number.
    ///
    /// ```
    /// use procall_proto::{Encoding, ErrorCode, Failure};
    ///
    /// let failure = Failure::remote(9999, 2, Encoding::None, Vec::new());
    /// assert_eq!(failure.code, ErrorCode::Internal);
    /// assert!(failure.message.contains("9999"));
    /// ```
    pub fn remote(code: u64, executed: u64, encoding: Encoding, body: Vec<u8>) -> Self {
        let known = u16::try_from(code).ok().and_then(ErrorCode::from_number);
        Self {
            code: known.unwrap_or(ErrorCode::Internal),
            executed: Executed::from_number(executed),
            encoding,
            body,
            message: match known {
                Some(_) => String::new(),
                None => format!("an error with the code {code}, which is unknown here"),
            },
        }
    }

    /// The same with another verdict.
    pub fn with_executed(mut self, executed: Executed) -> Self {
        self.executed = executed;
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} (executed: {})", self.code, self.message, self.executed)
    }
}

impl std::error::Error for Failure {}

/// Why a session ended. After a fault every call of the session has failed and nothing more is sent but the fault message itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Fault {
    /// What went wrong.
    pub code: ErrorCode,
    /// One sentence for people.
    pub message: String,
    /// True when the peer sent the fault, false when this side found it.
    pub remote: bool,
}

impl Fault {
    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self { code: ErrorCode::ProtocolError, message: message.into(), remote: false }
    }

    /// A fault of this side's, such as one for a peer that is refused before there is a session.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), remote: false }
    }

    /// The message that tells the peer.
    ///
    /// ```
    /// use procall_proto::{ErrorCode, Fault, Message};
    ///
    /// let bytes = Fault::new(ErrorCode::Overloaded, "full").encode();
    /// let message = Message::decode(&bytes).unwrap();
    /// assert_eq!(message, Some(Message::Fault { code: ErrorCode::Overloaded.number().into(), text: "full" }));
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        Message::Fault { code: self.code.number().into(), text: &self.message }.encode(&mut bytes);
        bytes
    }
}
