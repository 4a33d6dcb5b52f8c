//! The four generations of the engine dialect's clients, by the bytes that they send.

use procall::{ErrorCode, Executed};
use serde_json::{Value, json};

use super::engine::{News, outcome};
use super::*;
use crate::facts::Speaks;

const HEARTBEAT: &str = r#"{"type":"notify","to":null,"method":"client.heartbeat","params":{"ts":"2026-11-21T00:00:00.000000000+00:00"}}"#;

/// The client of the first generation in Python: compact JSON, `from` everywhere.
const FIRST_REGISTER: &str = r#"{"type":"register","from":"0d4a7a3c-9d53-4c5f-a2a5-9a7a94f3b0c1","methods":[{"name":"math.add","params_schema":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a","b"],"additionalProperties":false},"result_schema":{"type":"number"}}]}"#;

#[tokio::test]
async fn the_fourth_generation_registers_and_beats() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    let ack = client.register_seed().await;
    let mut echo: Value = serde_json::from_str(SEED_REGISTER).unwrap();
    // The label that the engine gave, and all that such a client insists on.
    echo["name"] = json!("example_client-2");
    assert_eq!(ack, echo);
    let mut peer = engine.attached().await;
    assert_eq!(peer.facts.speaks, Speaks::Json);
    assert!(peer.facts.hears_broadcasts);
    let registration = peer.registered().await;
    assert_eq!(registration.name, "example_client");
    assert_eq!(registration.methods[0].name, "math.add");
    assert_eq!(registration.methods[0].params_schema.as_ref().unwrap()["required"][1], "b");

    client.text(HEARTBEAT).await;
    match peer.next().await {
        News::Notified(method, params, meta) => {
            assert_eq!((&*method, meta), ("client.heartbeat", json!({"broadcast": true})));
            assert!(params["ts"].is_string());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(client.leave().await, Counters::default());
    peer.closed().await;
}

#[tokio::test]
async fn the_fourth_generation_is_called() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.register_seed().await;
    let peer = engine.attached().await;

    let call = peer.call("math.add", json!({"a": 1, "b": 2}));
    let text = client.next_text().await.unwrap();
    let asked: Value = serde_json::from_str(&text).unwrap();
    assert!(is_uuid(&asked["id"]));
    // Byte for byte what the old engine would have forwarded.
    let id = asked["id"].as_str().unwrap();
    let expected = format!(
        "{{\"type\":\"invokefunctionmessage\",\"id\":\"{id}\",\"to\":\"example_client-2\",\"method\":\"math.add\",\"params\":{{\"a\":1,\"b\":2}}}}"
    );
    assert_eq!(text, expected);
    client
        .text(&format!("{{\"type\":\"result\",\"id\":\"{id}\",\"ok\":true,\"result\":3.0}}"))
        .await;
    assert_eq!(outcome(call).await.unwrap(), json!(3.0));

    for (code, expected) in [
        ("method_not_found", ErrorCode::NotFound),
        ("invalid_params", ErrorCode::InvalidArgument),
        ("client_error", ErrorCode::HandlerError),
    ] {
        let call = peer.call("math.add", json!([1]));
        let id = client.next().await["id"].clone();
        let error = json!({"code": code, "message": "expected numeric fields"});
        client.send(json!({"type": "result", "id": id, "ok": false, "error": error})).await;
        let error = outcome(call).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (expected, "expected numeric fields"));
        assert_eq!(error.remote_type(), Some(code));
    }

    // Its handler takes names only, whatever the caller gives.
    let call = peer.call("math.add", json!([1, 2]));
    let asked = client.next().await;
    assert_eq!(asked["params"], json!({"a": 1, "b": 2}));
    client.send(json!({"type": "result", "id": asked["id"], "ok": true, "result": 3})).await;
    assert_eq!(outcome(call).await.unwrap(), json!(3));

    // No params are null, for the field must be there.
    let call = peer.call("math.add", Value::Null);
    let asked = client.next().await;
    assert_eq!(asked.get("params"), Some(&Value::Null));
    client.send(json!({"type": "result", "id": asked["id"], "ok": true})).await;
    assert_eq!(outcome(call).await.unwrap(), Value::Null);
}

