//! What JSON peers are told and counted for.

use procall::Service;
use procall_engine::StrayCounts;
use serde_json::{Value, json};

use crate::raw::Raw;
use crate::support::House;

fn registration(quarantine: bool) -> Value {
    json!({
        "type": "register", "name": "calc", "quarantine": quarantine,
        "methods": [
            {"name": "add", "params_schema": {"type": "object"}},
            {"name": "sub", "params_schema": {"type": "nonsense"}},
        ],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_out_is_told_to_those_who_asked_for_that() {
    let house = House::new();
    let mut raw = Raw::connect(&house.address).await;
    let mut with_id = registration(true);
    with_id["id"] = 1.into();
    let registered = raw.ask(with_id.clone()).await;
    assert_eq!((&registered["type"], &registered["ok"]), (&"registered".into(), &true.into()));
    let [left_out] = &registered["quarantined"].as_array().unwrap()[..] else {
        panic!("{registered}")
    };
    assert_eq!(left_out["path"], "/methods/1/params_schema");
    assert!(left_out["message"].as_str().unwrap().contains("nonsense"), "{left_out}");

    // All of it is good now, so nothing is said of that.
    with_id["methods"] = json!([{"name": "add"}]);
    let registered = raw.ask(with_id).await;
    assert_eq!((&registered["ok"], registered.get("quarantined")), (&true.into(), None));

    // The echo that old clients know, with the same key.
    let mut old = Raw::connect(&house.address).await;
    let mut other = registration(true);
    other["name"] = "other".into();
    let echo = old.ask(other).await;
    assert_eq!((&echo["type"], &echo["methods"][1]["name"]), (&"register".into(), &"sub".into()));
    assert_eq!(echo["quarantined"][0]["path"], "/methods/1/params_schema");
    let mut strict = Raw::connect(&house.address).await;
    assert_eq!(strict.ask(registration(false)).await["type"], "error");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_asked_for_are_counted_while_the_peer_is_there() {
    let house = House::new();
    let counted = async || -> StrayCounts {
        house.engine.client().await.unwrap().call("procall.engine.strays", ()).await.unwrap()
    };
    assert_eq!(counted().await, StrayCounts::default());
    let mut raw = Raw::connect(&house.address).await;
    assert_eq!(raw.ask(json!({"type": "hello", "min": 1, "max": 1})).await["type"], "welcome");
    for id in ["a", "b"] {
        let answer = json!({"type": "result", "id": id, "ok": true, "result": 1});
        assert_eq!(raw.ask(answer).await["type"], "error");
    }
    let until = async {
        while counted().await.unasked < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::SAFETY, until).await.unwrap();
    assert_eq!(counted().await, StrayCounts { unasked: 2, ..StrayCounts::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_says_which_service_it_means() {
    let house = House::new();
    let one = Service::new("one").method("which", || "one");
    let other = Service::new("other").method("which", || "other");
    let (_one, _other) = (house.serve(one).await, house.serve(other).await);
    let call = |method: &str| json!({"type": "call", "id": 1, "method": method});
    for want in ["one", "other"] {
        let mut raw = Raw::connect(&house.address).await;
        let hello = json!({"type": "hello", "min": 1, "max": 1, "info": {"want": want}});
        assert_eq!(raw.ask(hello).await["type"], "welcome");
        assert_eq!(raw.ask(call("which")).await["result"], want);
        assert_eq!(raw.ask(call("one.which")).await["result"], "one", "full names go before");
    }
    let mut raw = Raw::connect(&house.address).await;
    assert_eq!(raw.ask(json!({"type": "hello", "min": 1, "max": 1})).await["type"], "welcome");
    assert_eq!(raw.ask(call("which")).await["ok"], false, "two services have it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_means_one_call_of_both_sides() {
    let house = House::new();
    let mut raw = Raw::connect(&house.address).await;
    assert_eq!(raw.ask(json!({"type": "hello", "min": 1, "max": 1})).await["type"], "welcome");
    let register =
        json!({"type": "register", "id": 1, "name": "calc", "methods": [{"name": "add"}]});
    assert_eq!(raw.ask(register).await["ok"], true);
    let client = house.client().await;
    let called = tokio::spawn(async move { client.call::<i64>("calc.add", ()).await });
    let asked = raw.next().await;
    let own = json!({"type": "call", "id": asked["id"], "method": "procall.engine.peers"});
    let refused = raw.ask(own).await;
    assert_eq!((&refused["id"], &refused["ok"]), (&asked["id"], &false.into()));
    assert_eq!(refused["error"]["code"], "PROTOCOL_ERROR");
    raw.send(json!({"type": "result", "id": asked["id"], "ok": true, "result": 3})).await;
    assert_eq!(called.await.unwrap().unwrap(), 3, "the call that it works on is untouched");
}
