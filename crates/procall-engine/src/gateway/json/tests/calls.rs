//! Calls in both directions, in our own form.

use std::time::Duration;

use procall::{CallOptions, Deadline, Encoded, Encoding, ErrorCode};
use serde_json::{Value, json};

use super::engine::{encoded, outcome};
use super::*;

#[tokio::test]
async fn options_and_values_pass() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    for (id, method, params, expected) in [
        (json!(1), "add", json!([1, 2]), json!(3.0)),
        (
            json!("text"),
            "echo",
            json!([{"$bytes": "AAE="}, -5, 1.5, null, "é"]),
            json!([{"$bytes": "AAE="}, -5, 1.5, null, "é"]),
        ),
        (json!(-9), "echo", json!([18446744073709551615_u64]), json!([18446744073709551615_u64])),
        (json!(2), "echo", json!("bare"), json!(["bare"])),
        (json!(3), "echo", json!({"$$x": 1}), json!({"$$x": 1})),
        (json!(4), "echo", Value::Null, Value::Null),
    ] {
        let call = json!({"type": "call", "id": id, "method": method, "params": params});
        let expected = json!({"type": "result", "id": id, "ok": true, "result": expected});
        assert_eq!(client.ask(call).await, expected);
    }
    let call = json!({"type": "call", "id": 1, "method": "meta", "to": "w", "meta": {"k": [1, {"$$x": 2}]}});
    assert_eq!(client.ask(call).await["result"], json!({"to": "w", "k": [1, {"$$x": 2}]}));
    let call =
        json!({"type": "call", "id": 1, "method": "left", "timeout_ms": 9000, "idempotent": true});
    let result = client.ask(call).await;
    let left = result["result"][0].as_u64().unwrap();
    assert!(left <= 9000 && left > 1000, "{left}");
    assert_eq!(result["result"][1], true);
    let usual = client.ask(json!({"type": "call", "id": 2, "method": "left"})).await;
    assert!(usual["result"][0].as_u64().unwrap() <= 30_000);
    let none = json!({"type": "call", "id": 2, "method": "left", "no_deadline": true});
    assert_eq!(client.ask(none.clone()).await["result"], json!([null, false]));
    let mut both = none;
    both["timeout_ms"] = json!(1);
    assert_eq!(client.ask(both).await["error"]["code"], "invalid_params");
}

#[tokio::test]
async fn outcomes_come_in_the_order_of_completion_and_by_id() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.send(json!({"type": "call", "id": "slow", "method": "hold"})).await;
    let mut peer = engine.attached().await;
    let held = peer.held().await;
    let quick =
        client.ask(json!({"type": "call", "id": "quick", "method": "add", "params": [1, 1]})).await;
    assert_eq!(quick["id"], "quick");
    // An id is for one call at a time.
    let twice =
        client.ask(json!({"type": "call", "id": "slow", "method": "add", "params": [1, 1]})).await;
    assert_eq!((&twice["id"], &twice["error"]["code"]), (&json!("slow"), &json!("PROTOCOL_ERROR")));
    peer.connection.reply(held, Encoded::new(Encoding::Raw, vec![0, 1]));
    let slow = client.next().await;
    assert_eq!((&slow["id"], &slow["result"]), (&json!("slow"), &json!({"$bytes": "AAE="})));
    // And free again afterwards.
    let again =
        client.ask(json!({"type": "call", "id": "slow", "method": "add", "params": [1, 1]})).await;
    assert_eq!(again["ok"], true);
}

#[tokio::test]
async fn a_deadline_and_a_cancel_end_a_call() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.register_own(&[]).await;
    let late =
        client.ask(json!({"type": "call", "id": 1, "method": "hold", "timeout_ms": 20})).await;
    assert_eq!((&late["id"], &late["error"]["code"]), (&json!(1), &json!("DEADLINE_EXCEEDED")));
    client.send(json!({"type": "call", "id": 2, "method": "hold"})).await;
    client.send(json!({"type": "cancel", "id": 2})).await;
    let cancelled = client.next().await;
    assert_eq!((&cancelled["id"], &cancelled["error"]["code"]), (&json!(2), &json!("CANCELLED")));
    // One that is over is ignored.
    client.send(json!({"type": "cancel", "id": 2})).await;
    assert_eq!(client.ask(json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test]
async fn what_json_cannot_say_is_a_typed_error_for_the_caller() {
    let engine = TestEngine::new();
    let mut client = Client::with(&engine, IDLE, 1 << 20).await;
    client.register_seed().await;
    let failed = client.ask(json!({"type": "call", "id": 1, "method": "nan"})).await;
    assert_eq!(
        (&failed["error"]["code"], &failed["error"]["executed"]),
        (&json!("invalid_result"), &json!("yes"))
    );
    let failed = client.ask(json!({"type": "call", "id": 1, "method": "large"})).await;
    assert_eq!(failed["error"]["code"], "RESULT_TOO_LARGE");

    let peer = engine.attached().await;
    let nan = vec![0x91, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0];
    let call =
        peer.connection.start(procall::Request::new("math.add", Encoding::Msgpack, &nan)).unwrap();
    assert_eq!(outcome(call).await.unwrap_err().code(), ErrorCode::InvalidArgument);

    // Python writes NaN, which is no JSON; the caller hears why.
    for result in ["NaN", "[1, 99999999999999999999]", "{\"a\": 1, \"a\": 2}", "{\"$x\": 1}"] {
        let call = peer.call("math.add", json!([]));
        let id = client.next().await["id"].clone();
        client
            .text(&format!(
                "{{\"type\": \"result\", \"id\": {id}, \"ok\": true, \"result\": {result}}}"
            ))
            .await;
        let error = outcome(call).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidResult, "{result}");
        assert!(error.message().starts_with("the peer's answer cannot be read"), "{error}");
    }
}

