//! Messages that a loop receives, over a link of the test's.

use procall::{Error, ErrorCode, Executed, Message};
use serde::{Deserialize, Serialize};

use crate::support::{client, within};

#[derive(Debug, Serialize, Deserialize, procall::schemars::JsonSchema)]
#[schemars(crate = "procall::schemars")]
enum Order {
    Add(u32, u32),
    Stop,
}

/// A result that serde cannot write.
#[derive(Debug)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it is a handle of this process"))
    }
}

#[tokio::test]
async fn the_schema_is_told_to_those_who_ask() {
    let (service, _messages) = procall::messages::<Order, u32>().schema().into_service();
    let client = client(service).await;
    let registration = client.methods().await.unwrap();
    assert_eq!((&*registration.name, registration.concurrency), ("workers", 1));
    let method = &registration.methods[0];
    assert_eq!((&*method.name, &*method.params), ("workers.message", &["message".to_owned()][..]));
    let schema = method.params_schema.as_ref().unwrap();
    assert_eq!(schema["required"], serde_json::json!(["message"]));
    assert!(schema["properties"]["message"]["oneOf"].is_array(), "{schema}");
    assert_eq!(method.result_schema.as_ref().unwrap()["type"], "integer");
}

#[tokio::test]
async fn a_result_that_cannot_be_written_is_told() {
    let (service, mut messages) = procall::messages::<Order, Unwritable>().into_service();
    let client = client(service).await;
    tokio::spawn(async move {
        while let Some(Message::Request { reply, .. }) = messages.recv().await {
            reply.send(Unwritable);
        }
    });
    let call = client.call::<u32>("message", (Order::Add(6, 7),)).into_future();
    let error = within(call).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidResult, Executed::Yes));
    assert!(error.message().contains("it is a handle of this process"), "{error}");
}

#[tokio::test]
async fn a_failure_says_that_the_message_was_handled() {
    let (service, mut messages) = procall::messages::<Order, u32>().into_service();
    let client = client(service).await;
    tokio::spawn(async move {
        while let Some(Message::Request { reply, .. }) = messages.recv().await {
            // As of a call that the worker made in turn.
            reply.fail(Error::new(ErrorCode::Overloaded, "somebody else is busy"));
        }
    });
    let error = within(client.call::<u32>("message", (Order::Stop,)).into_future()).await;
    let error = error.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Overloaded, Executed::Yes));
}

#[tokio::test]
async fn when_nobody_receives_any_more_messages_are_refused() {
    let (service, messages) = procall::messages::<Order, u32>().into_service();
    let client = client(service).await;
    drop(messages);
    let error = within(client.call::<u32>("message", (Order::Stop,)).into_future()).await;
    let error = error.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Unavailable, Executed::No));
}

#[tokio::test]
async fn they_end_with_their_service() {
    let (service, mut messages) = procall::messages::<Order, u32>().into_service();
    let client = client(service).await;
    client.notify("message", (Order::Stop,)).unwrap();
    assert!(matches!(within(messages.recv()).await, Some(Message::OneWay { data: Order::Stop })));
    client.close();
    assert!(within(messages.recv()).await.is_none());
}
