//! `POST /v1/call/{service}/{method}`.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request as HttpRequest};
use axum::http::StatusCode;
use axum::response::Response;
use procall::{Body, Encoded, Error, Pending, Request, Shape};

use super::answer::{Answer, Form};
use super::body::{self, PATIENCE, Written};
use super::failure::{Failure, json};
use super::feed::Feed;
use super::headers;
use super::visitor::Visitor;
use crate::gateway::json::{params_from_json, result_to_json};

/// How long the head of a stream's answer waits for the first item, so that a call that fails at once has a status that says so.
const HEAD_PATIENCE: Duration = Duration::from_millis(500);

/// A method by its service and its own name.
pub(super) async fn by_both(
    Extension(visitor): Extension<Arc<Visitor>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: HttpRequest,
) -> Result<Response, Failure> {
    let Path((service, method)) = path.map_err(unreadable)?;
    call(&visitor, &format!("{service}.{method}"), request).await
}

/// A method by its full name, or by its last part where that is the only one.
pub(super) async fn by_name(
    Extension(visitor): Extension<Arc<Visitor>>,
    path: Result<Path<String>, PathRejection>,
    request: HttpRequest,
) -> Result<Response, Failure> {
    let Path(method) = path.map_err(unreadable)?;
    call(&visitor, &method, request).await
}

fn unreadable(rejection: PathRejection) -> Failure {
    let message = format!("the method's name cannot be read: {}", rejection.body_text());
    Failure::request(StatusCode::BAD_REQUEST, message)
}

async fn call(
    visitor: &Arc<Visitor>,
    method: &str,
    request: HttpRequest,
) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    let mut options = headers::options(&head.headers)?;
    let written = body::written(&head.headers, &body)?;
    let shape = visitor.shape(method);
    (options.items_in, options.items_out) = (shape.items_in(), shape.items_out());
    let (params, feed) = match written {
        Written::Nothing => (Encoded::NONE, None),
        Written::Json if shape.items_in() => {
            let message = format!(
                "{method} {}: send application/x-ndjson, the params in the first line and an item in each of the others",
                shape.says()
            );
            return Err(Failure::request(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        Written::Json => (params_of(&body::read(body).await?)?, None),
        Written::Lines if shape.items_in() => {
            let mut feed = Feed::new(body.into_data_stream());
            let first = tokio::time::timeout(PATIENCE, poll_fn(|cx| feed.poll_line(cx))).await;
            let first = first.map_err(|_| body::too_slow())??;
            (params_of(&first.unwrap_or_default())?, Some(feed))
        }
        Written::Lines => {
            let message = format!("{method} {}: send application/json", shape.says());
            return Err(Failure::request(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
    };
    let body = Body::owned(params.encoding, params.bytes);
    let mut pending = visitor.start(Request { method, body, options })?;
    let mut feed = feed;
    if shape.items_in() && feed.is_none() {
        pending.end_items();
    }
    if shape.items_out() {
        return stream(visitor, pending, feed, Form::wanted(&head.headers)).await;
    }
    let value = poll_fn(|cx| {
        if let Some(feed) = &mut feed {
            feed.drive(&mut pending, cx)?;
        }
        pending.poll_reply(cx.waker())
    })
    .await?;
    Ok(json(result_to_json(&value)?))
}

async fn stream(
    visitor: &Arc<Visitor>,
    mut pending: Pending,
    mut feed: Option<Feed>,
    form: Form,
) -> Result<Response, Failure> {
    let first = poll_fn(|cx| {
        if let Some(feed) = &mut feed
            && let Err(error) = feed.drive(&mut pending, cx)
        {
            return Poll::Ready(Some(Err(error)));
        }
        pending.poll_item(cx.waker())
    });
    let first = match tokio::time::timeout(HEAD_PATIENCE, first).await {
        Ok(Some(Err(error))) => return Err(error.into()),
        Ok(first) => Some(first.transpose()?),
        Err(_) => None,
    };
    Ok(Answer::new(visitor.clone(), pending, feed, form).respond(first))
}

/// The params of a call; nothing at all is none.
pub(super) fn params_of(text: &[u8]) -> Result<Encoded, Error> {
    params_from_json(Some(text.trim_ascii()).filter(|text| !text.is_empty()))
}

/// What a JSON-RPC call gives, whose answer is no stream.
pub(super) async fn value(visitor: &Visitor, request: Request<'_>) -> Result<String, Error> {
    let shape = visitor.shape(request.method);
    if shape != Shape::Unary {
        return Err(Error::invalid(format!(
            "{} {}; call it with POST /v1/call/{{service}}/{{method}}",
            request.method,
            shape.says()
        )));
    }
    let mut pending = visitor.start(request)?;
    let value = poll_fn(|cx| pending.poll_reply(cx.waker())).await?;
    result_to_json(&value)
}
