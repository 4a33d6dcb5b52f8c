//! What a request is told that fails.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use procall::{Error, ErrorCode};

use crate::gateway::json::Object;

/// An error with the status that says it in HTTP.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    error: Error,
}

impl Failure {
    /// With another status than that of the code, where HTTP has a word of its own for it.
    pub(super) fn new(status: StatusCode, error: Error) -> Self {
        Self { status, error }
    }

    /// A request that is wrong in itself.
    pub(super) fn request(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, error: Error::invalid(message) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { status: status_of(error.code()), error }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = json(error_text(&self.error));
        *response.status_mut() = self.status;
        if let Some(pause) = self.error.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds(pause)));
        }
        response
    }
}

/// Whole seconds, never too few.
fn seconds(pause: Duration) -> u64 {
    u64::try_from(pause.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// An answer of JSON text.
pub(super) fn json(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error as JSON: `code`, `message`, `executed`, and whatever else is known of it.
pub(super) fn error_text(error: &Error) -> String {
    Object::new().error(error.code().name(), error, &[]).finish()
}

/// The status of each code.
pub(super) fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidArgument => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::NameTaken => StatusCode::CONFLICT,
        ErrorCode::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        // What nginx made usual for a client that went away; the standard has none.
        ErrorCode::Cancelled => {
            StatusCode::from_u16(499).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        }
        ErrorCode::NoWorker
        | ErrorCode::Unavailable
        | ErrorCode::Ejected
        | ErrorCode::Closed
        | ErrorCode::SpawnFailed => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::WorkerLost
        | ErrorCode::ConnectionLost
        | ErrorCode::ProtocolError
        | ErrorCode::VersionMismatch => StatusCode::BAD_GATEWAY,
        ErrorCode::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Deadlock => StatusCode::LOOP_DETECTED,
        // HANDLER_ERROR, INVALID_RESULT, RESULT_TOO_LARGE, POISON, INTERNAL, and codes to come.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_status() {
        let told: Vec<String> = ErrorCode::ALL
            .iter()
            .map(|&code| format!("{} {}", code.name(), status_of(code).as_u16()))
            .collect();
        let expected = [
            "INVALID_ARGUMENT 400",
            "NOT_FOUND 404",
            "NO_WORKER 503",
            "OVERLOADED 429",
            "UNAVAILABLE 503",
            "UNAUTHENTICATED 401",
            "PERMISSION_DENIED 403",
            "DEADLINE_EXCEEDED 504",
            "CANCELLED 499",
            "DEADLOCK 508",
            "EJECTED 503",
            "POISON 500",
            "HANDLER_ERROR 500",
            "INVALID_RESULT 500",
            "RESULT_TOO_LARGE 500",
            "WORKER_LOST 502",
            "CONNECTION_LOST 502",
            "PROTOCOL_ERROR 502",
            "VERSION_MISMATCH 502",
            "SPAWN_FAILED 503",
            "CLOSED 503",
            "INTERNAL 500",
            "NAME_TAKEN 409",
        ];
        assert_eq!(told, expected, "a new code wants a row here and in docs/src/http.md");
    }

    #[test]
    fn a_pause_is_told_in_whole_seconds() {
        let error = Error::new(ErrorCode::Overloaded, "full");
        let response = Failure::from(error.with_retry_after(Duration::from_millis(1)));
        assert_eq!(response.into_response().headers()[RETRY_AFTER], "1");
    }
}
