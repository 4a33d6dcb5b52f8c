//! What is only looked up.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use procall::{Error, ErrorCode};

use super::failure::{Failure, json};
use super::visitor::Visitor;
use super::{metrics, openapi};

/// `GET /v1/methods`: what there is, as it was registered.
pub(super) async fn methods(
    Extension(visitor): Extension<Arc<Visitor>>,
) -> Result<Response, Failure> {
    let known = visitor.core.with(|state| state.registration(None));
    let text = serde_json::to_string(&known).map_err(|error| {
        Error::new(ErrorCode::Internal, "the methods cannot be written").with_source(error)
    })?;
    Ok(fresh(json(text)))
}

/// `GET /openapi.json`.
pub(super) async fn openapi(Extension(visitor): Extension<Arc<Visitor>>) -> Response {
    fresh(json(openapi::document(&visitor).to_string()))
}

/// `GET /healthz`: whether calls are taken.
pub(super) async fn health(
    Extension(visitor): Extension<Arc<Visitor>>,
) -> Result<Response, Failure> {
    if visitor.core.with(|state| state.draining) {
        return Err(Error::new(ErrorCode::Unavailable, "the engine is stopping").into());
    }
    Ok(fresh(json(r#"{"status":"ok"}"#.to_owned())))
}

/// `GET /metrics`.
pub(super) async fn metrics(Extension(visitor): Extension<Arc<Visitor>>) -> Response {
    let mut response = Response::new(Body::from(metrics::text(&visitor.core)));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    fresh(response)
}

/// For all other paths.
pub(super) async fn nothing() -> Failure {
    let message = "there is nothing here; POST /v1/call/{service}/{method} calls, GET /v1/methods and \
                   GET /openapi.json show what there is";
    Failure::new(StatusCode::NOT_FOUND, Error::new(ErrorCode::NotFound, message))
}

/// For known paths that are asked in another way.
pub(super) async fn not_so() -> Failure {
    let message = "this path does not take this method; calls are POST, everything else is GET";
    Failure::request(StatusCode::METHOD_NOT_ALLOWED, message)
}

/// What may be another thing a moment later.
fn fresh(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
