//! Load with faults: `chaos --help`.

mod ledger;
mod load;
mod processes;
mod proxy;
mod report;
mod scenarios;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use procall_pool::Pool;
use report::{Found, Row};
use scenarios::{ALL, Setting};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs scenarios of load and faults, joins what clients saw with what workers did, and prints what held.
///
/// The exit code is 1 when a promise was broken. Times depend on the machine: one that was missed is shown, and breaks nothing.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  chaos                       every scenario, about a minute
  chaos kills engine          two of them
  chaos --scale 10 R02        ten times as long
  chaos --json chaos.json     the figures for a program too")]
struct Arguments {
    /// Scenarios by name or rule; all without any
    scenarios: Vec<String>,
    /// How many times as long as the short form
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    scale: u32,
    /// Writes what was found there too
    #[arg(long)]
    json: Option<PathBuf>,
    /// Only names the scenarios
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// A process with workers, which another one kills
    #[command(hide = true)]
    Host { worker: PathBuf },
    /// A process that reads a stream, which another one kills
    #[command(hide = true)]
    Reader { address: String, id: u64 },
}

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Host { worker }) => host(worker).await?,
        Some(Part::Reader { address, id }) => scenarios::cancels::reader(&address, id).await?,
        None => return run(&arguments).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.list {
        for one in ALL {
            println!("{}  {:<10} {}", one.rule, one.name, one.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = |name: &str, rule: &str| {
        arguments.scenarios.is_empty()
            || arguments.scenarios.iter().any(|said| said == name || said == rule)
    };
    for said in &arguments.scenarios {
        if !ALL.iter().any(|one| one.name == said || one.rule == said) {
            return Err(
                format!("there is no scenario \"{said}\"; `chaos --list` names them").into()
            );
        }
    }
    let home = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let setting = Setting { home, scale: arguments.scale };
    let mut rows = Vec::new();
    for one in ALL.iter().filter(|one| wanted(one.name, one.rule)) {
        eprintln!("{} {}: {}", one.rule, one.name, one.about);
        let begun = Instant::now();
        let (found, error) = match (one.run)(&setting).await {
            Ok(found) => (found, None),
            Err(error) => (Found::default(), Some(error.to_string())),
        };
        let seconds = begun.elapsed().as_secs_f64();
        rows.push(Row { rule: one.rule, name: one.name, seconds, error, found });
    }
    println!("{}", report::table(&rows));
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_vec_pretty(&rows)?)?;
    }
    Ok(if rows.iter().all(Row::is_kept) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts workers, says who they are, and waits to be killed.
async fn host(worker: PathBuf) -> Result<(), Failure> {
    let pool = Pool::spawn(worker).workers(3).show_output(false).start().await?;
    let pids: Vec<String> =
        pool.workers().iter().filter_map(|one| Some(one.pid?.to_string())).collect();
    println!("{}", pids.join(" "));
    std::future::pending().await
}
