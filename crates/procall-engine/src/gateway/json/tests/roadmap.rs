//! The two generations of the roadmap dialect, by the bytes that they send.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::facts::Speaks;

#[tokio::test]
async fn the_baseline_is_answered_in_its_form() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.text(r#"{"type": "request", "id": 1, "method": "add", "params": [1, 2]}"#).await;
    assert_eq!(client.next_text().await.unwrap(), r#"{"type":"response","id":1,"result":3.0}"#);
    let facts = engine.attached().await.facts;
    assert_eq!((facts.speaks, facts.hears_broadcasts), (Speaks::Roadmap, false));
    client
        .text(r#"{"type": "request", "id": 2, "method": "divide", "params": {"a": 10, "b": 0}}"#)
        .await;
    assert_eq!(
        client.next_text().await.unwrap(),
        r#"{"type":"response","id":2,"error":"division by zero"}"#
    );
    client.text(r#"{"type": "request", "id": 3, "method": "other", "params": null}"#).await;
    assert_eq!(
        client.next_text().await.unwrap(),
        r#"{"type":"response","id":3,"error":"Method not found: other"}"#
    );
    client.text(r#"{"type": "request", "id": 4, "method": "echo", "params": "x"}"#).await;
    assert_eq!(client.next_text().await.unwrap(), r#"{"type":"response","id":4,"result":["x"]}"#);
}

#[tokio::test]
async fn the_later_form_has_codes_and_details() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client
        .text(r#"{"type": "request", "id": 1, "method": "add", "params": [1, 2], "meta": {}}"#)
        .await;
    let expected = r#"{"type":"response","id":1,"ok":true,"result":3.0,"error":null}"#;
    assert_eq!(client.next_text().await.unwrap(), expected);
    let error = async |client: &mut Client, request: Value| {
        let answer = client.ask(request).await;
        assert_eq!((&answer["ok"], &answer["result"]), (&json!(false), &Value::Null));
        json!([answer["id"], answer["error"]["code"], answer["error"]["details"]])
    };
    let unknown = error(&mut client, json!({"id": "a", "method": "other", "meta": {}})).await;
    assert_eq!(unknown, json!(["a", "METHOD_NOT_FOUND", {"method": "other"}]));
    let raised =
        error(&mut client, json!({"id": null, "method": "divide", "params": [10, 0]})).await;
    assert_eq!(raised, json!([null, "INTERNAL", {"method": "divide"}]));
    let bad = error(&mut client, json!({"id": 1, "method": "add", "params": [1]})).await;
    assert_eq!(bad[1], "BAD_REQUEST");
    let late = error(&mut client, json!({"id": 1, "method": "late", "params": []})).await;
    assert_eq!(late[1], "TIMEOUT");
    let timeout = json!({"id": 1, "method": "hold", "meta": {"timeout_ms": 20}});
    assert_eq!(error(&mut client, timeout).await[1], "TIMEOUT");
    let field = error(&mut client, json!({"id": 1, "method": "add", "meta": 5})).await;
    assert_eq!(field, json!([1, "BAD_REQUEST", {"field": "meta"}]));
    let field = error(&mut client, json!({"id": 1, "params": [], "meta": {}})).await;
    assert_eq!(field, json!([1, "BAD_REQUEST", {"field": "method"}]));
    let field = error(&mut client, json!({"type": "other", "id": 1, "method": "add"})).await;
    assert_eq!(field, json!([1, "BAD_REQUEST", {"field": "type"}]));
    let idempotent =
        client.ask(json!({"id": 1, "method": "left", "meta": {"idempotent": true}})).await;
    assert_eq!(idempotent["result"][1], true);
    let nan = error(&mut client, json!({"id": 1, "method": "nan"})).await;
    assert_eq!(nan[1], "INVALID_RESULT");
}

#[tokio::test]
async fn malformed_requests_leave_the_link_open() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.ask(json!({"id": 1, "method": "add", "params": [1, 2]})).await;
    for text in ["{", "5", "\"text\"", "{\"id\": 1, \"id\": 2}", "\u{0}", "{\"id\": 1,}"] {
        client.text(text).await;
        let answer = client.next().await;
        assert_eq!((&answer["type"], &answer["id"]), (&json!("response"), &Value::Null), "{text}");
        let error = json!([answer["error"]["code"], answer["error"]["details"]]);
        assert_eq!(error, json!(["BAD_REQUEST", {}]));
    }
    client.raw(&[0, 0, 0, 2, 0xff, 0xfe]).await;
    assert_eq!(client.next().await["error"]["code"], "BAD_REQUEST");
    // What Python's writer makes of a float that is no number.
    client
        .text(r#"{"type": "request", "id": 9, "method": "add", "params": [NaN, 1], "meta": {}}"#)
        .await;
    let answer = client.next().await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(9), &json!("BAD_REQUEST")));
    assert_eq!(answer["error"]["details"], json!({"field": "params"}));
    let answer = client.ask(json!({"id": 2, "method": "add", "params": [1, 2]})).await;
    assert_eq!(answer["result"], 3.0);
}

#[tokio::test]
async fn answers_come_in_the_order_of_completion() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.send(json!({"id": 1, "method": "hold"})).await;
    let mut peer = engine.attached().await;
    let held = peer.held().await;
    assert_eq!(
        client.ask(json!({"id": 1, "method": "add", "params": [1, 2]})).await["result"],
        3.0
    );
    peer.connection.reply(held, procall::Encoded::new(procall::Encoding::None, vec![]));
    let expected = json!({"type": "response", "id": 1, "ok": true, "result": null, "error": null});
    assert_eq!(client.next().await, expected);
}

#[tokio::test]
async fn more_than_a_thousand_at_once_are_refused() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    for id in 0..1025 {
        client.send(json!({"id": id, "method": "hold"})).await;
    }
    let refused = client.next().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(1024), &json!("SERVER_BUSY")));
    assert!(refused["error"]["details"]["retry_after_ms"].is_u64());
    let mut peer = engine.attached().await;
    let first = peer.held().await;
    peer.connection.reply(first, procall::Encoded::new(procall::Encoding::None, vec![]));
    assert_eq!(client.next().await["ok"], true);
    assert_eq!(
        client.ask(json!({"id": 5, "method": "add", "params": [1, 2]})).await["result"],
        3.0
    );
}

#[tokio::test]
async fn a_silent_peer_is_let_go_but_not_while_it_waits() {
    let engine = TestEngine::new();
    let mut client = Client::with_idle(&engine, Duration::from_millis(50)).await;
    // Its answer takes many times as long as it may be silent.
    let call = json!({"id": 1, "method": "hold", "meta": {"timeout_ms": 500}});
    assert_eq!(client.ask(call).await["error"]["code"], "TIMEOUT");
    assert_eq!(client.next_text().await, None);
    soon(client.gateway).await.unwrap();
    engine.attached().await.closed().await;

    // One that says nothing of sense is no better.
    let mut client = Client::with_idle(&engine, Duration::from_millis(50)).await;
    client.text("{").await;
    assert_eq!(client.next().await["type"], "error");
    assert_eq!(client.next_text().await, None);

    // Those of the engine dialect may be silent.
    let mut client = Client::with_idle(&engine, Duration::from_millis(50)).await;
    let call = json!({"type": "call", "id": 1, "method": "hold", "timeout_ms": 500});
    assert_eq!(client.ask(call).await["ok"], false);
    let peer = engine.attached().await;
    let _call = peer.call("f", json!([]));
    assert_eq!(client.next().await["type"], "invokefunctionmessage");
}
