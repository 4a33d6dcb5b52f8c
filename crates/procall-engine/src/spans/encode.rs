//! Spans as a request of OTLP, in the JSON form of its protocol buffers.

use std::time::{Duration, SystemTime};

use procall::{ErrorCode, Executed};
use serde_json::{Value, json};

use super::own::Kind;
use super::{Ended, Finished, Told};

/// Kinds of spans, as OTLP numbers them.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
/// The state of a span that has failed.
const ERROR: u8 = 2;

/// One request with the spans of these calls, of a process that the collector knows by this name.
pub(super) fn request(service: &str, calls: &[Told]) -> Vec<u8> {
    let spans: Vec<Value> = calls
        .iter()
        .flat_map(|told| match told {
            Told::Passage(call) => spans(call),
            Told::Own(span) => vec![own(span)],
        })
        .collect();
    let request = json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", service),
            number("process.pid", u64::from(std::process::id())),
        ] },
        "scopeSpans": [{
            "scope": { "name": "procall", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans,
        }],
    }] });
    request.to_string().into_bytes()
}

fn spans(call: &Ended) -> Vec<Value> {
    let span = &call.span;
    let (service, method) = call.method.rsplit_once('.').unwrap_or(("", &call.method));
    let mut about = vec![
        text("rpc.system", "procall"),
        text("rpc.service", service),
        text("rpc.method", method),
        number("procall.call", call.call),
    ];
    let status = status(call.failure, &mut about);
    let trace = format!("{:032x}", span.trace.id);
    let started = span.since + call.queued;
    let end = nanos(started + call.worked);
    let queued = [&about[..], &[millis("procall.queued_ms", call.queued)]].concat();
    let mut way = json!({
        "traceId": trace,
        "spanId": format!("{:016x}", span.call),
        "name": &*call.method,
        "kind": SERVER,
        "startTimeUnixNano": nanos(span.since),
        "endTimeUnixNano": end,
        "attributes": queued,
        "status": status,
    });
    if let Some(parent) = span.trace.parent {
        way["parentSpanId"] = format!("{parent:016x}").into();
    }
    let Some(worker) = &call.worker else { return vec![way] };
    about.push(text("procall.worker", worker));
    about.push(number("procall.attempts", call.attempts.into()));
    let work = json!({
        "traceId": trace,
        "spanId": format!("{:016x}", span.work),
        "parentSpanId": format!("{:016x}", span.call),
        "name": format!("{} by {worker}", call.method),
        "kind": CLIENT,
        "startTimeUnixNano": nanos(started),
        "endTimeUnixNano": end,
        "attributes": about,
        "status": status,
    });
    vec![way, work]
}

fn own(span: &Finished) -> Value {
    let (service, method) = span.method.rsplit_once('.').unwrap_or(("", &span.method));
    let mut about = vec![
        text("rpc.system", "procall"),
        text("rpc.service", service),
        text("rpc.method", method),
    ];
    let status = status(span.failure, &mut about);
    let mut told = json!({
        "traceId": format!("{:032x}", span.trace.id),
        "spanId": format!("{:016x}", span.id),
        "name": span.method,
        "kind": if span.kind == Kind::Call { CLIENT } else { SERVER },
        "startTimeUnixNano": nanos(span.since),
        "endTimeUnixNano": nanos(span.since + span.took),
        "attributes": about,
        "status": status,
    });
    if let Some(parent) = span.trace.parent {
        told["parentSpanId"] = format!("{parent:016x}").into();
    }
    told
}

/// How it ended, with what there is to add to what is told about it.
fn status(failure: Option<(ErrorCode, Executed)>, about: &mut Vec<Value>) -> Value {
    let Some((code, executed)) = failure else { return json!({}) };
    about.push(text("error.type", code.name()));
    about.push(text("procall.executed", &executed.to_string()));
    json!({ "code": ERROR, "message": code.name() })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Numbers of 64 bits are texts there.
fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn millis(key: &str, value: Duration) -> Value {
    json!({ "key": key, "value": { "doubleValue": value.as_secs_f64() * 1e3 } })
}

fn nanos(time: SystemTime) -> String {
    // A clock before 1970 is no clock.
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}
