//! Bodies that are read as a whole.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt;
use procall::{Error, ErrorCode, Executed};

use super::failure::Failure;

/// Longest body, in bytes, and longest line of a stream; a longer one is refused with 413. As long as a JSON message may be.
pub(super) const MAX_BODY: usize = 64 << 20;
/// How long a body may take to come, or a stream's first line; then 408.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What a body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Json,
    /// A JSON value a line.
    Lines,
    /// There is none.
    Nothing,
}

/// What the head says of the body.
pub(super) fn written(headers: &HeaderMap, body: &Body) -> Result<Written, Failure> {
    let empty = http_body_is_empty(body);
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        if empty {
            return Ok(Written::Nothing);
        }
        return Err(unsupported("the request has no Content-Type"));
    };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    if is("application/json") {
        Ok(Written::Json)
    } else if is("application/x-ndjson") || is("application/jsonl") {
        Ok(Written::Lines)
    } else {
        Err(unsupported(&format!("the Content-Type is \"{}\"", kind.escape_default())))
    }
}

fn http_body_is_empty(body: &Body) -> bool {
    axum::body::HttpBody::is_end_stream(body)
}

fn unsupported(what: &str) -> Failure {
    let message = format!(
        "{what}, but it must be application/json, or application/x-ndjson for a method that takes a stream"
    );
    Failure::request(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
}

/// The whole body.
pub(super) async fn read(body: Body) -> Result<Vec<u8>, Failure> {
    let claimed = axum::body::HttpBody::size_hint(&body).lower();
    if claimed > MAX_BODY as u64 {
        return Err(too_large());
    }
    let mut stream = body.into_data_stream();
    tokio::time::timeout(PATIENCE, collect(&mut stream)).await.map_err(|_| too_slow())?
}

async fn collect(stream: &mut BodyDataStream) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|error| cut_short(&error))?;
        if whole.len() + part.len() > MAX_BODY {
            return Err(too_large());
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole)
}

pub(super) fn too_large() -> Failure {
    let message = format!("a body, or a line of one, may have {MAX_BODY} bytes");
    Failure::request(StatusCode::PAYLOAD_TOO_LARGE, message)
}

pub(super) fn too_slow() -> Failure {
    let message = format!("the body did not come within {} s", PATIENCE.as_secs());
    let error = Error::new(ErrorCode::DeadlineExceeded, message).with_executed(Executed::No);
    Failure::new(StatusCode::REQUEST_TIMEOUT, error)
}

/// Hardly anybody reads this: who sent half a body is gone, most likely.
pub(super) fn cut_short(error: &axum::Error) -> Failure {
    Failure::request(StatusCode::BAD_REQUEST, format!("the body was cut short: {error}"))
}
