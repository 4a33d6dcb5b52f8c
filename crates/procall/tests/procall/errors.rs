//! What goes wrong in arguments, handlers and results, and what callers are told.

use std::collections::HashMap;

use procall::{Answer, Arrival, ErrorCode, Executed, Handler, Service};
use serde::Serialize;

use crate::support::{client, within};

/// A value that serde cannot write.
#[derive(procall::schemars::JsonSchema)]
#[schemars(crate = "procall::schemars")]
struct Broken;

impl Serialize for Broken {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it is broken"))
    }
}

fn service() -> Service {
    Service::new("calc")
        .method("add", |a: i64, b: i64| a + b)
        .params("add", &["a", "b"])
        .method("panics", |text: String| -> i64 { panic!("{text}") })
        .async_method("panics_later", async |text: String| -> Result<i64, procall::Error> {
            tokio::task::yield_now().await;
            panic!("{text}")
        })
        .stream_method("panics_streaming", |n: u64| {
            procall::Stream::from_iter(
                (0..n).inspect(move |at| assert!(at + 1 < n, "the last one")),
            )
        })
        .method("broken", || Broken)
        .method("text", || "not a number".to_owned())
        .method("keys", || HashMap::from([(1, 2)]))
        .handler("forgets", Forgets)
        .try_method("passes_on", || -> Result<i64, procall::Error> {
            // As `?` does with the error of a call that the handler made in turn.
            Err(procall::Error::new(ErrorCode::NoWorker, "nobody serves that"))
        })
        .try_method("fails", |code: i64| -> Result<i64, procall::Error> {
            Err(procall::Error::handler("ValueError", format!("{code} is bad"))
                .with_trace("line 1\nline 2"))
        })
}

struct Forgets;

impl Handler for Forgets {
    fn call(&self, call: &Arrival<'_>) -> Answer {
        drop(call.responder());
        Answer::Later
    }
}

#[tokio::test]
async fn a_wrong_argument_is_named_by_its_path() {
    let client = client(service()).await;
    let error = client.call::<i64>("add", (1, "two")).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
    assert_eq!(error.fields()[0].path, "/1");
    assert!(error.message().contains('b'), "{error}");

    let named = serde_json::json!({"a": 1, "b": "two"});
    let error = client.call::<i64>("add", named).await.unwrap_err();
    assert_eq!(error.fields()[0].path, "/b");

    let error = client.call::<i64>("add", (1, 2, 3)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert_eq!(error.fields()[0].path, "/2");
    assert!(error.message().contains("2 arguments expected, 3 given"), "{error}");

    let error = client.call::<i64>("add", ()).await.unwrap_err();
    let paths: Vec<&str> = error.fields().iter().map(|field| &*field.path).collect();
    assert_eq!(paths, ["/0", "/1"]);

    let error = client.call::<i64>("add", serde_json::json!({"a": 1, "bb": 2})).await.unwrap_err();
    assert_eq!(error.candidates(), ["b"]);
}

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Order {
    lines: Vec<Line>,
    ship: Option<Ship>,
}

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Line {
    item: String,
    count: u32,
}

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
enum Ship {
    To { street: String },
}

#[tokio::test]
async fn a_wrong_field_inside_an_argument_is_named_by_its_path() {
    let service = Service::new("shop").method("order", |_note: String, order: Order| {
        order.lines.iter().map(|line| line.count).sum::<u32>()
    });
    let client = client(service).await;
    let line = serde_json::json!({"item": "tea", "count": 1});
    for (order, path, message) in [
        (serde_json::json!({"lines": [line, {"item": "a", "count": "b"}]}), "/lines/1/count", ""),
        (serde_json::json!({"lines": [{"item": "tea"}]}), "/lines/0/count", "missing"),
        (serde_json::json!({"lines": [line], "a/b": 1}), "/a~1b", "unknown field"),
        (
            serde_json::json!({"lines": [line], "ship": {"To": {"street": 5}}}),
            "/ship/To/street",
            "",
        ),
        (serde_json::json!({"lines": 5}), "/lines", ""),
        (serde_json::json!({}), "/lines", "missing"),
        (serde_json::json!(5), "", ""),
    ] {
        let error = client.call::<u32>("order", ("x", &order)).await.unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
        assert_eq!(error.fields()[0].path, format!("/1{path}"), "{error}");
        assert!(error.fields()[0].message.starts_with(message), "{error}");
    }
    let order = serde_json::json!({"lines": [line]});
    assert_eq!(client.call::<u32>("order", ("x", order)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_panic_is_an_error_and_the_connection_lives_on() {
    let client = client(service()).await;
    for method in ["panics", "panics_later"] {
        let error = within(client.call::<i64>(method, ("boom",)).into_future()).await.unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::HandlerError, Executed::Yes));
        assert_eq!(error.remote_type(), Some("panic"));
        assert_eq!(error.message(), "boom");
    }
    let mut stream = client.stream::<u64>("panics_streaming", (2,));
    assert_eq!(within(stream.next()).await.unwrap().unwrap(), 0);
    let error = within(stream.next()).await.unwrap().unwrap_err();
    assert_eq!(error.remote_type(), Some("panic"));
    assert!(stream.next().await.is_none());
    assert_eq!(client.call::<i64>("add", (1, 2)).await.unwrap(), 3);
}

#[tokio::test]
async fn a_handlers_error_arrives_whole() {
    let client = client(service()).await;
    let error = client.call::<i64>("fails", (7,)).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::HandlerError, Executed::Yes));
    assert_eq!(error.remote_type(), Some("ValueError"));
    assert_eq!(error.message(), "7 is bad");
    assert_eq!(error.trace(), Some("line 1\nline 2"));
}

#[tokio::test]
async fn a_result_that_cannot_be_written_or_read_is_invalid() {
    let client = client(service()).await;
    let error = client.call::<i64>("broken", ()).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidResult, Executed::Yes));
    assert!(error.message().contains("it is broken"), "{error}");
    let error = client.call::<i64>("text", ()).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidResult, Executed::Yes));
}

#[tokio::test]
async fn a_dropped_responder_answers_an_error() {
    let client = client(service()).await;
    let error = within(client.call::<i64>("forgets", ()).into_future()).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::HandlerError, Executed::Yes));
    assert!(error.message().contains("without an answer"), "{error}");
}

#[tokio::test]
async fn an_error_that_a_handler_passes_on_does_not_say_that_the_handler_did_not_run() {
    let client = client(service()).await;
    let error = within(client.call::<i64>("passes_on", ()).into_future()).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NoWorker, Executed::Yes));
}
