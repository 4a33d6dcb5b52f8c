//! R07: the engine is killed, started again, and everybody is back by himself.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use procall::Client;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{Failure, Setting, until_served};
use crate::ledger::Ledger;
use crate::load::{Work, mixed, open_loop};
use crate::report::{Found, percentile};

const RATE: u32 = 200;
const WORKERS: usize = 2;
const EACH: Duration = Duration::from_millis(1_500);

/// An engine in a process of its own.
fn start(setting: &Setting, socket: &Path) -> Result<Child, Failure> {
    let mut command = Command::new(setting.program("chaos-engine")?);
    command.arg(socket).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    Ok(command.spawn()?)
}

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let ledger = Arc::new(Ledger::new()?);
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("engine.sock");
    let address = format!("unix:{}", socket.display());
    let mut engine = start(setting, &socket)?;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(setting.serve(&address, &ledger)?);
    }
    let client = Client::connect(&address).await?;
    let probes = ledger.beside()?;
    until_served(&client, &probes).await?;

    let mut back = Vec::new();
    let work = |number| Work {
        millis: mixed(number) % 8,
        deadline: Duration::from_secs(10),
        ..Work::default()
    };
    let load = open_loop(&client, "chaos.work", &ledger, (RATE, setting.seconds(8)), work);
    let killing = async {
        loop {
            tokio::time::sleep(EACH).await;
            engine.kill().await?;
            let killed = Instant::now();
            engine = start(setting, &socket)?;
            until_served(&client, &probes).await?;
            back.push(killed.elapsed());
        }
    };
    let ended: Result<(), Failure> = tokio::select! {
        () = load => Ok(()),
        result = killing => result,
    };
    ended?;
    for mut worker in workers {
        worker.kill().await?;
    }
    engine.kill().await?;
    let mut found = Found::default();
    found.ledger(&ledger.verdict()?);
    found.figure("engines killed", back.len().to_string(), "some", !back.is_empty());
    found.time("served again, p99", percentile(back, 0.99), Duration::from_secs(2));
    Ok(found)
}
