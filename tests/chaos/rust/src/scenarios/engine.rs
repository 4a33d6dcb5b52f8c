//! R07: the engine is killed, started again, and everybody is back by himself.

use std::sync::Arc;
use std::time::Duration;

use procall::Client;
use tokio::time::Instant;

use super::Setting;
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::{Work, mixed, open_loop};
use crate::processes::{self, until_served, worker};
use crate::report::{Found, percentile};

const RATE: u32 = 200;
const WORKERS: usize = 2;
const EACH: Duration = Duration::from_millis(1_500);

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let ledger = Arc::new(Ledger::new()?);
    let folder = tempfile::tempdir()?;
    let address = format!("unix:{}", folder.path().join("engine.sock").display());
    let mut engine = processes::engine(setting, &address)?;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(worker(setting, "rust", &address, &ledger, &[])?);
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
            engine = processes::engine(setting, &address)?;
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
