//! Who may come in, and what they may do then.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use procall::{Client, ConnectOptions, Error, ErrorCode, Executed, Service};
use procall_engine::{Engine, Event, PeerRow, Rights};
use serde_json::{Value, json};

use crate::own::{events, next};
use crate::raw::Raw;
use crate::support::{House, Worker, math};

const ALL: &str = "all-0123456789abcdef";
const MATH: &str = "math-0123456789abcdef";
const WORKER: &str = "worker-0123456789abcdef";
const LOUD: &str = "loud-0123456789abcdef";

fn house() -> House {
    House::with(|builder| {
        builder
            .token("boss", ALL, Rights::all())
            .token("math", MATH, Rights::none().call("math.*"))
            .token("worker", WORKER, Rights::none().register("math"))
            .token("loud", LOUD, Rights::none().broadcast())
    })
}

/// All but those in the engine's own process.
async fn strangers(house: &House) -> Vec<PeerRow> {
    let mut peers = house.peers().await;
    peers.retain(|peer| peer.address != "inside");
    peers
}

async fn connect(house: &House, secret: &str) -> Result<Client, Error> {
    let options = ConnectOptions { token: Some(secret.into()), ..ConnectOptions::default() };
    Client::connect_with(&house.address, options).await
}

async fn serve(house: &House, service: Service, secret: &str) -> Worker {
    let before = house.peers().await.len();
    let worker = Worker::start(service.engine_token(secret), &house.address);
    house.until(|peers| peers.len() > before && peers.iter().any(|peer| peer.methods > 0)).await;
    worker
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_shows_no_token_or_a_wrong_one_gets_no_further_than_a_refusal() {
    let house = house();
    let error = Client::connect(&house.address).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Unauthenticated, Executed::No));
    assert!(error.message().contains("a token is needed"), "{error}");
    for wrong in ["all-0123456789abcdeg", "", "a", &ALL[1..], &format!("{ALL}{ALL}")] {
        let error = connect(&house, wrong).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unauthenticated);
        assert!(error.message().contains("the token is wrong"), "{error}");
        assert!(!format!("{error:?}").contains(ALL), "{error:?}");
    }
    let service = math().engine(&house.address);
    let error = service.run_until(std::future::pending()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
    assert!(strangers(&house).await.is_empty(), "none of them was ever a peer");
    let boss = connect(&house, ALL).await.unwrap();
    house.until(|peers| peers.iter().any(|peer| peer.token.is_some())).await;
    let rows = strangers(&house).await;
    assert_eq!(
        (rows[0].token.as_deref(), &*rows[0].rights),
        (Some("boss"), "call=* register=* broadcast administer")
    );
    drop(boss);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_the_right_to_it_never_reaches_a_handler() {
    let house = house();
    let ran = Arc::new(AtomicUsize::new(0));
    let counted = ran.clone();
    let bank = Service::new("bank").method("pay", move || counted.fetch_add(1, Ordering::Relaxed));
    let _bank = serve(&house, bank, ALL).await;
    let _math = serve(&house, math(), WORKER).await;
    let client = connect(&house, MATH).await.unwrap();
    house.until(|peers| peers.iter().map(|peer| peer.methods).sum::<usize>() == 2).await;
    assert_eq!(client.call::<f64>("math.add", (1, 2)).await.unwrap(), 3.0);
    assert_eq!(client.call::<f64>("add", (1, 2)).await.unwrap(), 3.0);
    for name in ["bank.pay", "pay"] {
        let error = client.call::<usize>(name, ()).await.unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::PermissionDenied, Executed::No));
        let text =
            "the token \"math\" does not allow to call bank.pay; it lacks the right call=bank.pay";
        assert_eq!(error.message(), text);
        let to_all = client.call::<Value>(name, ()).meta(&json!({"all": true})).await;
        assert_eq!(to_all.unwrap_err().code(), ErrorCode::PermissionDenied);
        client.notify(name, ()).unwrap();
    }
    // What only looks is a call like any other; what changes something is not.
    let error = client.call::<Value>("procall.engine.peers", ()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    assert_eq!(ran.load(Ordering::Relaxed), 0);
    let boss = connect(&house, ALL).await.unwrap();
    assert_eq!(boss.call::<usize>("bank.pay", ()).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_serves_what_its_token_says_and_nothing_else() {
    let house = house();
    let refused = |service: Service, secret: &'static str| {
        let service = service.engine(&house.address).engine_token(secret);
        async move { service.run_until(std::future::pending()).await.unwrap_err() }
    };
    let error = refused(Service::new("bank").method("pay", || 1), WORKER).await;
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    assert!(error.message().contains("register=bank"), "{error}");
    let error = refused(math(), MATH).await;
    assert!(
        error.message().contains("the token \"math\" does not allow to register math"),
        "{error}"
    );
    // A method by the name of another service.
    let mut raw = Raw::connect(&house.address).await;
    raw.hello(WORKER).await;
    let registration =
        json!({"type": "register", "id": 1, "name": "math", "methods": [{"name": "bank.pay"}]});
    let answer = raw.ask(registration).await;
    assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("PERMISSION_DENIED")));
    let registration =
        json!({"type": "register", "id": 2, "name": "math", "methods": [{"name": "add"}]});
    assert_eq!(raw.ask(registration).await["type"], "registered");
    assert_eq!(house.peers().await.iter().map(|peer| peer.methods).sum::<usize>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_to_everybody_take_a_right() {
    let house = house();
    let mut listener = Raw::connect(&house.address).await;
    listener.hello(ALL).await;
    let watcher = house.engine.client().await.unwrap();
    let mut events = events(&watcher).await;
    let everybody = json!({"type": "notify", "method": "news", "params": ["quiet"], "meta": {"broadcast": true}});
    let mut quiet = Raw::connect(&house.address).await;
    quiet.hello(MATH).await;
    quiet.send(everybody).await;
    let refused = |event: &Event| match event {
        Event::Refused { why, .. } => Some(why.clone()),
        _ => None,
    };
    let why = next(&mut events, refused).await;
    assert!(why.contains("lacks the right broadcast"), "{why}");
    let mut loud = Raw::connect(&house.address).await;
    loud.hello(LOUD).await;
    let everybody = json!({"type": "notify", "method": "news", "params": ["loud"], "meta": {"broadcast": true}});
    loud.send(everybody).await;
    assert_eq!(listener.next().await["params"], json!(["loud"]), "the first that arrives");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_all_may_call_and_serve_but_only_the_own_user_administers() {
    let directory = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", directory.path().join("engine.sock").display());
    let house = House::with(|builder| {
        let builder = builder.listen(socket.parse().unwrap()).guests(Rights::user());
        builder.own_user_over_tcp(false)
    });
    let _worker = house.serve(math()).await;
    let client = house.client().await;
    assert_eq!(client.call::<f64>("math.add", (1, 2)).await.unwrap(), 3.0);
    let error = client.call::<()>("procall.engine.cancel", (1,)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    assert!(error.message().contains("the right administer"), "{error}");
    let own = Client::connect(&socket).await.unwrap();
    let error = own.call::<()>("procall.engine.cancel", (1_000_000,)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound, "it was looked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_user_may_do_everything_over_the_loopback_too() {
    let house = House::with(|builder| builder.guests(Rights::none()));
    let client = house.client().await;
    let error = client.call::<()>("procall.engine.cancel", (1_000_000,)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound, "it was looked for: {error}");
    let mut raw = Raw::connect(&house.address).await;
    let call =
        json!({"type": "call", "id": 1, "method": "procall.engine.cancel", "params": [1_000_000]});
    let answer = raw.ask(call).await;
    assert_eq!(answer["error"]["code"], "method_not_found", "it was looked for: {answer}");
    // With a token, whoever comes over TCP shows one.
    let guarded = House::with(|builder| builder.token("math", MATH, Rights::none()));
    let error = Client::connect(&guarded.address).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_may_do_what_the_builder_says() {
    let house = House::with(|builder| {
        let guests = Rights::none().call("procall.engine.peers");
        builder.guests(guests).own_user_over_tcp(false)
    });
    let client = house.client().await;
    client.call::<Value>("procall.engine.peers", ()).await.unwrap();
    let error = client.call::<Value>("procall.engine.list", ()).await.unwrap_err();
    assert_eq!(
        error.message(),
        "a peer without a token may not call procall.engine.list here; that takes a token with the right call=procall.engine.list"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_user_needs_no_token_on_a_unix_socket_but_a_wrong_one_is_wrong_there_too() {
    let directory = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", directory.path().join("engine.sock").display());
    let engine = Engine::builder()
        .listen(socket.parse().unwrap())
        .token("math", MATH, Rights::none().call("math.*"))
        .start()
        .unwrap();
    let own = Client::connect(&socket).await.unwrap();
    own.call::<Value>("procall.engine.peers", ()).await.unwrap();
    let shown = |secret: &str| {
        let options = ConnectOptions { token: Some(secret.into()), ..ConnectOptions::default() };
        let socket = socket.clone();
        async move { Client::connect_with(&socket, options).await }
    };
    let error = shown("wrong-0123456789").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
    let less = shown(MATH).await.unwrap();
    let error = less.call::<Value>("procall.engine.peers", ()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied, "a token that is shown counts");
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_peers_show_their_token_in_hello() {
    let house = house();
    let _worker = serve(&house, math(), WORKER).await;
    for token in [json!(MATH), json!({"$bytes": "bWF0aC0wMTIzNDU2Nzg5YWJjZGVm"})] {
        let mut raw = Raw::connect(&house.address).await;
        let hello = json!({"type": "hello", "min": 1, "max": 1, "info": {"token": token}});
        assert_eq!(raw.ask(hello).await["type"], "welcome");
        let long = "x".repeat(100_000);
        let call = json!({"type": "call", "id": 1, "method": "math.add", "params": [1, 2], "meta": {"long": ""}});
        assert_eq!(raw.ask(call).await["result"], json!(3.0));
        // Longer than a stranger's message may be.
        let call = json!({"type": "call", "id": 2, "method": "math.add", "params": [long, 2]});
        let answer = raw.ask(call).await;
        assert_eq!((&answer["id"], &answer["ok"]), (&json!(2), &json!(false)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_peers_without_a_token_are_refused_in_their_words() {
    let house = house();
    for (first, expected) in [
        (
            json!({"type": "hello", "min": 1, "max": 1}),
            json!({"type": "fault", "code": "UNAUTHENTICATED"}),
        ),
        (
            json!({"type": "hello", "min": 1, "max": 1, "info": {"token": "wrong"}}),
            json!({"type": "fault", "code": "UNAUTHENTICATED", "text": "the token is wrong"}),
        ),
        (
            json!({"type": "call", "id": 7, "method": "math.add", "params": [1, 2]}),
            json!({"type": "error", "id": 7, "code": "UNAUTHENTICATED", "executed": "no"}),
        ),
        (
            json!({"type": "register", "name": "a", "methods": []}),
            json!({"type": "error", "code": "UNAUTHENTICATED"}),
        ),
        (
            json!({"type": "request", "id": 3, "method": "add", "meta": {}}),
            json!({"type": "response", "id": 3, "ok": false, "error": {"code": "UNAUTHORIZED"}}),
        ),
        (
            json!({"type": "request", "id": 4, "method": "add", "params": []}),
            json!({"type": "response", "id": 4, "error": "a token is needed"}),
        ),
        (json!({"nonsense": 1}), json!({"type": "error", "code": "UNAUTHENTICATED"})),
    ] {
        let mut raw = Raw::connect(&house.address).await;
        let answer = raw.ask(first.clone()).await;
        assert!(is_part(&expected, &answer), "{first}: {answer}, expected {expected}");
        assert!(raw.end().await, "{first}: it is hung up on");
    }
    assert!(strangers(&house).await.is_empty());
}

/// Whether all keys of one value are in the other.
fn is_part(part: &Value, whole: &Value) -> bool {
    match part {
        Value::Object(map) => map.iter().all(|(key, value)| is_part(value, &whole[key])),
        other => other == whole,
    }
}

#[tokio::test]
async fn tokens_that_are_easy_to_guess_or_to_confuse_are_refused() {
    let start = |tokens: &[(&str, &str)]| {
        let mut builder = Engine::builder().listen("tcp:127.0.0.1:0".parse().unwrap());
        for (name, secret) in tokens {
            builder = builder.token(name, *secret, Rights::user());
        }
        builder.start().map(drop).unwrap_err()
    };
    for tokens in [
        &[("short", "0123456789abcde")][..],
        &[("long", &*"0".repeat(257))],
        &[("", ALL)],
        &[("two words", ALL)],
        &[("same", ALL), ("same", MATH)],
        &[("one", ALL), ("other", ALL)],
    ] {
        let error = start(tokens);
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        for (_, secret) in tokens {
            assert!(!format!("{error:?}").contains(secret), "{error:?}");
        }
    }
}
