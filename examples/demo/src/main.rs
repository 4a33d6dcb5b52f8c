//! A folder of documents through workers in three languages, with one of them killed on the way.
//!
//! ```text
//! procall-demo [FOLDER]
//! ```
//!
//! Node renders Markdown, Python finds keywords, Rust hashes and counts. Halfway a Python worker is killed with SIGKILL.
//! At the end a ledger shows that every file has exactly one answer, and that no process is left.

mod files;
mod ledger;
mod work;
mod workers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use ledger::Ledger;
use workers::Workers;

#[tokio::main]
async fn main() -> ExitCode {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let run = run(folder);
    tokio::select! {
        result = run => match result {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("{error:?}");
                ExitCode::FAILURE
            }
        },
        // Dropping the run stops its pools, and with them every worker.
        _ = tokio::signal::ctrl_c() => ExitCode::from(130),
    }
}

/// True when the ledger holds and nothing is left.
async fn run(folder: PathBuf) -> Result<bool, procall::Error> {
    let files = files::find(&folder)?;
    if files.is_empty() {
        return Err(procall::Error::new(
            procall::ErrorCode::InvalidArgument,
            format!("{} has no files; give another folder: make demo DIR=...", folder.display()),
        ));
    }
    let start = Instant::now();
    let workers = Workers::start().await?;
    println!(
        "{} workers in three languages were ready after {} ms",
        workers.count(),
        start.elapsed().as_millis()
    );
    let mut ledger = Ledger::new(files.len());
    work::run(&workers, files, &mut ledger).await;
    let pids = workers.pids();
    let restarts = workers.restarts();
    workers.stop().await?;
    ledger.print(start.elapsed(), restarts);
    let left = pids.iter().filter(|pid| PathBuf::from(format!("/proc/{pid}")).exists()).count();
    println!("processes left: {left}");
    Ok(ledger.holds() && left == 0)
}
