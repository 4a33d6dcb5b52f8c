use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::support::{House, JSON, Wire, failure, lab, told};

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let (house, _lab, _worker) = lab().await;
    for body in ["{", "[1, NaN]", "[1e999]", "[1, 2]x", r#"{"a": 1, "a": 2, "b": 1}"#, "\u{1}"] {
        let answer = house.call("lab/add", body).await;
        assert_eq!(answer.failure(), failure(400, "INVALID_ARGUMENT", "no"), "{body}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(house.call("lab/add", &deep).await.status, 400);
}

#[tokio::test]
async fn only_json_is_taken_so_no_form_of_a_page_can_call() {
    let (house, _lab, _worker) = lab().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let answer = house.ask("POST /v1/call/lab/add", &[("Content-Type", kind)], "[1, 2]").await;
        assert_eq!(answer.failure(), failure(415, "INVALID_ARGUMENT", "no"), "{kind}");
        let answer = house.ask("POST /v1/call/procall/ping", &[("Content-Type", kind)], "").await;
        assert_eq!(answer.status, 415, "{kind} without a body");
    }
    assert_eq!(house.ask("POST /v1/call/lab/add", &[], "[1, 2]").await.status, 415);
    let kind = ("Content-Type", "Application/JSON; charset=utf-8");
    assert_eq!(house.ask("POST /v1/call/lab/add", &[kind], "[1, 2]").await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_claimed_or_sent() {
    let (house, _lab, _worker) = lab().await;
    let mut wire = house.connect().await;
    let length = ((64_u64 << 20) + 1).to_string();
    wire.request("POST /v1/call/lab/add", &[JSON, ("Content-Length", &length)], "").await;
    assert_eq!(wire.answer().await.failure(), failure(413, "INVALID_ARGUMENT", "no"));

    let mut wire = house.connect().await;
    wire.request("POST /v1/call/lab/add", &[JSON, ("Transfer-Encoding", "chunked")], "").await;
    let chunk = [b"100000\r\n", vec![b' '; 1 << 20].as_slice(), b"\r\n"].concat();
    for _ in 0..65 {
        // Who refuses hangs up while it is being sent.
        if wire.0.get_mut().write_all(&chunk).await.is_err() {
            break;
        }
    }
    let answer = wire.answer().await;
    assert_eq!(answer.failure(), failure(413, "INVALID_ARGUMENT", "no"));
}

#[tokio::test]
async fn heads_that_are_wrong_are_refused_and_harm_nobody() {
    let (house, lab, _worker) = lab().await;
    let mut bystander = house.connect().await;
    bystander
        .request("POST /v1/call/lab/hang", &[JSON, ("Procall-Timeout-Ms", "5000")], "[]")
        .await;
    told(&lab.begun).await;
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let long = format!("X: {}\r\n", "y".repeat(100 << 10));
    for (head, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), 400),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\n{long}\r\n"), 431),
    ] {
        let mut wire: Wire = house.connect().await;
        // Who refuses a long head hangs up while it is being sent.
        let _ = wire.0.get_mut().write_all(head.as_bytes()).await;
        assert_eq!(wire.head().await.status, status, "{:.40}", head);
    }
    assert_eq!(house.call("lab/add", "[1, 2]").await.body, "3.0");
    drop(bystander);
    told(&lab.given_up).await;
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_told() {
    let (house, _lab, _worker) = lab().await;
    assert_eq!(house.get("/").await.failure(), failure(404, "NOT_FOUND", "no"));
    assert_eq!(
        house.get("/v1/call/lab/add").await.failure(),
        failure(405, "INVALID_ARGUMENT", "no")
    );
    let answer = house.ask("POST /metrics", &[], "").await;
    assert_eq!(answer.status, 405);
    assert!(answer.headers["allow"].contains("GET"), "{answer:?}");
    assert_eq!(house.call("lab/%ff", "[]").await.status, 400);
    assert_eq!(house.call("lab%2Fadd", "[]").await.status, 404);
}

#[tokio::test]
async fn half_a_request_calls_nobody() {
    let (house, lab, _worker) = lab().await;
    let mut wire = house.connect().await;
    wire.request("POST /v1/call/lab/hang", &[JSON, ("Content-Length", "10")], "").await;
    wire.send(b"[").await;
    drop(wire);
    // A whole one that comes later is the first that the worker sees.
    let mut wire = house.connect().await;
    wire.request("POST /v1/call/lab/hang", &[JSON], "[]").await;
    told(&lab.begun).await;
    assert_eq!(house.peers().await.iter().map(|peer| peer.calls).max(), Some(1));
}

/// The clock stands still, and jumps to the next thing that is due when nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn who_sends_too_slowly_is_hung_up_on() {
    let house = House::new();
    let mut wire = house.connect().await;
    let begun = Instant::now();
    wire.send(b"GET /healthz HTTP/1.1\r\nHost: local").await;
    let mut rest = Vec::new();
    // Time-outs of the test's own would be due first.
    let _ = wire.0.read_to_end(&mut rest).await;
    assert!(begun.elapsed() >= Duration::from_secs(30), "{:?}", begun.elapsed());

    let mut wire = house.connect().await;
    let begun = Instant::now();
    wire.request("POST /v1/call/procall/ping", &[JSON, ("Content-Length", "10")], "").await;
    wire.send(b"[").await;
    let mut answer = String::new();
    wire.0.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("DEADLINE_EXCEEDED"),
        "{answer}"
    );
    assert!(begun.elapsed() >= Duration::from_secs(30), "{:?}", begun.elapsed());
}
