//! R14: whoever started workers is killed, and they are gone.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::Instant;

use super::{LANGUAGES, Setting};
use crate::Failure;
use crate::ledger::{FOLDER, Ledger};
use crate::processes::exists;
use crate::report::{Found, percentile};

/// Nobody waits longer for a process to go.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let ledger = Ledger::new()?;
    let (mut gone, mut survivors, mut started) = (Vec::new(), 0, 0);
    for round in 0..3 * setting.scale {
        let language = LANGUAGES[round as usize % 3];
        let mut host = Command::new(std::env::current_exe()?);
        host.arg("host").arg(setting.worker(language)?).env(FOLDER, ledger.folder());
        let mut host =
            host.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let output = host.stdout.take().ok_or("a host says who its workers are")?;
        let line = BufReader::new(output).lines().next_line().await?;
        let line = line.ok_or_else(|| format!("a host of workers in {language} ended at once"))?;
        let workers: Vec<u32> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        started += workers.len();
        host.kill().await?;
        let killed = Instant::now();
        for worker in workers {
            while exists(worker) && killed.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            survivors += u64::from(exists(worker));
            gone.push(killed.elapsed());
        }
    }
    let mut found = Found::default();
    found.figure("workers whose parent was killed", started.to_string(), "some", started > 0);
    found.promise("survivors", survivors, "0");
    found.time("gone within, p99", percentile(gone, 0.99), Duration::from_secs(2));
    Ok(found)
}
