//! Procall side by side with its floors and peers.
//!
//! `make bench` runs every cell in fresh processes, several rounds, cells in another order each round, and writes
//! tables, plots and all figures into `bench-results`.
//! `options.rs` has the command line, `catalogue.rs` what there is to measure, `docs/src/benchmarks.md` the method.

mod catalogue;
mod cells;
mod floor;
mod floor_memory;
mod floor_tokio;
mod growth;
mod idle;
mod machine;
mod options;
mod placement;
mod process;
mod programs;
mod report;
mod routed;
mod run;
mod servers;
mod spawn;
mod work;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use options::{Action, HELP, Options};

/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((role, rest)) if role.starts_with("serve-") || role.starts_with("call-") => {
            return match servers::run(role, rest) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&format!("{role}: {error}")),
            };
        }
        Some((first, rest)) if first == "become" => {
            return failed(&process::become_program(rest).to_string());
        }
        _ => {}
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match options::parse(args.into_iter(), now.as_nanos() as u64) {
        Ok(Action::Help) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Action::List(options)) => {
            run::list(&options).iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Ok(Action::Readme(file)) => match report::readme(&file) {
            Ok(table) => {
                print!("{table}");
                ExitCode::SUCCESS
            }
            Err(error) => failed(&format!("{}: {error}", file.display())),
        },
        Ok(Action::Run(options)) => measure(&options),
        Err(message) => {
            eprintln!("{message}\ntry --help");
            ExitCode::from(2)
        }
    }
}

fn measure(options: &Options) -> ExitCode {
    let results = match run::run(options) {
        Ok(results) => results,
        Err(error) => return failed(&error.to_string()),
    };
    if options.check {
        let complaints = run::check(&results, options.rounds);
        complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
        println!("{} cells, {} without figures", results.rows.len(), complaints.len());
        return if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if let Err(error) = report::write(&results, options) {
        return failed(&format!("the results were not written: {error}"));
    }
    if results.interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}
