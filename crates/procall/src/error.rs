//! The one error of the public interface.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use procall_proto::{
    Blocked, Body, CallId, Encoding, ErrorCode, Executed, Failure, Fault, Session, scan,
};
use serde::{Deserialize, Serialize};

/// Why a call, a connection or a pool failed.
///
/// Every error has a [`code`](Self::code) that is the same in all languages and says whether the handler ran ([`executed`](Self::executed)).
/// `Display` is one line; `Debug` is a report.
///
/// ```
/// use procall::{Error, ErrorCode, Executed};
///
/// let error = Error::new(ErrorCode::Overloaded, "256 calls wait already");
/// assert_eq!(error.executed(), Executed::No);
/// assert!(error.is_retryable());
/// assert_eq!(error.to_string(), "OVERLOADED: 256 calls wait already (executed: no)");
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: ErrorCode,
    executed: Executed,
    attempts: u32,
    map: ErrorMap,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// One field of the arguments that was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Where: a JSON pointer into the params, such as `/user` or `/0`; empty for the params as a whole.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.path {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// The error map of the wire, section 5 of the specification.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct ErrorMap {
    message: String,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    type_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    trace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_retry: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    worker: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<FieldError>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    chain: Vec<String>,
    /// MessagePack of the service's own error value, which stands in the map as it is; see [`ErrorMap::encode`].
    #[serde(skip)]
    details: Vec<u8>,
}

const DETAILS: &str = "details";

impl ErrorMap {
    fn encode(&self) -> Vec<u8> {
        // A map of texts and numbers always encodes; were it not so, the code and verdict still arrive.
        let mut bytes = crate::codec::encode(self).unwrap_or_default();
        let valid = scan::msgpack(&self.details, &scan::Bounds::default()).is_ok();
        if valid && let Some(head) = bytes.first_mut() {
            // A map of less than 16 entries says how many in its first byte.
            *head += 1;
            procall_proto::wire::Writer::new(&mut bytes).text(DETAILS);
            bytes.extend_from_slice(&self.details);
        }
        bytes
    }

    fn decode(encoding: Encoding, bytes: &[u8]) -> Result<Self, String> {
        let bytes = crate::codec::to_msgpack(encoding, bytes)
            .map_err(|error| error.message().to_owned())?;
        let mut map: Self =
            crate::codec::decode_checked(&bytes).map_err(|error| error.to_string())?;
        let mut reader = procall_proto::wire::Reader::new(&bytes);
        for _ in 0..reader.map().unwrap_or_default() {
            let is_details = reader.text("a key").is_ok_and(|key| key == DETAILS);
            let Ok(value) = reader.skip_any() else { break };
            if is_details {
                map.details = value.to_vec();
            }
        }
        Ok(map)
    }
}

