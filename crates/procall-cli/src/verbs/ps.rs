//! `procall ps`: the workers.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::directory::Directory;
use crate::failure::Failure;
use crate::style::Style;
use crate::table::Table;
use crate::workers::WorkerRow;
use crate::{duration, output, plain};

const EXAMPLES: &str = "Examples:
  procall ps
  procall ps -v                      with the last words of failed workers
  procall ps --json";

/// Show the workers of everything that runs.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Ps {}

impl Ps {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let directory = Directory::survey(None).await?;
        let rows: Vec<WorkerRow> = directory
            .services
            .iter()
            .flat_map(|service| match &service.workers {
                Some(workers) => workers.clone(),
                // Started by hand: the service is its own and only worker.
                None => vec![WorkerRow {
                    name: service.name.clone(),
                    service: service.name.clone(),
                    pid: service.pid,
                    state: "ready".to_owned(),
                    ..WorkerRow::default()
                }],
            })
            .collect();
        if style.json {
            let silent: Vec<Value> = directory
                .silent
                .iter()
                .map(|(name, error)| json!({ "service": name, "message": error.message() }))
                .collect();
            return output::json(&json!({ "workers": rows, "silent": silent }).to_string(), style);
        }
        if rows.is_empty() && directory.silent.is_empty() {
            style.hint("nothing runs here; start something: procall run calc.py");
            return Ok(());
        }
        let mut table = Table::new(&[
            "NAME",
            "PID",
            "STATE",
            "CALLS",
            "IN-FLIGHT",
            "RESTARTS",
            "RTT",
            "LAST EXIT",
        ]);
        for row in &rows {
            table.row(cells(row));
        }
        for (name, error) in &directory.silent {
            let mut cells = vec![name.clone(), "-".to_owned(), "silent".to_owned()];
            cells.extend(std::iter::repeat_n("-".to_owned(), 4));
            cells.push(error.message().to_owned());
            table.row(cells);
        }
        table.lines(style).iter().try_for_each(|line| output::line(line))?;
        for row in rows.iter().filter(|_| style.verbose) {
            last_words(row, style)?;
        }
        Ok(())
    }
}

fn cells(row: &WorkerRow) -> Vec<String> {
    let by_hand = row.name == row.service;
    let count = |count: u64| if by_hand { "-".to_owned() } else { count.to_string() };
    let dash = || "-".to_owned();
    let round_trip = row.round_trip_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
    let last_exit = match (&row.reason, &row.last_exit) {
        (Some(reason), Some(exit)) => format!("{exit}; {reason}"),
        (Some(text), None) | (None, Some(text)) => text.clone(),
        (None, None) => dash(),
    };
    vec![
        row.name.clone(),
        row.pid.map_or_else(dash, |pid| pid.to_string()),
        row.state.clone(),
        count(row.calls),
        count(row.in_flight.into()),
        count(row.restarts),
        round_trip.map_or_else(dash, duration::short),
        last_exit,
    ]
}

fn last_words(row: &WorkerRow, style: &Style) -> Result<(), Failure> {
    if row.stderr.is_empty() {
        return Ok(());
    }
    output::line(&style.out.dim(&format!("last words of {}", plain::line(&row.name))))?;
    row.stderr.iter().try_for_each(|line| output::line(&format!("  {}", plain::line(line))))
}
