//! `procall limits`: what is bounded, and by how much.

use std::time::Duration;

use clap::Args;
use procall::{Deadline, Heartbeat, RetryPolicy, Validator};
use procall_engine::EngineBuilder;
use procall_pool::{PoolBuilder, RestartPolicy};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output;
use crate::style::Style;
use crate::table::Table;

const EXAMPLES: &str = "Examples:
  procall limits
  procall limits --json";

/// Show the defaults and limits of this version.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Limits {}

/// One limit.
struct Limit {
    name: &'static str,
    /// For scripts: a number of `unit`.
    value: Value,
    unit: &'static str,
    /// What happens at the limit, and what changes it.
    then: &'static str,
}

impl Limits {
    pub(crate) fn run(self, style: &Style) -> Result<(), Failure> {
        let limits = limits();
        if style.json {
            let rows: Vec<Value> = limits
                .iter()
                .map(|limit| {
                    json!({ "name": limit.name, "value": limit.value, "unit": limit.unit, "then": limit.then })
                })
                .collect();
            return output::json(&json!({ "limits": rows }).to_string(), style);
        }
        let mut table = Table::new(&["LIMIT", "DEFAULT", "WHAT HAPPENS THEN"]);
        for limit in limits {
            table.row(vec![limit.name.to_owned(), shown(&limit), limit.then.to_owned()]);
        }
        table.lines(style).iter().try_for_each(|line| output::line(line))
    }
}

fn limits() -> Vec<Limit> {
    let session = procall::Limits::default();
    let beat = Heartbeat::default();
    let restart = RestartPolicy::default();
    let retry = RetryPolicy::default();
    let count = |name, value: usize, then| Limit { name, value: value.into(), unit: "", then };
    let bytes = |name, value: usize, then| Limit { name, value: value.into(), unit: "bytes", then };
    let time = |name, value: Duration, then| Limit {
        name,
        value: value.as_secs_f64().into(),
        unit: "s",
        then,
    };
    vec![
        time(
            "call deadline",
            Deadline::USUAL,
            "DEADLINE_EXCEEDED; of a stream, to its first item; --deadline, deadline=",
        ),
        count(
            "retries of a call",
            retry.retries as usize,
            "after executed: no, or of what is idempotent; --retries, retries=",
        ),
        time("first pause before a retry, at most", retry.base, "doubles each time"),
        time("longest pause before a retry", retry.cap, ""),
        bytes("message", session.max_message, "longer bodies travel in chunks by themselves"),
        bytes("chunk", session.chunk, ""),
        bytes(
            "body",
            session.max_body,
            "refused; RESULT_TOO_LARGE for a result; streams have no limit",
        ),
        bytes("message of a JSON peer", EngineBuilder::MAX_JSON, "its connection ends"),
        count(
            "notifications waiting, JSON peer",
            EngineBuilder::JSON_NOTIFICATIONS,
            "dropped and counted: /metrics, procall doctor",
        ),
        count(
            "calls with spans to be sent",
            EngineBuilder::SPANS,
            "spans of further calls are dropped and counted",
        ),
        count(
            "calls in flight, connection",
            session.max_calls,
            "the next ones wait for their turn",
        ),
        count("calls waiting, connection", session.max_waiting, "OVERLOADED"),
        bytes("bytes waiting, connection", session.max_queued, "OVERLOADED"),
        count(
            "stream items without credit",
            session.stream_items as usize,
            "the sender waits for the reader",
        ),
        bytes(
            "stream bytes without credit",
            session.stream_bytes as usize,
            "the sender waits for the reader",
        ),
        count(
            "calls waiting, worker of the engine",
            EngineBuilder::QUEUE,
            "OVERLOADED with retry_after",
        ),
        count("calls waiting, pool", PoolBuilder::QUEUE, "OVERLOADED with retry_after; queue="),
        count("peers of an engine", EngineBuilder::PEERS, "the next one is refused"),
        count("peers of a user or address", EngineBuilder::PEERS_EACH, "the next one is refused"),
        bytes("bytes before the handshake", session.max_handshake_message, "the connection ends"),
        time("handshake", session.handshake, "the connection ends"),
        time("first message to an engine", EngineBuilder::GREETING, "the connection ends"),
        time("heartbeat, every", beat.interval, ""),
        time("heartbeat, answer within", beat.timeout, "missed"),
        count(
            "heartbeats missed",
            beat.misses as usize,
            "suspected: no new calls until it is heard again",
        ),
        count("pings of a peer a second", session.max_pings as usize, "the connection ends"),
        bytes("schema", Validator::MAX_SCHEMA, "the registration is refused"),
        count("schema, levels", Validator::MAX_DEPTH, "the registration is refused"),
        time("ready time of a worker", PoolBuilder::READY_TIMEOUT, "SPAWN_FAILED; ready_timeout="),
        time(
            "grace of a cancel, on_cancel=kill",
            PoolBuilder::CANCEL_GRACE,
            "the worker is replaced; cancel_grace=",
        ),
        time("first pause before a restart", restart.backoff, "doubles each time"),
        time("longest pause before a restart", restart.max_backoff, ""),
        count(
            "restarts of a worker",
            restart.max_restarts as usize,
            "within the next row's time: it stays down, failed",
        ),
        time("restarts of a worker, within", restart.window, ""),
        count("exits before ready", restart.max_unready as usize, "the worker stays down, failed"),
        bytes("output kept, worker", PoolBuilder::OUTPUT_KEPT, "the oldest lines go"),
        bytes("line of output", PoolBuilder::OUTPUT_LINE, "it becomes several"),
        time(
            "drain of an engine",
            EngineBuilder::DRAIN,
            "calls in flight end with it; procall serve --drain",
        ),
    ]
}

/// `64 KiB`, `5 s`, `1,024`
fn shown(limit: &Limit) -> String {
    let number = limit.value.as_u64().unwrap_or_default();
    match limit.unit {
        "bytes" if number.is_multiple_of(1 << 20) => format!("{} MiB", number >> 20),
        "bytes" if number.is_multiple_of(1 << 10) => format!("{} KiB", number >> 10),
        "bytes" => format!("{number} bytes"),
        "s" => format!("{} s", limit.value.as_f64().unwrap_or_default()),
        _ => {
            let digits = number.to_string();
            let mut grouped = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
    }
}
