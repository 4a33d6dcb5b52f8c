//! `procall calls`: what is on its way through the engine.

use std::time::Duration;

use clap::Args;
use procall_engine::CallRow;
use serde_json::json;

use crate::failure::Failure;
use crate::style::Style;
use crate::table::Table;
use crate::{duration, engine, output};

const EXAMPLES: &str = "Examples:
  procall calls                      what is on its way, and at whom
  procall calls --json
  procall cancel 7                   end one of them";

/// Show the calls that are on their way through the engine.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Calls {
    /// Ask the engine at this address, such as tcp:127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
}

impl Calls {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let client = engine::connect(self.at.as_deref()).await?;
        let rows: Vec<CallRow> = engine::look(&client, "calls", ()).await?;
        if style.json {
            return output::json(&json!({ "calls": rows }).to_string(), style);
        }
        let Some(first) = rows.first() else {
            style.hint("no call is on its way");
            return Ok(());
        };
        let mut table = Table::new(&["CALL", "METHOD", "CLIENT", "WORKER", "AGE", "QUEUED"]);
        for row in &rows {
            let worker = if row.worker.is_empty() { "(waits)" } else { &row.worker };
            table.row(vec![
                row.call.to_string(),
                row.method.clone(),
                row.client.clone(),
                worker.to_owned(),
                short(row.age),
                short(row.queued),
            ]);
        }
        table.lines(style).iter().try_for_each(|line| output::line(line))?;
        style.hint(&format!("procall cancel {}", first.call));
        Ok(())
    }
}

/// Seconds as a table shows them.
pub(crate) fn short(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or_else(|_| "-".to_owned(), duration::short)
}
