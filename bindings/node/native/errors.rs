//! Errors to JavaScript and back, as MessagePack maps.

use std::error::Error as _;
use std::time::Duration;

use procall::{Error, ErrorCode, Executed, FieldError};
use serde::{Deserialize, Serialize, Serializer};

/// An error as JavaScript sees it; the names are those of `ProcallError`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outgoing<'a> {
    code: &'static str,
    executed: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_trace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_retry: bool,
    #[serde(skip_serializing_if = "is_one")]
    attempts: u32,
    fields: &'a [FieldError],
    candidates: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    chain: &'a [String],
    #[serde(skip_serializing_if = "Bytes::is_empty")]
    details: Bytes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_one(attempts: &u32) -> bool {
    *attempts == 1
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// The map of an error.
pub(crate) fn to_map(error: &Error) -> Vec<u8> {
    let outgoing = Outgoing {
        code: error.code().name(),
        executed: error.executed().as_str(),
        message: error.message(),
        remote_type: error.remote_type(),
        remote_trace: error.trace(),
        worker: error.worker(),
        retry_after_ms: error
            .retry_after()
            .map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
        no_retry: error.no_retry(),
        attempts: error.attempts(),
        fields: error.fields(),
        candidates: error.candidates(),
        chain: error.chain(),
        details: Bytes(error.raw_details()),
        cause: error.source().map(ToString::to_string),
    };
    let mut bytes = Vec::with_capacity(256);
    // Texts and numbers always encode into memory.
    let _ = outgoing.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map());
    bytes
}

/// What was closed takes no more calls, and is asked in vain.
pub(crate) fn closed(what: &str) -> Error {
    Error::new(ErrorCode::Closed, format!("the {what} was closed"))
}

/// What a handler failed with, as JavaScript says it.
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Incoming {
    code: String,
    message: String,
    remote_type: String,
    remote_trace: String,
    retry_after_ms: Option<u64>,
    no_retry: bool,
    started: bool,
    fields: Vec<FieldError>,
    candidates: Vec<String>,
    chain: Vec<String>,
    #[serde(with = "bytes")]
    details: Vec<u8>,
}

mod bytes {
    use serde::Deserializer;
    use serde::de::{Error, Visitor};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }
}

/// The error that JavaScript wrote as a map.
pub(crate) fn from_map(bytes: &[u8]) -> Error {
    let incoming: Incoming = match rmp_serde::from_slice(bytes) {
        Ok(incoming) => incoming,
        Err(error) => {
            return Error::new(ErrorCode::Internal, format!("an error could not be read: {error}"));
        }
    };
    let code = ErrorCode::from_name(&incoming.code).unwrap_or(ErrorCode::HandlerError);
    let mut error = match code {
        ErrorCode::HandlerError => Error::handler(incoming.remote_type, incoming.message),
        code => Error::new(code, incoming.message),
    };
    if incoming.started {
        error = error.with_executed(Executed::Yes);
    }
    if !incoming.remote_trace.is_empty() {
        error = error.with_trace(incoming.remote_trace);
    }
    if let Some(pause) = incoming.retry_after_ms {
        error = error.with_retry_after(Duration::from_millis(pause));
    }
    if incoming.no_retry {
        error = error.with_no_retry();
    }
    if !incoming.details.is_empty() {
        error = error.with_raw_details(incoming.details);
    }
    error
        .with_fields(incoming.fields)
        .with_candidates(incoming.candidates)
        .with_chain(incoming.chain)
}

/// An error as an exception of JavaScript, for calls that answer at once: its message is a prefix and the map in hexadecimal digits, which
/// `src/native.ts` turns into a `ProcallError`.
pub(crate) fn thrown(error: &Error) -> napi::Error {
    let digits: String = to_map(error).iter().map(|byte| format!("{byte:02x}")).collect();
    napi::Error::from_reason(format!("procall:{digits}"))
}
