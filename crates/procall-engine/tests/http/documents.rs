use serde_json::{Value, json};

use crate::support::{House, JSON, lab};
use crate::websocket;

/// All references of a document to itself.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn openapi_describes_every_method_and_all_its_references_lead_somewhere() {
    let (house, _lab, _worker) = lab().await;
    let mut trees = websocket::open(&house, &[]).await.unwrap();
    let tree = json!({
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/Tree"}},
        "required": ["tree"],
        "$defs": {"Tree": {"type": "object", "properties": {"below": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}},
    });
    let methods = json!([{"name": "depth", "params_schema": tree}]);
    let register = json!({"type": "register", "id": 1, "name": "trees", "methods": methods});
    websocket::say(&mut trees, register).await;
    assert_eq!(websocket::heard_json(&mut trees).await["type"], "registered");
    let answer = house.get("/openapi.json").await;
    assert_eq!((answer.status, &*answer.headers["content-type"]), (200, "application/json"));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    let add = &document["paths"]["/v1/call/lab/add"]["post"];
    assert_eq!(
        (&add["operationId"], &add["summary"]),
        (&json!("lab.add"), &json!("Adds two numbers."))
    );
    let body = &add["requestBody"]["content"]["application/json"]["schema"];
    let schema = document.pointer(&body["$ref"].as_str().unwrap()[1..]).unwrap();
    assert_eq!(schema["properties"]["a"]["type"], "number");
    let count = &document["paths"]["/v1/call/lab/count"]["post"]["responses"]["200"]["content"];
    assert!(count["application/x-ndjson"].is_object() && count["text/event-stream"].is_object());
    let sum = &document["paths"]["/v1/call/lab/sum"]["post"]["requestBody"]["content"];
    assert!(sum["application/x-ndjson"].is_object());
    let mut found = Vec::new();
    references(&document, &mut found);
    let recursive = found.iter().filter(|place| place.contains("/$defs/")).count();
    assert_eq!(recursive, 2, "a tree refers to itself: {found:?}");
    for place in found {
        assert!(document.pointer(&place[1..]).is_some(), "{place} leads nowhere");
    }
}

#[tokio::test]
async fn methods_are_listed_as_they_were_registered() {
    let (house, _lab, _worker) = lab().await;
    let methods = house.get("/v1/methods").await.json();
    let names: Vec<&str> = methods["methods"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|method| method["name"].as_str())
        .collect();
    assert!(names.contains(&"lab.add") && names.contains(&"lab.count"), "{names:?}");
    let mut wire = house.connect().await;
    wire.request("HEAD /v1/methods", &[], "").await;
    assert_eq!(wire.head().await.status, 200);
}

#[tokio::test]
async fn metrics_count_calls_by_method_and_outcome() {
    let (house, _lab, _worker) = lab().await;
    let mut wire = house.connect().await;
    for body in ["[1, 2]", "[3, 4]", "[\"x\", 1]"] {
        wire.ask("POST /v1/call/lab/add", &[JSON], body).await;
    }
    wire.ask("POST /v1/call/lab/fail", &[JSON], "[]").await;
    wire.ask("POST /v1/call/lab/none", &[JSON], "[]").await;
    let answer = wire.ask("GET /metrics", &[], "").await;
    assert!(answer.headers["content-type"].starts_with("text/plain; version=0.0.4"));
    for line in [
        "procall_calls_total{method=\"lab.add\",code=\"OK\"} 2",
        "procall_calls_total{method=\"lab.add\",code=\"INVALID_ARGUMENT\"} 1",
        "procall_calls_total{method=\"lab.fail\",code=\"HANDLER_ERROR\"} 1",
        "procall_calls_total{method=\"\",code=\"NOT_FOUND\"} 1",
        "procall_call_duration_seconds_count{method=\"lab.add\"} 2",
        "procall_call_duration_seconds_bucket{method=\"lab.add\",le=\"+Inf\"} 2",
        "procall_calls_in_flight{method=\"lab.add\"} 0",
        "procall_calls_waiting{method=\"lab.add\"} 0",
        "procall_workers{method=\"lab.add\"} 1",
        "procall_peers{speaks=\"http\"} 1",
        "procall_engine_draining 0",
    ] {
        assert!(answer.body.lines().any(|found| found == line), "{line} in\n{}", answer.body);
    }
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    assert_eq!(house.engine.metrics().in_flight, 0, "what was refused is no longer under way");
}

#[tokio::test]
async fn a_call_under_way_is_seen() {
    let (house, lab, _worker) = lab().await;
    let mut wire = house.connect().await;
    wire.request("POST /v1/call/lab/hang", &[JSON], "[]").await;
    crate::support::told(&lab.begun).await;
    let metrics = house.get("/metrics").await.body;
    assert!(metrics.contains("procall_calls_in_flight{method=\"lab.hang\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn without_being_asked_for_there_is_no_http() {
    let listen = "tcp:127.0.0.1:0".parse().unwrap();
    let engine = procall_engine::Engine::builder().listen(listen).start().unwrap();
    assert_eq!(engine.http_address(), None);
    assert_eq!(House::new().get("/healthz").await.json(), json!({"status": "ok"}));
}
