use serde_json::{Value, json};

use crate::support::{Answer, House, JSON, lab, told};

async fn rpc(house: &House, body: Value) -> Answer {
    house.ask("POST /rpc", &[JSON], &body.to_string()).await
}

fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

#[tokio::test]
async fn a_request_is_answered_by_its_id() {
    let (house, _lab, _worker) = lab().await;
    for (id, params) in [
        (json!(1), json!([1, 2])),
        (json!("a"), json!({"a": 1, "b": 2})),
        (json!(null), json!([1, 2])),
    ] {
        let answer = rpc(&house, request(id.clone(), "lab.add", params)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json(), json!({"jsonrpc": "2.0", "id": id, "result": 3.0}));
    }
}

#[tokio::test]
async fn errors_have_their_numbers_and_all_that_is_known_beside() {
    let (house, _lab, _worker) = lab().await;
    for (method, params, number, code) in [
        ("lab.none", json!([]), -32_601, "NOT_FOUND"),
        ("lab.add", json!([1, "x"]), -32_602, "INVALID_ARGUMENT"),
        ("lab.count", json!([1]), -32_602, "INVALID_ARGUMENT"),
        ("lab.fail", json!([]), -32_013, "HANDLER_ERROR"),
        ("lab.nan", json!([]), -32_014, "INVALID_RESULT"),
    ] {
        let answer = rpc(&house, request(1, method, params)).await.json();
        let error = &answer["error"];
        assert_eq!(
            (&error["code"], &error["data"]["code"]),
            (&json!(number), &json!(code)),
            "{answer}"
        );
        assert!(error["message"].is_string() && error["data"]["executed"].is_string());
    }
    for (body, number, id) in [
        ("{oops", -32_700, json!(null)),
        ("[1, ", -32_700, json!(null)),
        ("[]", -32_600, json!(null)),
        ("5", -32_600, json!(null)),
        (r#"{"jsonrpc": "2.0", "id": 7}"#, -32_600, json!(7)),
        (r#"{"method": "lab.add", "id": 7}"#, -32_600, json!(7)),
    ] {
        let answer = house.ask("POST /rpc", &[JSON], body).await;
        let json = answer.json();
        assert_eq!((answer.status, &json["error"]["code"]), (200, &json!(number)), "{body}");
        assert_eq!(json["id"], id, "{body}");
    }
}

#[tokio::test]
async fn a_batch_is_answered_together_and_notifications_are_not() {
    let (house, _lab, _worker) = lab().await;
    let note = json!({"jsonrpc": "2.0", "method": "lab.add", "params": [1, 2]});
    let batch =
        json!([request(1, "lab.add", json!([1, 1])), note, 5, request(2, "lab.fail", json!([]))]);
    let answer = rpc(&house, batch).await.json();
    let rows = answer.as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["result"], 2.0);
    assert_eq!(rows[1]["error"]["code"], -32_600);
    assert_eq!((&rows[2]["id"], &rows[2]["error"]["code"]), (&json!(2), &json!(-32_013)));
    let answer = rpc(&house, json!([note])).await;
    assert_eq!((answer.status, &*answer.body), (204, ""));
    let many: Vec<Value> = (0..1025).map(|n| request(n, "lab.add", json!([1, 1]))).collect();
    assert_eq!(rpc(&house, json!(many)).await.json()["error"]["code"], -32_600);
}

#[tokio::test]
async fn a_notification_runs_the_method() {
    let (house, lab, _worker) = lab().await;
    let answer = rpc(&house, json!({"jsonrpc": "2.0", "method": "lab.hang"})).await;
    assert_eq!(answer.status, 204);
    told(&lab.begun).await;
}

#[tokio::test]
async fn discover_describes_what_can_be_called() {
    let (house, _lab, _worker) = lab().await;
    let answer = rpc(&house, request(1, "rpc.discover", json!([]))).await.json();
    let document = &answer["result"];
    assert!(document["openrpc"].as_str().unwrap().starts_with("1."));
    let methods = document["methods"].as_array().unwrap();
    let add = methods.iter().find(|method| method["name"] == "lab.add").unwrap();
    assert_eq!(add["description"], "Adds two numbers.");
    assert_eq!((&add["params"][0]["name"], &add["params"][1]["name"]), (&json!("a"), &json!("b")));
    let place = add["params"][0]["schema"]["$ref"].as_str().unwrap();
    assert_eq!(document.pointer(&place[1..]).unwrap()["type"], "number");
    assert!(!methods.iter().any(|method| method["name"] == "lab.count"), "streams are not in it");
}