#[tokio::test]
async fn own_peers_get_the_extended_fields_and_cancels() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.register_own(&["f"]).await;
    let peer = engine.attached().await;
    let options = CallOptions {
        deadline: Deadline::After(Duration::from_secs(9)),
        idempotent: true,
        meta: encoded(&json!({"from": UUID, "k": "v"})),
        ..CallOptions::default()
    };
    let call = peer.call_with("f", json!([1]), options);
    let asked = client.next().await;
    let left = asked["timeout_ms"].as_u64().unwrap();
    assert!(left <= 9000 && left > 1000, "{left}");
    let expected = json!({
        "type": "invokefunctionmessage", "id": asked["id"], "to": "own", "method": "f",
        "params": [1], "timeout_ms": left, "idempotent": true, "meta": {"from": UUID, "k": "v"},
    });
    assert_eq!(asked, expected);
    call.cancel();
    let cancel = client.next().await;
    assert_eq!(cancel, json!({"type": "cancel", "id": asked["id"], "reason": 0}));
    assert_eq!(outcome(call).await.unwrap_err().code(), ErrorCode::Cancelled);
    // It answers all the same, too late: that goes nowhere and harms nobody.
    client.send(json!({"type": "result", "id": asked["id"], "ok": true, "result": 1})).await;

    let options = CallOptions {
        deadline: Deadline::After(Duration::from_millis(20)),
        ..CallOptions::default()
    };
    let call = peer.call_with("f", json!([1]), options);
    let asked = client.next().await;
    assert_eq!(client.next().await, json!({"type": "cancel", "id": asked["id"], "reason": 1}));
    assert_eq!(outcome(call).await.unwrap_err().code(), ErrorCode::DeadlineExceeded);

    let call = peer.call("f", json!([2]));
    let asked = client.next().await;
    client
        .send(json!({"type": "progress", "id": asked["id"], "done": 1, "total": 2, "text": "half"}))
        .await;
    let mut call = call;
    let progress = soon(std::future::poll_fn(|cx| call.poll_progress(cx.waker()))).await.unwrap();
    assert_eq!(progress.to_string(), "1/2 half");
    client.send(json!({"type": "result", "id": asked["id"].as_str().unwrap().to_uppercase(), "ok": true, "result": 5})).await;
    assert_eq!(outcome(call).await.unwrap(), json!(5));
    assert_eq!(client.leave().await, Counters { late: 1, ..Counters::default() });
}

#[tokio::test]
async fn no_version_in_common_ends_the_link() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    let fault = client.ask(json!({"type": "hello", "min": 2, "max": 3})).await;
    assert_eq!((&fault["type"], &fault["code"]), (&json!("fault"), &json!("VERSION_MISMATCH")));
    assert_eq!(client.next_text().await, None);
    soon(client.gateway).await.unwrap();
}

#[tokio::test]
async fn the_end_of_the_connection_ends_the_calls_and_the_link() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.register_own(&[]).await;
    client.send(json!({"type": "call", "id": 1, "method": "hold"})).await;
    let mut peer = engine.attached().await;
    peer.registered().await;
    peer.held().await;
    peer.connection.drain("restart");
    assert_eq!(client.next().await, json!({"type": "goaway", "step": 1}));
    peer.connection.close();
    let failed = client.next().await;
    assert_eq!((&failed["id"], &failed["error"]["code"]), (&json!(1), &json!("CONNECTION_LOST")));
    assert_eq!(client.next_text().await, None);
    soon(client.gateway).await.unwrap();
}

#[tokio::test]
async fn an_engine_that_takes_nobody_says_so() {
    let engine = TestEngine::full();
    let mut client = Client::connect(&engine).await;
    let refused = client.ask(json!({"type": "call", "id": 1, "method": "add"})).await;
    assert_eq!(
        (&refused["type"], &refused["id"], &refused["code"]),
        (&json!("error"), &json!(1), &json!("OVERLOADED"))
    );
    assert_eq!(client.next_text().await, None);
    let mut client = Client::connect(&engine).await;
    let refused = client.ask(json!({"id": 1, "method": "add"})).await;
    assert_eq!(refused["error"]["code"], "SERVER_BUSY");
}
