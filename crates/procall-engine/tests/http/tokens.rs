//! The engine's own tokens over HTTP: each lets in with its rights.

use procall::{Client, ConnectOptions};
use procall_engine::{EngineBuilder, Rights};
use serde_json::{Value, json};

use crate::support::{Answer, House, JSON, Lab, MyLab, Worker, failure};
use crate::websocket::{heard_json, open, say};

const ADDS: &str = "adds-0123456789abcdef";
const OTHER: &str = "other-0123456789abcdef";
const WORKER: &str = "worker-0123456789abcdef";
const HTTP: &str = "open-sesame";

fn tokens(builder: EngineBuilder) -> EngineBuilder {
    builder
        .token("adds", ADDS, Rights::none().call("lab.add"))
        .token("other", OTHER, Rights::none().call("bank.*"))
        .token("worker", WORKER, Rights::none().register("lab"))
}

/// A house with a lab that has come in with a token.
async fn lab(shape: impl FnOnce(EngineBuilder) -> EngineBuilder) -> (House, Worker) {
    let house = House::with(|builder| shape(tokens(builder)));
    let worker = house.serve(MyLab::default().into_service().engine_token(WORKER)).await;
    (house, worker)
}

async fn add(house: &House, token: Option<&str>) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![JSON];
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    house.ask("POST /v1/call/lab/add", &headers, "[1, 2]").await
}

#[tokio::test]
async fn a_call_has_the_rights_of_its_token() {
    let (house, _worker) = lab(|builder| builder).await;
    let answer = add(&house, Some(ADDS)).await;
    assert_eq!((answer.status, &*answer.body), (200, "3.0"));
    for token in [OTHER, WORKER] {
        let answer = add(&house, Some(token)).await;
        assert_eq!(answer.failure(), failure(403, "PERMISSION_DENIED", "no"), "{token}");
        assert!(answer.body.contains("call=lab.add"), "{}", answer.body);
    }
    for wrong in [Some("wrong-0123456789abcdef"), Some(""), Some(HTTP), None] {
        let answer = add(&house, wrong).await;
        assert_eq!(answer.failure(), failure(401, "UNAUTHENTICATED", "no"), "{wrong:?}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        assert!(!answer.body.contains(ADDS));
    }
}

#[tokio::test]
async fn what_there_is_is_told_only_to_those_who_have_a_token() {
    let (house, _worker) = lab(|builder| builder).await;
    let bearer = format!("Bearer {OTHER}");
    for path in ["/v1/methods", "/openapi.json", "/metrics"] {
        assert_eq!(house.get(path).await.status, 401, "{path}");
        let answer = house.ask(&format!("GET {path}"), &[("Authorization", &bearer)], "").await;
        assert_eq!(answer.status, 200, "{path}");
    }
    assert_eq!(house.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn without_tokens_nobody_needs_one() {
    let house = House::new();
    let _worker = house.serve(MyLab::default().into_service()).await;
    assert_eq!(add(&house, None).await.status, 200);
    assert_eq!(add(&house, Some("whatever this is")).await.status, 200);
}

#[tokio::test]
async fn the_gateways_own_token_lets_in_beside_them_with_the_rights_of_guests() {
    let (house, _worker) = lab(|builder| builder.http_token(HTTP)).await;
    assert_eq!(add(&house, Some(HTTP)).await.status, 200);
    assert_eq!(add(&house, Some(ADDS)).await.status, 200);
    assert_eq!(add(&house, Some(OTHER)).await.status, 403);
    assert_eq!(add(&house, None).await.status, 401);
    let guests = |builder: EngineBuilder| {
        builder.http_token(HTTP).guests(Rights::none().call("procall.engine.*"))
    };
    let (house, _worker) = lab(guests).await;
    assert_eq!(add(&house, Some(HTTP)).await.status, 403);
}

#[tokio::test]
async fn one_connection_may_bring_another_token_with_each_request() {
    let (house, _worker) = lab(|builder| builder).await;
    let mut wire = house.connect().await;
    for (token, status) in [(ADDS, 200), (OTHER, 403), (ADDS, 200), ("wrong", 401), (OTHER, 403)] {
        let bearer = format!("Bearer {token}");
        let headers = [JSON, ("Authorization", &bearer)];
        let answer = wire.ask("POST /v1/call/lab/add", &headers, "[1, 2]").await;
        assert_eq!(answer.status, status, "{token}");
    }
    // Each token has its own place among the peers, under its name.
    house
        .until(|peers| {
            let has = |name| peers.iter().any(|peer| peer.token.as_deref() == Some(name));
            has("adds") && has("other")
        })
        .await;
    drop(wire);
    house.until(|peers| peers.iter().all(|peer| peer.token.as_deref() != Some("adds"))).await;
}

#[tokio::test]
async fn json_rpc_has_the_rights_of_its_token_too() {
    let (house, _worker) = lab(|builder| builder).await;
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "lab.add", "params": [1, 2]});
    let ask = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [JSON, ("Authorization", &*bearer)];
        house.ask("POST /rpc", &headers, &request.to_string()).await
    };
    assert_eq!(ask(ADDS).await.json()["result"], 3.0);
    let refused = ask(OTHER).await.json();
    assert_eq!(refused["error"]["data"]["code"], "PERMISSION_DENIED", "{refused}");
    assert_eq!(ask("wrong").await.status, 401);
}