impl Error {
    /// An error with its code's usual verdict on whether the handler ran.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let map = ErrorMap { message: message.into(), ..ErrorMap::default() };
        Self(Box::new(Inner { code, executed: code.executed(), attempts: 1, map, source: None }))
    }

    /// An error of a handler: its type and what it says.
    pub fn handler(type_name: impl Into<String>, message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorCode::HandlerError, message);
        error.0.map.type_name = type_name.into();
        error
    }

    /// Arguments that cannot be taken: INVALID_ARGUMENT.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// The same with another verdict.
    #[must_use]
    pub fn with_executed(mut self, executed: Executed) -> Self {
        self.0.executed = executed;
        self
    }

    /// The same, naming the worker it happened at.
    #[must_use]
    pub fn with_worker(mut self, worker: impl Into<String>) -> Self {
        self.0.map.worker = worker.into();
        self
    }

    /// The same with more text after the message, on lines of its own.
    #[must_use]
    pub fn with_trace(mut self, trace: impl Into<String>) -> Self {
        self.0.map.trace = trace.into();
        self
    }

    /// The same with a pause after which a retry makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        self.0.map.retry_after_ms = Some(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// The same, with which the call is not to be made again, whatever the code.
    ///
    /// ```
    /// use procall::{Error, ErrorCode};
    ///
    /// assert!(Error::new(ErrorCode::Overloaded, "closing for today").with_no_retry().no_retry());
    /// ```
    #[must_use]
    pub fn with_no_retry(mut self) -> Self {
        self.0.map.no_retry = true;
        self
    }

    /// The same after so many attempts.
    #[must_use]
    pub(crate) fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// The same with the fields that were wrong.
    #[must_use]
    pub fn with_fields(mut self, fields: Vec<FieldError>) -> Self {
        self.0.map.fields = fields;
        self
    }

    /// The same with names that were perhaps meant.
    #[must_use]
    pub fn with_candidates(mut self, candidates: Vec<String>) -> Self {
        self.0.map.candidates = candidates;
        self
    }

    /// The same with the cycle of a DEADLOCK: the calls that wait for one another, outermost first, and last the one that failed.
    #[must_use]
    pub fn with_chain(mut self, chain: Vec<String>) -> Self {
        self.0.map.chain = chain;
        self
    }

    /// The same with a value of the service's own, as MessagePack.
    #[must_use]
    pub fn with_raw_details(mut self, details: Vec<u8>) -> Self {
        self.0.map.details = details;
        self
    }

    /// The same with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// What went wrong; the same name in every language.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// Whether the handler ran. [`Executed::No`] is a guarantee.
    pub fn executed(&self) -> Executed {
        self.0.executed
    }

    /// Whether the same call may succeed later. Re-sending is safe only when it was not executed or is idempotent.
    pub fn is_retryable(&self) -> bool {
        self.0.code.retryable()
    }

    /// One sentence for people.
    pub fn message(&self) -> &str {
        let own = &self.0.map.message;
        if own.is_empty() { self.0.code.sentence() } else { own }
    }

    /// The class of the handler's exception, such as `ValueError`.
    pub fn remote_type(&self) -> Option<&str> {
        some(&self.0.map.type_name)
    }

    /// The handler's stack trace, or a lost worker's last words.
    pub fn trace(&self) -> Option<&str> {
        some(&self.0.map.trace)
    }

    /// The worker it happened at, such as `calc/2 (pid 4131)`.
    pub fn worker(&self) -> Option<&str> {
        some(&self.0.map.worker)
    }

    /// How long to wait before another try.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.map.retry_after_ms.map(Duration::from_millis)
    }

    /// Whether the other side forbids to make the call again.
    pub fn no_retry(&self) -> bool {
        self.0.map.no_retry
    }

    /// How often the call was made before this error came out of it: 1 unless it was [retried](crate::start_retrying).
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The arguments that were wrong.
    pub fn fields(&self) -> &[FieldError] {
        &self.0.map.fields
    }

    /// Names that were perhaps meant.
    pub fn candidates(&self) -> &[String] {
        &self.0.map.candidates
    }

    /// The cycle of a DEADLOCK: the calls that wait for one another, outermost first, and last the one that failed; by their methods where
    /// those are known.
    pub fn chain(&self) -> &[String] {
        &self.0.map.chain
    }

    /// The service's own error value, when there is one and it is a `T`.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// use procall::{Error, IntoError};
    ///
    /// #[derive(Debug, PartialEq, Serialize, Deserialize)]
    /// struct NotAnImage { path: String }
    /// impl std::fmt::Display for NotAnImage {
    ///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    ///         write!(f, "{} is not an image", self.path)
    ///     }
    /// }
    /// impl std::error::Error for NotAnImage {}
    ///
    /// let error: Error = NotAnImage { path: "a.txt".into() }.into_error();
    /// assert_eq!(error.remote_type(), Some("NotAnImage"));
    /// assert_eq!(error.details::<NotAnImage>().unwrap().path, "a.txt");
    /// ```
    pub fn details<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        crate::codec::decode(Encoding::Msgpack, &self.0.map.details).ok()
    }

    /// The service's own error value as MessagePack; empty when there is none.
    pub fn raw_details(&self) -> &[u8] {
        &self.0.map.details
    }

    /// All but the code and the verdict, as the wire carries it: a map, MessagePack. A map of texts and numbers always encodes.
    ///
    /// ```
    /// use procall::{Error, ErrorCode, json};
    ///
    /// let error = Error::new(ErrorCode::NotFound, "no such method");
    /// assert_eq!(json::to_json(&error.encoded()).unwrap(), br#"{"message":"no such method"}"#);
    /// assert_eq!(Error::decoded(2, 0, error.encoded()).message(), "no such method");
    /// ```
    pub fn encoded(&self) -> Vec<u8> {
        self.0.map.encode()
    }

    /// The error that the wire carries as these two numbers and this map, MessagePack; a code that is not known counts as INTERNAL.
    pub fn decoded(code: u64, executed: u64, map: Vec<u8>) -> Self {
        Self::from_failure(Failure::remote(code, executed, Encoding::Msgpack, map))
    }

    pub(crate) fn from_failure(failure: Failure) -> Self {
        let own = failure.message.clone();
        let mut error = Self::new(failure.code, failure.message).with_executed(failure.executed);
        if !failure.body.is_empty() {
            match ErrorMap::decode(failure.encoding, &failure.body) {
                Ok(map) => {
                    error.0.map = map;
                    // Beside what the peer says stands what it cannot know: that its code is unknown here.
                    let said = &mut error.0.map.message;
                    match (own.is_empty(), said.is_empty()) {
                        (true, _) => {}
                        (false, true) => *said = own,
                        (false, false) => *said = format!("{said} ({own})"),
                    }
                }
                Err(cause) => {
                    error.0.map.message = format!(
                        "{} (the peer's description could not be read: {cause})",
                        failure.code.sentence(),
                    );
                }
            }
        }
        error
    }

    pub(crate) fn from_fault(fault: &Fault) -> Self {
        Self::new(fault.code, fault.message.clone())
    }

    /// Sends this error as the answer to a call of the peer's.
    pub(crate) fn send(&self, session: &mut Session, id: CallId) -> Result<(), Blocked> {
        let map = self.encoded();
        let encoding = if map.is_empty() { Encoding::None } else { Encoding::Msgpack };
        session.fail(id, self.0.code, self.0.executed, Body::new(encoding, &map))
    }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code())?;
        if let Some(class) = self.remote_type() {
            write!(f, "{class}: ")?;
        }
        write!(f, "{} (executed: {}", self.message(), self.executed())?;
        match self.attempts() {
            1 => f.write_str(")"),
            attempts => write!(f, ", attempts: {attempts})"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}] {}", self.code(), self.message())?;
        write!(f, "\n  executed  {}", self.executed())?;
        if self.attempts() > 1 {
            write!(f, "\n  attempts  {}", self.attempts())?;
        }
        for (name, value) in [
            ("type", self.remote_type()),
            ("worker", self.worker()),
            ("fix", some(self.code().fix())),
        ] {
            if let Some(value) = value {
                write!(f, "\n  {name:<8}  {value}")?;
            }
        }
        for field in self.fields() {
            write!(f, "\n  field     {}: {}", field.path, field.message)?;
        }
        if !self.candidates().is_empty() {
            write!(f, "\n  perhaps   {}", self.candidates().join(", "))?;
        }
        if !self.chain().is_empty() {
            write!(f, "\n  chain     {}", self.chain().join(" → "))?;
        }
        if let Some(source) = &self.0.source {
            write!(f, "\n  cause     {source}")?;
        }
        if let Some(trace) = self.trace() {
            write!(f, "\n  trace\n{trace}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// What a handler may fail with: an [`Error`], or any error type of its own that serde can write.
///
/// An own type arrives at the caller as HANDLER_ERROR with the type's name, its message, and its value in [`Error::details`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a method",
    note = "use `procall::Error`, or an own type that implements `std::error::Error` and `serde::Serialize`"
)]
pub trait IntoError {
    /// The error as the caller will see it.
    fn into_error(self) -> Error;
}

