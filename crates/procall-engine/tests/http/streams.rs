use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{JSON, failure, lab, told};

const EVENTS: (&str, &str) = ("Accept", "text/event-stream");
const LINES: (&str, &str) = ("Content-Type", "application/x-ndjson");

#[tokio::test]
async fn a_stream_is_a_line_for_each_item() {
    let (house, _lab, _worker) = lab().await;
    let answer = house.call("lab/count", "[1000]").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let expected: String = (0..1000).map(|n| format!("{n}\n")).collect();
    assert_eq!(answer.body, expected);
    assert_eq!(house.call("lab/count", "[0]").await.body, "");
}

#[tokio::test]
async fn a_stream_is_an_event_for_each_item_and_one_for_the_end() {
    let (house, _lab, _worker) = lab().await;
    let answer = house.ask("POST /v1/call/lab/count", &[JSON, EVENTS], "[2]").await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!(answer.body, "data: 0\n\ndata: 1\n\nevent: end\ndata: {\"count\":2}\n\n");
}

#[tokio::test]
async fn a_stream_that_fails_says_so_last() {
    let (house, _lab, _worker) = lab().await;
    let body = house.call("lab/trip", "[2]").await.body;
    let (items, error) = body.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(items, "0\n1");
    let error: serde_json::Value = serde_json::from_str(error).unwrap();
    assert_eq!(error["error"]["code"], "HANDLER_ERROR");
    assert_eq!(error["error"]["type"], "Tripped");
    let answer = house.ask("POST /v1/call/lab/trip", &[JSON, EVENTS], "[1]").await;
    let (item, error) = answer.body.split_once("event: error\ndata: ").unwrap();
    assert_eq!(item, "data: 0\n\n");
    let error: serde_json::Value = serde_json::from_str(error.trim_end()).unwrap();
    assert_eq!((&error["type"], &error["executed"]), (&json!("Tripped"), &json!("yes")));
}

#[tokio::test]
async fn a_stream_that_fails_at_once_has_a_status() {
    let (house, _lab, _worker) = lab().await;
    let answer = house.call("lab/trip", "[0]").await;
    assert_eq!(answer.failure(), failure(500, "HANDLER_ERROR", "yes"));
    let answer = house.call("lab/count", "[\"x\"]").await;
    assert_eq!(answer.failure(), failure(400, "INVALID_ARGUMENT", "no"));
}

#[tokio::test]
async fn leaving_a_stream_ends_it_and_one_that_is_not_read_waits() {
    let (house, lab, _worker) = lab().await;
    let mut wire = house.connect().await;
    wire.request("POST /v1/call/lab/flood", &[JSON], "[]").await;
    let mut answer = wire.head().await;
    assert_eq!(answer.status, 200);
    assert!(wire.part(&mut answer).await.unwrap().starts_with("\"xxx"));
    // Others are served meanwhile, and the flood is at its bounds.
    assert_eq!(house.call("lab/add", "[1, 2]").await.body, "3.0");
    drop(wire);
    told(&lab.given_up).await;
    house.until(|peers| peers.iter().all(|peer| peer.in_flight == 0)).await;
}

#[tokio::test]
async fn items_go_in_one_a_line_behind_the_params() {
    let (house, _lab, _worker) = lab().await;
    let answer = house.ask("POST /v1/call/lab/sum", &[LINES], "[100]\n1\n2\n\n3").await;
    assert_eq!((answer.status, &*answer.body), (200, "106"));
    let answer = house.ask("POST /v1/call/lab/sum", &[LINES], "{\"start\": 5}\n").await;
    assert_eq!((answer.status, &*answer.body), (200, "5"), "no items");
    let answer = house.ask("POST /v1/call/lab/sum", &[JSON], "[100]").await;
    assert_eq!(answer.failure(), failure(415, "INVALID_ARGUMENT", "no"));
    let answer = house.ask("POST /v1/call/lab/add", &[LINES], "[1, 2]\n").await;
    assert_eq!(answer.failure(), failure(415, "INVALID_ARGUMENT", "no"));
    let answer = house.ask("POST /v1/call/lab/sum", &[LINES], "[100]\n1\n{oops\n").await;
    assert_eq!(answer.failure(), failure(400, "INVALID_ARGUMENT", "maybe"));
    assert!(answer.body.contains("item 1"), "{answer:?}");
}

#[tokio::test]
async fn items_go_in_and_out_at_the_same_time() {
    let (house, _lab, _worker) = lab().await;
    let mut wire = house.connect().await;
    let head = [LINES, ("Transfer-Encoding", "chunked")];
    wire.request("POST /v1/call/lab/echo", &head, "").await;
    wire.send(b"3\r\n[]\n\r\n6\r\n\"one\"\n\r\n").await;
    let mut answer = wire.head().await;
    assert_eq!(answer.status, 200);
    assert_eq!(wire.part(&mut answer).await.unwrap(), "\"one\"\n");
    wire.send(b"6\r\n\"two\"\n\r\n").await;
    assert_eq!(wire.part(&mut answer).await.unwrap(), "\"two\"\n");
    wire.send(b"0\r\n\r\n").await;
    assert_eq!(wire.part(&mut answer).await, None);
}

#[tokio::test]
async fn the_engines_own_events_come_as_they_happen() {
    let (house, _lab, _worker) = lab().await;
    let mut wire = house.connect().await;
    wire.request("POST /v1/call/procall.engine/events", &[JSON, EVENTS], "[]").await;
    let mut answer = wire.head().await;
    assert_eq!(answer.status, 200);
    let _client = house.client().await;
    let mut seen = BTreeSet::new();
    while !seen.contains("joined") {
        let part = wire.part(&mut answer).await.unwrap();
        for data in part.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let event: serde_json::Value = serde_json::from_str(data).unwrap();
            seen.insert(event["event"].as_str().unwrap_or_default().to_owned());
        }
    }
}