/// What the lab says to `1 + 2` over an open socket.
async fn over_socket(
    house: &House,
    headers: &[(&'static str, &str)],
    inside: Option<&str>,
) -> Value {
    let mut socket = open(house, headers).await.unwrap();
    let info = inside.map_or_else(|| json!({}), |token| json!({"token": token}));
    say(&mut socket, json!({"type": "hello", "min": 1, "max": 1, "info": info})).await;
    let welcome = heard_json(&mut socket).await;
    if welcome["type"] != "welcome" {
        return welcome;
    }
    say(&mut socket, json!({"type": "call", "id": 1, "method": "lab.add", "params": [1, 2]})).await;
    heard_json(&mut socket).await
}

#[tokio::test]
async fn a_websocket_has_the_rights_of_the_token_of_its_request_or_of_the_one_shown_inside() {
    let (house, _worker) = lab(|builder| builder).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let protocol = |token: &str| format!("procall, bearer.{token}");
    for headers in [("authorization", bearer(ADDS)), ("sec-websocket-protocol", protocol(ADDS))] {
        let answer = over_socket(&house, &[(headers.0, &headers.1)], None).await;
        assert_eq!(answer["result"], 3.0, "{answer}");
    }
    let answer = over_socket(&house, &[("authorization", &bearer(OTHER))], None).await;
    assert_eq!(answer["error"]["code"], "PERMISSION_DENIED", "{answer}");
    assert_eq!(over_socket(&house, &[], Some(ADDS)).await["result"], 3.0);
    let answer = over_socket(&house, &[], None).await;
    assert!(answer.to_string().contains("UNAUTHENTICATED"), "{answer}");
    let error = open(&house, &[("authorization", &bearer("wrong"))]).await.unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
}

#[tokio::test]
async fn native_peers_show_theirs_as_ever() {
    let (house, _worker) = lab(|builder| builder.http_token(HTTP)).await;
    let options = |token: &str| ConnectOptions {
        token: Some(token.as_bytes().to_vec()),
        ..ConnectOptions::default()
    };
    let client = Client::connect_with(&house.address, options(ADDS)).await.unwrap();
    assert_eq!(client.call::<f64>("lab.add", (1, 2)).await.unwrap(), 3.0);
    let error = Client::connect_with(&house.address, options(HTTP)).await.unwrap_err();
    assert_eq!(error.code(), procall::ErrorCode::Unauthenticated);
}
