//! Spans of calls, as a collector gets them.

use procall::{Client, Context, Error, ErrorCode, Service};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::collector::Collector;
use crate::support::House;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn shop() -> Service {
    Service::new("shop")
        .method("trace", |ctx: Context| {
            let meta: Value = ctx.meta().unwrap_or_default();
            meta["traceparent"].clone()
        })
        .try_method("fail", || -> Result<(), Error> { Err(Error::handler("Sold", "nothing left")) })
}

async fn call(client: &Client, method: &str, traceparent: &str) -> Result<Value, Error> {
    client.call(method, ()).meta(&json!({ "traceparent": traceparent, "mine": 7 })).await
}

fn attribute(span: &Value, key: &str) -> Value {
    let found = span["attributes"].as_array().unwrap().iter().find(|known| known["key"] == key);
    let value = &found.unwrap_or_else(|| panic!("no {key}: {span}"))["value"];
    value.as_object().unwrap().values().next().unwrap().clone()
}

fn nanos(span: &Value, key: &str) -> u128 {
    span[key].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_has_two_spans_under_its_callers_and_its_worker_is_under_the_second() {
    let mut collector = Collector::start("procall-engine", &[]).await;
    let house = House::with(|builder| builder.otlp(&collector.address).unwrap());
    let _worker = house.serve(shop()).await;
    let client = house.client().await;
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let heard = call(&client, "shop.trace", &traceparent).await.unwrap();
    let (way, work) = collector.pair().await;
    assert_eq!((&way["traceId"], &work["traceId"]), (&TRACE.into(), &TRACE.into()));
    assert_eq!(way["parentSpanId"], PARENT);
    assert_eq!(work["parentSpanId"], way["spanId"]);
    assert_eq!(heard, format!("00-{TRACE}-{}-01", work["spanId"].as_str().unwrap()));
    assert_eq!(
        (&way["name"], &way["kind"], &work["kind"]),
        (&"shop.trace".into(), &2.into(), &3.into())
    );
    assert_eq!(
        (attribute(&way, "rpc.service"), attribute(&way, "rpc.method")),
        ("shop".into(), "trace".into())
    );
    assert_eq!(attribute(&work, "procall.worker"), "shop/1");
    assert!(attribute(&way, "procall.queued_ms").as_f64().unwrap() >= 0.0);
    assert!(nanos(&way, "startTimeUnixNano") <= nanos(&work, "startTimeUnixNano"));
    assert!(nanos(&work, "startTimeUnixNano") <= nanos(&work, "endTimeUnixNano"));
    assert_eq!(way["status"], json!({}));
    house.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_callers_span_a_trace_begins_and_what_fails_says_how() {
    let mut collector = Collector::start("procall-engine", &[]).await;
    let house = House::with(|builder| builder.otlp(&collector.address).unwrap());
    let _worker = house.serve(shop()).await;
    let client = house.client().await;
    let error = client.call::<()>("shop.fail", ()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::HandlerError);
    let (way, work) = collector.pair().await;
    assert_eq!(way["parentSpanId"], Value::Null);
    assert_eq!(way["traceId"].as_str().unwrap().len(), 32);
    for span in [&way, &work] {
        assert_eq!(span["status"], json!({ "code": 2, "message": "HANDLER_ERROR" }));
        assert_eq!(attribute(span, "procall.executed"), "yes");
    }
    // Its caller wants no spans, and the trace goes on as it came.
    let unwanted = format!("00-{TRACE}-{PARENT}-00");
    assert_eq!(call(&client, "shop.trace", &unwanted).await.unwrap(), unwanted);
    // What is no trace is none.
    let heard = call(&client, "shop.trace", "00-1").await.unwrap();
    let (way, work) = collector.pair().await;
    assert_eq!(way["parentSpanId"], Value::Null, "the one that nobody wanted did not come");
    assert!(heard.as_str().unwrap().ends_with(&format!("{}-01", work["spanId"].as_str().unwrap())));
    house.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_fails_costs_spans_and_no_calls() {
    let mut collector = Collector::start("procall-engine", &["503 Service Unavailable"]).await;
    let house = House::with(|builder| builder.otlp(&collector.address).unwrap());
    let _worker = house.serve(shop()).await;
    let client = house.client().await;
    client.call::<Value>("shop.trace", ()).await.unwrap();
    // It makes another connection, or uses this one again, once the collector has answered.
    let way = loop {
        client.call::<Value>("shop.trace", ()).await.unwrap();
        if let Ok(way) = timeout(std::time::Duration::from_millis(50), collector.span()).await {
            break way;
        }
    };
    assert_eq!(way["name"], "shop.trace");
    house.engine.stop().await;

    let nobody = House::with(|builder| builder.otlp("http://127.0.0.1:1").unwrap());
    let _worker = nobody.serve(shop()).await;
    nobody.client().await.call::<Value>("shop.trace", ()).await.unwrap();
    nobody.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_sent_before_the_engine_ends() {
    let mut collector = Collector::start("procall-engine", &[]).await;
    let house = House::with(|builder| builder.otlp(&collector.address).unwrap());
    let worker = house.serve(shop()).await;
    for _ in 0..5 {
        house.client().await.call::<Value>("shop.trace", ()).await.unwrap();
    }
    drop(worker);
    house.engine.stop().await;
    for _ in 0..10 {
        collector.span().await;
    }
}
