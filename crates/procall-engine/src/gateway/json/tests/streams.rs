//! Streams between JSON peers and the engine.

use std::future::poll_fn;

use procall::{CallOptions, ErrorCode};
use serde_json::{Value, json};

use super::engine::{decoded, encoded, outcome};
use super::*;

#[tokio::test]
async fn a_peer_reads_a_stream_by_credit() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    let info = json!({"stream_items": 10});
    client.ask(json!({"type": "hello", "min": 1, "max": 1, "info": info})).await;
    client
        .send(
            json!({"type": "call", "id": 1, "method": "count", "params": [100], "items_out": true}),
        )
        .await;
    let mut seen = 0;
    let mut credit = 10;
    loop {
        let message = client.next().await;
        if message["type"] == "end" {
            assert_eq!(message, json!({"type": "end", "id": 1, "count": 100}));
            break;
        }
        assert_eq!(message, json!({"type": "item", "id": 1, "value": seen}));
        seen += 1;
        credit -= 1;
        if credit == 0 && seen < 100 {
            // Nothing comes without credit: the pong is the next thing.
            assert_eq!(client.ask(json!({"type": "ping"})).await["type"], "pong");
            client.send(json!({"type": "credit", "id": 1, "items": 30, "bytes": 1000})).await;
            credit = 30;
        }
    }
    assert_eq!(seen, 100);

    client
        .send(json!({"type": "call", "id": 2, "method": "count", "params": [3], "items_out": true}))
        .await;
    for value in 0..3 {
        assert_eq!(client.next().await["value"], value);
    }
    let failed = client.next().await;
    assert_eq!((&failed["id"], &failed["error"]["type"]), (&json!(2), &json!("Odd")));

    // Given up in the middle, it stops.
    client.send(json!({"type": "call", "id": 3, "method": "count", "params": [1000], "items_out": true})).await;
    for _ in 0..10 {
        client.next().await;
    }
    client.send(json!({"type": "cancel", "id": 3})).await;
    client.send(json!({"type": "credit", "id": 3, "items": 1000, "bytes": 100000})).await;
    loop {
        let message = client.next().await;
        if message["type"] == "result" {
            assert_eq!(message["error"]["code"], "CANCELLED");
            break;
        }
    }
}

#[tokio::test]
async fn a_peer_sends_a_stream_by_credit() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.register_own(&[]).await;
    client.send(json!({"type": "call", "id": 1, "method": "sum", "items_in": true})).await;
    let mut credit: u64 = 64;
    let mut sum = 0;
    for n in 0..1000_u64 {
        while credit == 0 {
            let message = client.next().await;
            match message["type"].as_str().unwrap() {
                "credit" => credit += message["items"].as_u64().unwrap(),
                "progress" => assert_eq!(
                    message,
                    json!({"type": "progress", "id": 1, "done": 0, "total": 3, "text": "summing"})
                ),
                other => panic!("{other}"),
            }
        }
        credit -= 1;
        sum += n;
        client.send(json!({"type": "item", "id": 1, "value": n})).await;
    }
    client.send(json!({"type": "end", "id": 1, "count": 1000})).await;
    let result = loop {
        let message = client.next().await;
        if message["type"] == "result" {
            break message;
        }
    };
    assert_eq!(result, json!({"type": "result", "id": 1, "ok": true, "result": sum}));
}

#[tokio::test]
async fn a_stream_that_breaks_the_rules_ends_its_call_only() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    let begin = json!({"type": "call", "id": 1, "method": "hold", "items_in": true});
    let failed = async |client: &mut Client, message: Value| {
        client.send(begin.clone()).await;
        client.send(message).await;
        let result = client.next().await;
        assert_eq!(result["id"], 1);
        result["error"].clone()
    };
    let error = failed(&mut client, json!({"type": "end", "id": 1, "count": 5})).await;
    assert_eq!(error["code"], "PROTOCOL_ERROR");
    assert!(error["message"].as_str().unwrap().contains("0 items came"));
    client.send(begin.clone()).await;
    client.send(json!({"type": "item", "id": 1, "value": {"$odd": 1}})).await;
    assert_eq!(client.next().await["error"]["code"], "invalid_params");
    client.send(json!({"type": "call", "id": 1, "method": "hold"})).await;
    client.send(json!({"type": "item", "id": 1, "value": 1})).await;
    assert_eq!(client.next().await["error"]["code"], "PROTOCOL_ERROR");
    // More than the credit allows.
    client.send(begin.clone()).await;
    for _ in 0..200 {
        client.send(json!({"type": "item", "id": 1, "value": 1})).await;
    }
    let error = loop {
        let message = client.next().await;
        match message["type"].as_str().unwrap() {
            "credit" => {}
            _ => break message["error"].clone(),
        }
    };
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("PROTOCOL_ERROR"), &json!("an item came without credit"))
    );
    assert_eq!(client.ask(json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test]
async fn a_peer_serves_streams() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.register_own(&["both"]).await;
    let peer = engine.attached().await;
    let options = CallOptions { items_in: true, items_out: true, ..CallOptions::default() };
    let mut call = peer.call_with("both", json!([]), options);
    let asked = client.next().await;
    let id = asked["id"].clone();
    let flags = json!([asked["items_in"], asked["items_out"], asked["opening"]]);
    assert_eq!(flags, json!([true, true, true]));
    for n in 0..100 {
        let item = encoded(&json!(n));
        soon(poll_fn(|cx| call.poll_send(procall::Encoding::Msgpack, &item, cx.waker())))
            .await
            .unwrap();
        let message = client.next().await;
        assert_eq!(message, json!({"type": "item", "id": id, "value": n}));
        client.send(json!({"type": "credit", "id": id, "items": 1, "bytes": 10})).await;
        client.send(json!({"type": "item", "id": id, "value": n * 2})).await;
        let item = soon(poll_fn(|cx| call.poll_item(cx.waker()))).await.unwrap().unwrap();
        assert_eq!(decoded(item.encoding, &item.bytes), json!(n * 2));
        if n % 32 == 31 {
            let credit = client.next().await;
            assert_eq!((&credit["type"], &credit["items"]), (&json!("credit"), &json!(32)));
        }
    }
    call.end_items();
    assert_eq!(client.next().await, json!({"type": "end", "id": id, "count": 100}));
    client.send(json!({"type": "end", "id": id, "count": 100})).await;
    assert!(soon(poll_fn(|cx| call.poll_item(cx.waker()))).await.is_none());

    let mut call = peer.call_with(
        "both",
        json!([]),
        CallOptions { items_out: true, ..CallOptions::default() },
    );
    let id = client.next().await["id"].clone();
    client.send(json!({"type": "end", "id": id, "count": 3})).await;
    let error = soon(poll_fn(|cx| call.poll_item(cx.waker()))).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::ProtocolError);
    assert_eq!(client.next().await["type"], "cancel");
    let mut call = peer.call_with(
        "both",
        json!([]),
        CallOptions { items_out: true, ..CallOptions::default() },
    );
    let id = client.next().await["id"].clone();
    client.send(json!({"type": "result", "id": id, "ok": true, "result": 3})).await;
    let error = soon(poll_fn(|cx| call.poll_item(cx.waker()))).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::ProtocolError);
}

#[tokio::test]
async fn clients_of_the_seeds_get_no_streams() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.register_seed().await;
    let peer = engine.attached().await;
    let call = peer.call_with(
        "math.add",
        json!([]),
        CallOptions { items_in: true, ..CallOptions::default() },
    );
    let error = outcome(call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().contains("hello"), "{error}");
}