#[tokio::test]
async fn the_fourth_generation_calls() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.register_seed().await;
    let invoke = |method: &str, params: Value| json!({"type": "invokefunctionmessage", "id": UUID, "to": null, "method": method, "params": params});
    let text = client.ask(invoke("math.add", json!({"a": 1, "b": 2}))).await;
    assert_eq!(text, json!({"type": "result", "id": UUID, "ok": true, "result": 3.0}));
    let failed = client.ask(invoke("nothing", json!({}))).await;
    assert_eq!(failed["ok"], false);
    assert_eq!(failed["error"]["code"], "method_not_found");
    let failed = client.ask(invoke("add", json!({}))).await;
    assert_eq!(failed["error"]["code"], "invalid_params");
    assert_eq!(failed["error"]["fields"], json!([{"path": "/a", "message": "missing"}]));
    let failed = client.ask(invoke("divide", json!([1, 0]))).await;
    let expected = json!({
        "code": "HANDLER_ERROR", "message": "division by zero", "executed": "yes",
        "type": "ZeroDivisionError",
    });
    assert_eq!(failed["error"], expected);
    // `to` becomes metadata.
    let message = json!({"type": "invokefunctionmessage", "id": UUID, "to": "127.0.0.1:36746", "method": "meta", "params": {}});
    assert_eq!(client.ask(message).await["result"], json!({"to": "127.0.0.1:36746"}));
}

#[tokio::test]
async fn the_first_generation_has_a_sender_in_every_message() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.text(FIRST_REGISTER).await;
    let ack = client.next().await;
    assert_eq!(
        (&ack["type"], &ack["from"]),
        (&json!("register"), &json!("0d4a7a3c-9d53-4c5f-a2a5-9a7a94f3b0c1"))
    );
    let mut peer = engine.attached().await;
    assert_eq!(peer.registered().await.name, "0d4a7a3c-9d53-4c5f-a2a5-9a7a94f3b0c1");

    let meta = super::engine::encoded(&json!({"from": UUID}));
    let options = procall::CallOptions { meta, ..Default::default() };
    let call = peer.call_with("math.add", json!({"a": 1, "b": 2}), options);
    let asked = client.next().await;
    let expected = json!({
        "type": "call", "id": asked["id"], "from": UUID,
        "to": "0d4a7a3c-9d53-4c5f-a2a5-9a7a94f3b0c1", "method": "math.add", "params": {"a": 1, "b": 2},
    });
    assert_eq!(asked, expected);
    let id = asked["id"].as_str().unwrap();
    client
        .text(&format!(
            "{{\"type\":\"result\",\"id\":\"{id}\",\"from\":\"x\",\"ok\":true,\"result\":3.0}}"
        ))
        .await;
    assert_eq!(outcome(call).await.unwrap(), json!(3.0));

    // An unknown method is answered with `error`.
    let call = peer.call("other", json!({}));
    let id = client.next().await["id"].clone();
    client.send(json!({"type": "error", "id": id, "from": "x", "code": "method_not_found", "message": "no handler for other"})).await;
    let error = outcome(call).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (ErrorCode::NotFound, "no handler for other"));

    let nil = "00000000-0000-0000-0000-000000000000";
    assert_eq!(
        client.ask(json!({"type": "ping", "from": "x"})).await,
        json!({"type": "pong", "from": nil})
    );
    let message = json!({"type": "call", "id": UUID, "from": "x", "to": null, "method": "add", "params": [1, 2]});
    let result = client.ask(message).await;
    assert_eq!(
        result,
        json!({"type": "result", "id": UUID, "from": nil, "ok": true, "result": 3.0})
    );

    peer.notify("log", json!({"x": 1}), json!({"from": UUID, "broadcast": true}));
    let expected =
        json!({"type": "notify", "from": UUID, "to": null, "method": "log", "params": {"x": 1}});
    assert_eq!(client.next().await, expected);
}

#[tokio::test]
async fn the_generations_between_register_without_from_or_description() {
    for (register, name) in [
        (
            r#"{"type":"register","methods":[{"name":"math.add","params_schema":{},"result_schema":{}}]}"#,
            "",
        ),
        (
            r#"{"type":"register","name":"c","description":null,"methods":[{"name":"math.add"}]}"#,
            "c",
        ),
    ] {
        let engine = TestEngine::new();
        let mut client = Client::connect(&engine).await;
        client.text(register).await;
        let ack = client.next().await;
        assert_eq!(
            (&ack["type"], &ack["name"], &ack["description"]),
            (&json!("register"), &json!(name), &json!(""))
        );
        let mut peer = engine.attached().await;
        assert_eq!(peer.registered().await.name, name);
        let call = peer.call("math.add", json!({}));
        let asked = client.next().await;
        assert_eq!(asked["type"], "invokefunctionmessage");
        client.send(json!({"type": "result", "id": asked["id"], "ok": true, "result": 1})).await;
        assert_eq!(outcome(call).await.unwrap(), json!(1));
    }
}

