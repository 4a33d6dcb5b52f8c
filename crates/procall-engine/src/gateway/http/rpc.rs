//! `POST /rpc`: JSON-RPC 2.0.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request as HttpRequest;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use procall::json::Outline;
use procall::{Body, CallOptions, Error, ErrorCode, Request};
use serde_json::value::RawValue;

use super::body::{self, Written};
use super::failure::{Failure, error_text, json};
use super::visitor::Visitor;
use super::{call, headers, openrpc};
use crate::gateway::json::Object;

/// Requests of one batch; more are refused as a whole.
const MAX_BATCH: usize = 1024;

const PARSE_ERROR: i32 = -32_700;
const INVALID_REQUEST: i32 = -32_600;
const METHOD_NOT_FOUND: i32 = -32_601;
const INVALID_PARAMS: i32 = -32_602;
const INTERNAL_ERROR: i32 = -32_603;
/// Errors that JSON-RPC has no number for count down from here, by their own numbers.
const OURS: i32 = -32_000;

pub(super) async fn handle(
    Extension(visitor): Extension<Arc<Visitor>>,
    request: HttpRequest,
) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    let options = headers::options(&head.headers)?;
    if body::written(&head.headers, &body)? == Written::Lines {
        let message = "JSON-RPC is application/json";
        return Err(Failure::request(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let text = body::read(body).await?;
    let answer = match text.trim_ascii_start().first() {
        Some(b'[') => batch(&visitor, &text, &options).await,
        _ => match serde_json::from_slice::<&RawValue>(&text) {
            Ok(one) => single(&visitor, one.get(), &options).await,
            Err(error) => Some(unreadable(&error)),
        },
    };
    Ok(match answer {
        Some(answer) => json(answer),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// The answers to a batch, whose requests run at the same time; none when there is nothing to answer.
async fn batch(visitor: &Visitor, text: &[u8], options: &CallOptions) -> Option<String> {
    let requests: Vec<&RawValue> = match serde_json::from_slice(text) {
        Ok(requests) => requests,
        Err(error) => return Some(unreadable(&error)),
    };
    if requests.is_empty() || requests.len() > MAX_BATCH {
        let message = format!("a batch has 1 to {MAX_BATCH} requests, not {}", requests.len());
        return Some(failed("null", INVALID_REQUEST, &Error::invalid(message)));
    }
    let answers = requests.iter().map(|request| single(visitor, request.get(), options));
    let answers: Vec<String> = join_all(answers).await.into_iter().flatten().collect();
    (!answers.is_empty()).then(|| format!("[{}]", answers.join(",")))
}

/// The answer to one request; none for a notification.
async fn single(visitor: &Visitor, text: &str, options: &CallOptions) -> Option<String> {
    let request = match Asked::read(text) {
        Ok(request) => request,
        Err((id, error)) => return Some(failed(id, INVALID_REQUEST, &error)),
    };
    let Some(id) = request.id else {
        // Nobody hears of it when a notification fails.
        let _ = request.notify(visitor, options).await;
        return None;
    };
    if request.method == "rpc.discover" {
        return Some(succeeded(id, &openrpc::document(visitor).to_string()));
    }
    Some(match request.call(visitor, options).await {
        Ok(result) => succeeded(id, &result),
        Err(error) => failed(id, number_of(error.code()), &error),
    })
}

/// A request, its values not looked at yet.
struct Asked<'a> {
    /// None for a notification.
    id: Option<&'a str>,
    method: String,
    params: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// Or why not, with the id if there is one.
    fn read(text: &'a str) -> Result<Self, (&'a str, Error)> {
        let wrong = |message: String| ("null", Error::invalid(message));
        let outline = Outline::read(text.as_bytes())
            .map_err(|error| wrong(format!("the request cannot be read: {error}")))?;
        let id = match outline.raw("id") {
            None => outline.has("id").then_some("null"),
            Some(id) if id.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) => {
                Some(id)
            }
            Some(_) => return Err(wrong("an id is a text, a number or null".to_owned())),
        };
        let wrong = |message: &str| (id.unwrap_or("null"), Error::invalid(message));
        if outline.text("jsonrpc").as_deref() != Some("2.0") {
            return Err(wrong("`jsonrpc` must be \"2.0\""));
        }
        let method = outline.text("method").ok_or_else(|| wrong("`method` must be a text"))?;
        let params = outline.raw("params");
        if params.is_some_and(|params| !params.starts_with(['[', '{'])) {
            return Err(wrong("`params` must be an array or an object"));
        }
        Ok(Self { id, method, params })
    }

    fn request(&self, options: &CallOptions) -> Result<Request<'_>, Error> {
        let params = call::params_of(self.params.unwrap_or_default().as_bytes())?;
        let body = Body::owned(params.encoding, params.bytes);
        Ok(Request { method: &self.method, body, options: options.clone() })
    }

    async fn call(&self, visitor: &Visitor, options: &CallOptions) -> Result<String, Error> {
        call::value(visitor, self.request(options)?).await
    }

    async fn notify(&self, visitor: &Visitor, options: &CallOptions) -> Result<(), Error> {
        visitor.notify(self.request(options)?).await
    }
}

fn number_of(code: ErrorCode) -> i32 {
    match code {
        ErrorCode::NotFound => METHOD_NOT_FOUND,
        ErrorCode::InvalidArgument => INVALID_PARAMS,
        ErrorCode::Internal => INTERNAL_ERROR,
        other => OURS - i32::from(other.number()),
    }
}

fn unreadable(error: &serde_json::Error) -> String {
    failed("null", PARSE_ERROR, &Error::invalid(format!("the body is no JSON: {error}")))
}

fn succeeded(id: &str, result: &str) -> String {
    Object::new().text("jsonrpc", "2.0").raw("id", id).raw("result", result).finish()
}

fn failed(id: &str, number: i32, error: &Error) -> String {
    let inner = Object::new()
        .raw("code", &number.to_string())
        .text("message", error.message())
        .raw("data", &error_text(error))
        .finish();
    Object::new().text("jsonrpc", "2.0").raw("id", id).raw("error", &inner).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_number_within_those_for_servers() {
        let mut numbers: Vec<i32> = ErrorCode::ALL.iter().map(|&code| number_of(code)).collect();
        let ours = numbers.iter().filter(|&&number| number > -32_600);
        assert!(ours.clone().all(|&number| (-32_099..=-32_000).contains(&number)));
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn a_request_is_read_with_its_id() {
        fn read(text: &str) -> Result<(Option<&str>, Option<&str>), &str> {
            Asked::read(text).map(|asked| (asked.id, asked.params)).map_err(|(id, _)| id)
        }
        let of = |rest: &str| format!(r#"{{"jsonrpc": "2.0", "method": "f"{rest}}}"#);
        assert_eq!(read(&of("")), Ok((None, None)));
        assert_eq!(read(&of(r#", "id": null"#)), Ok((Some("null"), None)));
        assert_eq!(read(&of(r#", "id": 1.5, "params": [1]"#)), Ok((Some("1.5"), Some("[1]"))));
        assert_eq!(read(&of(r#", "id": "a", "params": 5"#)), Err("\"a\""));
        assert_eq!(read(&of(r#", "id": [1]"#)), Err("null"));
        assert_eq!(read(r#"{"jsonrpc": "1.0", "method": "f", "id": 3}"#), Err("3"));
        assert_eq!(read(r#"{"jsonrpc": "2.0", "method": 5, "id": 3}"#), Err("3"));
        assert_eq!(read("5"), Err("null"));
    }
}
