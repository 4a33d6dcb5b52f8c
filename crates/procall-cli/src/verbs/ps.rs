//! `procall ps`: the workers.

use std::time::Duration;

use clap::Args;
use procall_engine::PeerRow;
use serde_json::{Value, json};

use crate::directory::{Directory, Service, counted};
use crate::engine::Engine;
use crate::failure::Failure;
use crate::style::Style;
use crate::table::Table;
use crate::verbs::calls::short;
use crate::workers::WorkerRow;
use crate::{duration, output, plain};

const EXAMPLES: &str = "Examples:
  procall ps
  procall ps -v                      with the last words of failed workers
  procall ps --json";

/// Show the workers of everything that runs, and who is connected to the engine.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Ps {
    /// Ask only the service or engine at this address, such as tcp:127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
}

impl Ps {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let directory = Directory::survey(self.at.as_deref()).await?;
        if let (Some(_), Some((_, error))) = (&self.at, directory.silent.first()) {
            return Err(error.clone().into());
        }
        let mut rows: Vec<WorkerRow> = directory
            .services
            .iter()
            .filter(|service| service.through.is_none())
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
        rows.extend(directory.engines.iter().flat_map(Engine::workers));
        if style.json {
            let silent: Vec<Value> = directory
                .silent
                .iter()
                .map(|(name, error)| json!({ "service": name, "message": error.message() }))
                .collect();
            let engines: Vec<Value> = directory.engines.iter().map(told).collect();
            let object = json!({ "workers": rows, "engines": engines, "silent": silent });
            return output::json(&object.to_string(), style);
        }
        if rows.is_empty() && directory.silent.is_empty() && directory.engines.is_empty() {
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
            "MEMORY",
            "AGE",
            "LAST EXIT",
        ]);
        for row in &rows {
            table.row(cells(row));
        }
        for (name, error) in &directory.silent {
            let mut cells = vec![name.clone(), "-".to_owned(), "silent".to_owned()];
            cells.extend(std::iter::repeat_n("-".to_owned(), 6));
            cells.push(error.message().to_owned());
            table.row(cells);
        }
        let has_rows = !rows.is_empty() || !directory.silent.is_empty();
        if has_rows {
            table.lines(style).iter().try_for_each(|line| output::line(line))?;
        }
        for (at, engine) in directory.engines.iter().enumerate() {
            if has_rows || at > 0 {
                output::line("")?;
            }
            peers(engine, &directory, style)?;
        }
        for row in rows.iter().filter(|_| style.verbose) {
            last_words(row, style)?;
        }
        Ok(())
    }
}

/// An engine in the object of `--json`.
fn told(engine: &Engine) -> Value {
    json!({
        "name": engine.name, "pid": engine.pid, "peers": engine.peers, "services": engine.started,
    })
}

/// Who is connected to an engine, but for those that have rows of their own.
fn peers(engine: &Engine, directory: &Directory, style: &Style) -> Result<(), Failure> {
    let pid = engine.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
    let count = counted(engine.peers.len(), "peer");
    let name = plain::line(&engine.name).into_owned();
    output::line(&format!("{}{pid}, {count}", style.out.bold(&name)))?;
    // A service that the engine starts is a peer in its own process.
    let own = |peer: &PeerRow| peer.pid.is_none() && engine.starts(&peer.name);
    let has_rows = |peer: &PeerRow| {
        let own = |service: &Service| {
            service.through.is_none() && service.name == peer.service && service.pid == peer.pid
        };
        peer.pid.is_some() && directory.services.iter().any(own)
    };
    let shown: Vec<&PeerRow> =
        engine.peers.iter().filter(|peer| !own(peer) && !has_rows(peer)).collect();
    if shown.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        "NAME",
        "SPEAKS",
        "ADDRESS",
        "PID",
        "STATE",
        "IN-FLIGHT",
        "CALLS",
        "AGE",
        "SEEN",
    ]);
    for peer in shown {
        let serves = peer.methods > 0;
        let dash = || "-".to_owned();
        table.row(vec![
            peer.name.clone(),
            format!("{:?}", peer.speaks).to_lowercase(),
            peer.address.clone(),
            peer.pid.map_or_else(dash, |pid| pid.to_string()),
            if serves { peer.state.clone() } else { "client".to_owned() },
            if serves { format!("{}/{}", peer.in_flight, peer.slots) } else { dash() },
            if serves { peer.calls.to_string() } else { dash() },
            short(peer.age),
            format!("{} ago", short(peer.last_seen)),
        ]);
    }
    table.lines(style).iter().try_for_each(|line| output::line(line))
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
        row.memory.map_or_else(dash, megabytes),
        row.uptime_ms.map_or_else(dash, |ms| short(ms as f64 / 1000.0)),
        last_exit,
    ]
}

/// `12 MiB`
fn megabytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

fn last_words(row: &WorkerRow, style: &Style) -> Result<(), Failure> {
    if row.stderr.is_empty() {
        return Ok(());
    }
    output::line(&style.out.dim(&format!("last words of {}", plain::line(&row.name))))?;
    row.stderr.iter().try_for_each(|line| output::line(&format!("  {}", plain::line(line))))
}