#[tokio::test]
async fn a_refused_registration_can_be_mended() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    for (params, result, code) in [
        ("nonsense", "number", "invalid_params_schema"),
        ("object", "nonsense", "invalid_result_schema"),
        ("nonsense", "nonsense", "invalid_params_schema"),
    ] {
        let methods = json!([{"name": "f", "params_schema": {"type": params}, "result_schema": {"type": result}}]);
        let refused = client
            .ask(json!({"type": "register", "name": "c", "description": "", "methods": methods}))
            .await;
        assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!(code)));
        assert!(is_uuid(&refused["id"]));
        assert!(refused["message"].as_str().unwrap().ends_with("of f does not compile"));
    }
    let refused = client.ask(json!({"type": "register", "id": "r", "methods": 5})).await;
    assert_eq!((&refused["id"], &refused["code"]), (&json!("r"), &json!("INVALID_ARGUMENT")));
    let refused =
        client.ask(json!({"type": "register", "methods": [{"name": "a"}, {"name": "a"}]})).await;
    assert!(refused["message"].as_str().unwrap().contains("registered twice"));
    assert_eq!(client.register_seed().await["type"], "register");
    let registered =
        client.ask(json!({"type": "register", "id": 7, "name": "c", "methods": []})).await;
    let expected = json!({"type": "registered", "id": 7, "ok": true, "name": "c", "peer": UUID});
    assert_eq!(registered, expected);
}

#[tokio::test]
async fn pings_and_unknown_types_are_answered() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    assert_eq!(client.ask(json!({"type": "ping"})).await, json!({"type": "pong"}));
    assert_eq!(
        client.ask(json!({"type": "ping", "nonce": 7})).await,
        json!({"type": "pong", "nonce": 7})
    );
    let error = client.ask(json!({"type": "of the future", "id": 5})).await;
    assert_eq!(
        (&error["type"], &error["id"], &error["code"]),
        (&json!("error"), &json!(5), &json!("PROTOCOL_ERROR"))
    );
    assert!(error["message"].as_str().unwrap().contains("of the future"));
    client.register_seed().await;
    // Such a client can only read errors that have a UUID.
    client.text("{").await;
    let error = client.next().await;
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("PROTOCOL_ERROR")));
    assert!(is_uuid(&error["id"]));
    assert_eq!(client.ask(json!({"type": "ping"})).await, json!({"type": "pong"}));
}

#[tokio::test]
async fn notifications_reach_the_peer_unless_it_does_not_want_them() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.register_seed().await;
    let mut peer = engine.attached().await;
    peer.registered().await;
    peer.notify("log", json!([1]), json!({"broadcast": true}));
    let text = client.next_text().await.unwrap();
    assert_eq!(text, r#"{"type":"notify","to":null,"method":"log","params":[1]}"#);
    peer.notify("log", json!([2]), json!({"to": "example_client-2"}));
    assert_eq!(client.next().await["to"], "example_client-2");
    client.send(json!({"type": "notify", "to": "other", "method": "m", "params": null})).await;
    match peer.next().await {
        News::Notified(method, params, meta) => {
            assert_eq!((&*method, params, meta), ("m", Value::Null, json!({"to": "other"})));
        }
        other => panic!("{other:?}"),
    }

    let mut quiet = Client::connect(&engine).await;
    let register = json!({"type": "register", "name": "q", "methods": [], "broadcasts": false});
    quiet.ask(register).await;
    let peer = engine.attached().await;
    assert!(!peer.facts.hears_broadcasts);
    peer.notify("log", json!([1]), json!({"broadcast": true}));
    peer.notify("log", json!([2]), json!({}));
    assert_eq!(quiet.next().await["params"], json!([2]));
}

#[tokio::test]
async fn nobody_waits_for_a_peer_that_vanished() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.register_seed().await;
    let mut peer = engine.attached().await;
    peer.registered().await;
    let call = peer.call("math.add", json!({"a": 1, "b": 2}));
    client.next().await;
    client.send(json!({"type": "call", "id": 1, "method": "hold"})).await;
    let held = peer.held().await;
    client.leave().await;
    let error = outcome(call).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::ConnectionLost, Executed::Maybe));
    peer.closed().await;
    assert!(!peer.connection.is_wanted(held));
}
