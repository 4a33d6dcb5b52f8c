//! `procall events`: what happens at the engine, as it happens.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use procall::{ErrorCode, Stream};
use serde_json::Value;

use crate::failure::Failure;
use crate::style::Style;
use crate::{duration, engine, output, plain};

const EXAMPLES: &str = "Examples:
  procall events                     until Ctrl-C
  procall events --count 10          the next ten
  procall events --json | jq 'select(.event == \"left\")'";

/// Follow what happens at the engine: who comes and goes, registers, falls silent, and what is told to everybody.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Events {
    /// Go on until Ctrl-C: it does so anyway.
    #[arg(short, long)]
    follow: bool,

    /// End after so many events.
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "follow")]
    count: Option<u64>,

    /// Ask the engine at this address, such as tcp:127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
}

impl Events {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let client = engine::connect(self.at.as_deref()).await?;
        let mut events: Stream<Value> = client.stream("procall.engine.events", ());
        // Calls of one connection are begun in their order: after this answer nothing is missed.
        engine::look::<Value>(&client, "self", ()).await?;
        let since = Instant::now();
        style.hint("following the engine's events; Ctrl-C ends");
        let mut left = self.count;
        while left != Some(0) {
            let Some(event) = events.next().await else {
                return Err(Failure::new(ErrorCode::Closed, "the engine has stopped")
                    .fix("procall serve   starts it; then follow it again"));
            };
            print(event?, since, style)?;
            left = left.map(|left| left - 1);
        }
        Ok(())
    }
}

fn print(mut event: Value, since: Instant, style: &Style) -> Result<(), Failure> {
    if style.json || !style.out.terminal {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        event["at_ms"] = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).into();
        return output::json(&event.to_string(), style);
    }
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let list = |name: &str| {
        let items = event[name].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    let who = event["peer"]["name"].as_str().unwrap_or_default();
    let what = match text("event") {
        "registered" if list("quarantined").is_empty() => list("methods"),
        "registered" => format!("{}; left out: {}", list("methods"), list("quarantined")),
        "notified" => format!("{} {}", text("method"), event["params"]),
        "missed" => format!("{} events: this terminal was too slow", event["count"]),
        _ => text("why").to_owned(),
    };
    let after = format!("+{}", duration::short(since.elapsed()));
    let line = format!("{after:>8}  {:<11}  {who}  {what}", text("event"));
    let line = plain::line(line.trim_end()).into_owned();
    output::line(&style.out.dim(&crate::table::cut(&line, style.columns())))
}
