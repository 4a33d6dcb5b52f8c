use std::collections::BTreeMap;

use procall::{Error, ErrorCode, Service};
use serde_json::json;

use crate::support::{House, JSON, failure, lab, told};

#[tokio::test]
async fn a_call_takes_arguments_in_either_way_and_gives_its_result() {
    let (house, _lab, _worker) = lab().await;
    for body in ["[1, 2]", r#"{"a": 1, "b": 2}"#] {
        let answer = house.call("lab/add", body).await;
        assert_eq!((answer.status, &*answer.body), (200, "3.0"), "{body}");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
    for path in ["lab.add", "add"] {
        assert_eq!(house.call(path, "[1, 2]").await.body, "3.0", "{path}");
    }
    let answer = house.ask("POST /v1/call/procall/ping", &[], "").await;
    assert_eq!((answer.status, &*answer.body), (200, "null"), "without a body");
}

#[tokio::test]
async fn failures_have_their_status_and_tell_all_that_is_known() {
    let (house, _lab, worker) = lab().await;
    let answer = house.call("lab/fail", "").await;
    assert_eq!(answer.failure(), failure(500, "HANDLER_ERROR", "yes"));
    assert_eq!(answer.json()["type"], "OutOfLuck");
    assert_eq!(answer.json()["message"], "no luck today");
    let answer = house.call("lab/add", r#"[1, "x"]"#).await;
    assert_eq!(answer.failure(), failure(400, "INVALID_ARGUMENT", "no"));
    assert_eq!(answer.json()["fields"][0]["path"], "/1");
    let answer = house.call("lab/ad", "[]").await;
    assert_eq!(answer.failure(), failure(404, "NOT_FOUND", "no"));
    assert_eq!(answer.json()["candidates"], json!(["lab.add", "lab.nan"]));
    let answer = house.call("lab/nan", "").await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["code"], "INVALID_RESULT");
    drop(worker);
    house.until(|peers| peers.iter().all(|peer| peer.methods == 0)).await;
    let answer = house.call("lab/add", "[1, 2]").await;
    assert_eq!(answer.failure(), failure(503, "NO_WORKER", "no"));
}

#[tokio::test]
async fn every_code_of_a_handler_arrives_with_its_status() {
    let house = House::new();
    let service = Service::new("codes").try_method("fail", |number: u16| -> Result<(), Error> {
        Err(Error::new(ErrorCode::from_number(number).unwrap(), "as you wish"))
    });
    let _worker = house.serve(service).await;
    for (code, status) in [
        (ErrorCode::Unauthenticated, 401),
        (ErrorCode::PermissionDenied, 403),
        (ErrorCode::NameTaken, 409),
        (ErrorCode::Cancelled, 499),
        (ErrorCode::Internal, 500),
        (ErrorCode::WorkerLost, 502),
        (ErrorCode::Ejected, 503),
        (ErrorCode::DeadlineExceeded, 504),
        (ErrorCode::Deadlock, 508),
    ] {
        let answer = house.call("codes/fail", &format!("[{}]", code.number())).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code.name())));
    }
}

