//! A stream as the body of an answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures_util::Stream;
use procall::{Encoded, Error, Pending};
use tokio::time::{Interval, MissedTickBehavior};

use super::failure::error_text;
use super::feed::Feed;
use super::visitor::Visitor;
use crate::gateway::json::result_to_json;

/// Bytes that go into one part of the body while more items are there.
const PART: usize = 32 << 10;
/// How often a silent stream of events sends a comment, so that nobody in between takes it for dead.
const COMMENTS: Duration = Duration::from_secs(15);

/// What a stream looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A JSON value a line.
    Lines,
    /// Server-sent events.
    Events,
}

impl Form {
    /// What the client asks for: lines, if it does not say.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let kinds = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for kind in kinds.flat_map(|value| value.split(',')) {
            match kind.split(';').next().unwrap_or_default().trim() {
                "text/event-stream" => return Self::Events,
                "application/x-ndjson" | "application/jsonl" => return Self::Lines,
                _ => {}
            }
        }
        Self::Lines
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }

    fn item(self, json: &str, out: &mut Vec<u8>) {
        let (before, after) = match self {
            Self::Lines => ("", "\n"),
            Self::Events => ("data: ", "\n\n"),
        };
        [before, json, after].iter().for_each(|text| out.extend_from_slice(text.as_bytes()));
    }

    fn error(self, error: &Error, out: &mut Vec<u8>) {
        let json = error_text(error);
        let text = match self {
            Self::Lines => format!("{{\"error\":{json}}}\n"),
            Self::Events => format!("event: error\ndata: {json}\n\n"),
        };
        out.extend_from_slice(text.as_bytes());
    }

    /// Lines end with the body.
    fn end(self, items: u64, out: &mut Vec<u8>) {
        if self == Self::Events {
            let text = format!("event: end\ndata: {{\"count\":{items}}}\n\n");
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// The body of an answer that is a stream. It is read as fast as the client reads, and dropping it cancels the call.
#[derive(Debug)]
pub(super) struct Answer {
    pending: Pending,
    feed: Option<Feed>,
    form: Form,
    /// What is known of the stream's beginning already.
    first: Option<Option<Encoded>>,
    items: u64,
    comments: Option<Interval>,
    over: bool,
    /// The peer that calls, for as long as it does.
    _visitor: Arc<Visitor>,
}

impl Answer {
    pub(super) fn new(
        visitor: Arc<Visitor>,
        pending: Pending,
        feed: Option<Feed>,
        form: Form,
    ) -> Self {
        let comments = (form == Form::Events).then(|| {
            let mut interval =
                tokio::time::interval_at(tokio::time::Instant::now() + COMMENTS, COMMENTS);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self {
            pending,
            feed,
            form,
            first: None,
            items: 0,
            comments,
            over: false,
            _visitor: visitor,
        }
    }

    /// The whole answer. `first` is what was looked at already: an item, or the end.
    pub(super) fn respond(mut self, first: Option<Option<Encoded>>) -> Response {
        self.first = first;
        let kind = self.form.content_type();
        let mut response = Response::new(Body::from_stream(self));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn poll_next_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Encoded, Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(first.map(Ok)),
            None => self.pending.poll_item(cx.waker()),
        }
    }

    /// Fills `out` with what is there, and says whether anything more may come at once.
    fn fill(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) {
        if let Some(feed) = &mut self.feed
            && let Err(error) = feed.drive(&mut self.pending, cx)
        {
            return self.fail(&error, out);
        }
        while out.len() < PART {
            match self.poll_next_item(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(item)) => match item.and_then(|item| result_to_json(&item)) {
                    Ok(json) => {
                        self.items += 1;
                        self.form.item(&json, out);
                    }
                    Err(error) => return self.fail(&error, out),
                },
                Poll::Ready(None) => {
                    self.over = true;
                    return self.form.end(self.items, out);
                }
            }
        }
    }

    fn fail(&mut self, error: &Error, out: &mut Vec<u8>) {
        self.over = true;
        self.pending.cancel();
        self.form.error(error, out);
    }
}

impl Stream for Answer {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        let mut out = Vec::new();
        this.fill(cx, &mut out);
        if let Some(comments) = &mut this.comments {
            if !out.is_empty() {
                comments.reset();
            } else if comments.poll_tick(cx).is_ready() {
                out.extend_from_slice(b":\n\n");
            }
        }
        match (out.is_empty(), this.over) {
            (false, _) => Poll::Ready(Some(Ok(out.into()))),
            (true, true) => Poll::Ready(None),
            (true, false) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_says_which_form_it_wants() {
        let of = |accept: &'static str| {
            Form::wanted(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert_eq!(of("text/event-stream"), Form::Events);
        assert_eq!(of("application/json, text/event-stream;q=0.9"), Form::Events);
        assert_eq!(of("application/x-ndjson, text/event-stream"), Form::Lines);
        assert_eq!(of("*/*"), Form::Lines);
        assert_eq!(Form::wanted(&HeaderMap::new()), Form::Lines);
    }

    #[test]
    fn each_form_ends_in_its_way() {
        let mut lines = Vec::new();
        Form::Lines.item("1", &mut lines);
        Form::Lines.end(1, &mut lines);
        Form::Lines.error(&Error::handler("Bad", "no"), &mut lines);
        let error = r#"{"code":"HANDLER_ERROR","message":"no","executed":"yes","type":"Bad"}"#;
        assert_eq!(String::from_utf8(lines).unwrap(), format!("1\n{{\"error\":{error}}}\n"));
        let mut events = Vec::new();
        Form::Events.item("1", &mut events);
        Form::Events.error(&Error::handler("Bad", "no"), &mut events);
        Form::Events.end(1, &mut events);
        let expected = format!(
            "data: 1\n\nevent: error\ndata: {error}\n\nevent: end\ndata: {{\"count\":1}}\n\n"
        );
        assert_eq!(String::from_utf8(events).unwrap(), expected);
    }
}