impl IntoError for Error {
    fn into_error(self) -> Error {
        self
    }
}

impl<E: std::error::Error + Serialize> IntoError for E {
    fn into_error(self) -> Error {
        let full = std::any::type_name::<E>();
        let name = full.split('<').next().and_then(|path| path.rsplit("::").next()).unwrap_or(full);
        let error = Error::handler(name, self.to_string());
        match crate::codec::encode(&self) {
            Ok(details) => error.with_raw_details(details),
            // The caller still gets type and message.
            Err(_) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_stand_in_the_map_as_the_value_they_are() {
        let error = Error::handler("Full", "no room").with_raw_details(vec![0x81, 0xa1, b'n', 7]);
        let bytes = error.encoded();
        let map: serde_json::Value = crate::codec::decode(Encoding::Msgpack, &bytes).unwrap();
        assert_eq!(map["details"], serde_json::json!({"n": 7}));
        let read = ErrorMap::decode(Encoding::Msgpack, &bytes).unwrap();
        assert_eq!((&*read.type_name, &*read.details), ("Full", &[0x81, 0xa1, b'n', 7][..]));
    }

    #[test]
    fn details_of_a_peer_may_be_anything() {
        let json = br#"{"message": "no", "details": [1, {"a": null}], "new": {"key": 1}}"#;
        let read = ErrorMap::decode(Encoding::Json, json).unwrap();
        assert_eq!(read.message, "no");
        let details: serde_json::Value =
            crate::codec::decode(Encoding::Msgpack, &read.details).unwrap();
        assert_eq!(details, serde_json::json!([1, {"a": null}]));
    }

    #[test]
    fn a_code_of_a_newer_peer_is_shown_with_its_number() {
        let map = Error::new(ErrorCode::Internal, "out of paper").encoded();
        let error = Error::decoded(9999, 2, map);
        assert_eq!((error.code(), error.executed()), (ErrorCode::Internal, Executed::Yes));
        assert_eq!(
            error.message(),
            "out of paper (an error with the code 9999, which is unknown here)"
        );
        let bare = Error::decoded(9999, 0, Vec::new());
        assert_eq!(bare.message(), "an error with the code 9999, which is unknown here");
    }

    #[test]
    fn details_that_are_no_messagepack_are_left_out() {
        let error = Error::handler("Full", "no room").with_raw_details(vec![0xc1]);
        let read = ErrorMap::decode(Encoding::Msgpack, &error.encoded()).unwrap();
        assert_eq!((&*read.message, read.details.len()), ("no room", 0));
    }
}