#[tokio::test]
async fn a_deadline_ends_the_call_and_tells_the_handler() {
    let (house, lab, _worker) = lab().await;
    let head = [JSON, ("Procall-Timeout-Ms", "50")];
    let answer = house.ask("POST /v1/call/lab/hang", &head, "[]").await;
    let (status, code, executed) = answer.failure();
    assert_eq!((status, &*code), (504, "DEADLINE_EXCEEDED"));
    // The worker may have told that it had begun, or not.
    assert_ne!(executed, "no");
    told(&lab.given_up).await;
    let head = [JSON, ("Procall-Timeout-Ms", "soon")];
    let answer = house.ask("POST /v1/call/lab/hang", &head, "[]").await;
    assert_eq!(answer.failure(), failure(400, "INVALID_ARGUMENT", "no"));
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_its_call() {
    let (house, lab, _worker) = lab().await;
    let mut wire = house.connect().await;
    wire.request("POST /v1/call/lab/hang", &[JSON], "[]").await;
    told(&lab.begun).await;
    drop(wire);
    told(&lab.given_up).await;
    house.until(|peers| peers.iter().all(|peer| peer.in_flight == 0)).await;
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_again() {
    let house = House::with(|builder| builder.queue(0));
    let begun = std::sync::Arc::new(tokio::sync::Notify::new());
    let service = Service::new("slow").concurrency(1).async_method("wait", {
        let begun = begun.clone();
        move || {
            begun.notify_one();
            std::future::pending::<Result<(), Error>>()
        }
    });
    let _worker = house.serve(service).await;
    let mut first = house.connect().await;
    first.request("POST /v1/call/slow/wait", &[JSON], "[]").await;
    told(&begun).await;
    let answer = house.call("slow/wait", "[]").await;
    assert_eq!(answer.failure(), failure(429, "OVERLOADED", "no"));
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

#[tokio::test]
async fn a_worker_that_dies_is_a_bad_gateway() {
    let (house, lab, worker) = lab().await;
    let mut wire = house.connect().await;
    wire.request("POST /v1/call/lab/hang", &[JSON], "[]").await;
    told(&lab.begun).await;
    drop(worker);
    let answer = wire.answer().await;
    assert_eq!(answer.failure(), failure(502, "WORKER_LOST", "maybe"));
    assert_eq!(answer.json()["worker"], "lab/1");
}

#[tokio::test]
async fn headers_say_who_gets_the_call_and_what_travels_with_it() {
    let house = House::new();
    let service = Service::new("echo").method("trace", |context: procall::Context| {
        let meta: BTreeMap<String, String> = context.meta().unwrap_or_default();
        meta["traceparent"].clone()
    });
    let _worker = house.serve(service).await;
    let head = [JSON, ("traceparent", "00-1-2-01"), ("Procall-To", "echo/1"), ("Procall-Key", "k")];
    assert_eq!(house.ask("POST /v1/call/echo/trace", &head, "[]").await.body, "\"00-1-2-01\"");
    let head = [JSON, ("Procall-To", "nobody")];
    let answer = house.ask("POST /v1/call/echo/trace", &head, "[]").await;
    assert_eq!(answer.failure(), failure(404, "NOT_FOUND", "no"));
}

#[tokio::test]
async fn one_connection_takes_many_requests_also_at_once() {
    let (house, _lab, _worker) = lab().await;
    let mut wire = house.connect().await;
    for n in 0..3 {
        let answer = wire.ask("POST /v1/call/lab/add", &[JSON], &format!("[{n}, 1]")).await;
        assert_eq!(answer.body, format!("{}.0", n + 1));
    }
    assert_eq!(
        house.peers().await.iter().filter(|peer| peer.address.starts_with("127")).count(),
        2
    );
    for n in 0..20 {
        wire.request("POST /v1/call/lab/add", &[JSON], &format!("[{n}, 1]")).await;
    }
    for n in 0..20 {
        assert_eq!(wire.answer().await.body, format!("{}.0", n + 1), "in their order");
    }
    drop(wire);
    house
        .until(|peers| peers.iter().all(|peer| peer.methods > 0 || peer.address == "inside"))
        .await;
}

#[tokio::test]
async fn two_hundred_clients_at_once_all_get_their_own_answers() {
    let (house, _lab, _worker) = lab().await;
    let calls = (0..200).map(|n| {
        let house = &house;
        async move { (n, house.call("lab/add", &format!("[{n}, 0.5]")).await) }
    });
    for (n, answer) in futures_util::future::join_all(calls).await {
        assert_eq!((answer.status, answer.body), (200, format!("{n}.5")));
    }
}

#[tokio::test]
async fn calls_in_flight_end_when_the_engine_stops() {
    let (house, lab, _worker) = lab().await;
    let mut wire = house.connect().await;
    wire.request("POST /v1/call/lab/hang", &[JSON], "[]").await;
    told(&lab.begun).await;
    let mut other = house.connect().await;
    assert_eq!(other.ask("GET /healthz", &[], "").await.status, 200);
    let stopping = tokio::spawn(house.engine.stop());
    loop {
        let answer = other.ask("GET /healthz", &[], "").await;
        if answer.status == 503 {
            assert_eq!(answer.failure(), failure(503, "UNAVAILABLE", "no"));
            break;
        }
    }
    let answer = other.ask("POST /v1/call/lab/add", &[JSON], "[1, 2]").await;
    assert_eq!(answer.failure(), failure(503, "UNAVAILABLE", "no"));
    lab.release.notify_one();
    let answer = wire.answer().await;
    assert_eq!((answer.status, &*answer.body), (200, "null"));
    stopping.await.unwrap();
    other.closed().await;
}

#[tokio::test]
async fn a_call_with_an_idempotency_key_is_executed_once() {
    let house = House::new();
    let sold = std::sync::atomic::AtomicU64::new(1);
    let sell = move |_what: String| sold.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let _worker = house.serve(Service::new("shop").method("buy", sell)).await;
    let key = [JSON, ("Idempotency-Key", "order-7")];
    for _ in 0..2 {
        let answer = house.ask("POST /v1/call/shop/buy", &key, r#"["apples"]"#).await;
        assert_eq!((answer.status, &*answer.body), (200, "1"));
    }
    let answer = house.ask("POST /v1/call/shop/buy", &key, r#"["pears"]"#).await;
    assert_eq!(answer.failure(), failure(400, "INVALID_ARGUMENT", "no"));
    assert_eq!(house.call("shop/buy", r#"["apples"]"#).await.body, "2", "without a key");
}
