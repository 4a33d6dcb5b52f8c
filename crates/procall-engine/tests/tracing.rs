//! Spans of a program of one's own, as a collector gets them. A process has one tracer, so this test has a process of its own.

#[path = "common/collector.rs"]
mod collector;

use procall::transport::{LinkOptions, mem};
use procall::{Client, Error, ErrorCode, Executed, Service};
use procall_engine::Tracing;
use serde_json::{Value, json};

use crate::collector::Collector;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

#[tokio::test]
async fn a_call_and_its_handler_are_told_to_a_collector() {
    let mut collector = Collector::start("shop", &[]).await;
    let tracing = Tracing::start(&collector.address, "shop").unwrap();
    let (near, far) = mem::pair(&LinkOptions::default()).unwrap();
    let sold = || Err::<i64, _>(Error::handler("Sold", "nothing left"));
    let service = Service::new("shop").try_method("pay", sold).method("ask", || 7_i64);
    service.serve_link(Box::new(near)).unwrap();
    let shop = Client::over(Box::new(far)).await.unwrap();

    let meta = json!({ "traceparent": format!("00-{TRACE}-{PARENT}-01") });
    let error = shop.call::<i64>("pay", ()).meta(&meta).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::HandlerError, Executed::Yes));
    let (served, called) = collector.pair().await;
    assert_eq!((&served["name"], &served["kind"]), (&json!("shop.pay"), &json!(2)));
    assert_eq!((&called["name"], &called["kind"]), (&json!("pay"), &json!(3)));
    assert_eq!((&served["traceId"], &called["traceId"]), (&json!(TRACE), &json!(TRACE)));
    assert_eq!(
        (&called["parentSpanId"], &served["parentSpanId"]),
        (&json!(PARENT), &called["spanId"])
    );
    assert_eq!(served["status"], json!({ "code": 2, "message": "HANDLER_ERROR" }));
    let nanos = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u128>().unwrap();
    assert!(nanos(&called, "startTimeUnixNano") <= nanos(&served, "startTimeUnixNano"));
    assert!(nanos(&served, "startTimeUnixNano") <= nanos(&served, "endTimeUnixNano"));

    let unwanted = json!({ "traceparent": format!("00-{TRACE}-{PARENT}-00") });
    shop.call::<i64>("ask", ()).meta(&unwanted).await.unwrap();
    shop.call::<i64>("ask", ()).await.unwrap();
    let (served, called) = collector.pair().await;
    assert_eq!(called["parentSpanId"], Value::Null, "the trace that nobody keeps did not come");
    assert_eq!(served["parentSpanId"], called["spanId"]);
    let error = Tracing::start(&collector.address, "shop").unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    tracing.stop().await;
}
