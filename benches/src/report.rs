//! What a run leaves: tables, plots and all figures.

mod figures;
mod plots;
mod readme;
mod svg;
mod table;

use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::machine::{self, Machine};
use crate::options::Options;
use crate::run::Results;

pub(crate) use figures::Entry;
pub(crate) use readme::readme;

/// `results.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    /// When the run ended, in UTC.
    pub(crate) taken: String,
    /// What was asked for.
    pub(crate) command: String,
    pub(crate) seed: u64,
    pub(crate) rounds: usize,
    pub(crate) window_ms: u64,
    pub(crate) seconds: f64,
    pub(crate) interrupted: bool,
    pub(crate) machine: Machine,
    pub(crate) cells: Vec<Entry>,
}

impl Document {
    fn new(results: &Results, options: &Options) -> Self {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let args = args.join(" ");
        Self {
            taken: machine::moment(SystemTime::now()),
            command: if args.is_empty() {
                "make bench".to_owned()
            } else {
                format!("make bench ARGS='{args}'")
            },
            seed: options.seed,
            rounds: options.rounds,
            window_ms: options.window_ms,
            seconds: results.seconds,
            interrupted: results.interrupted,
            machine: Machine::look(results.load_before),
            cells: results.rows.iter().map(Entry::new).collect(),
        }
    }
}

/// Writes everything into the folder of the options, and the tables to the standard output.
pub(crate) fn write(results: &Results, options: &Options) -> std::io::Result<()> {
    let document = Document::new(results, options);
    let out = &options.out;
    std::fs::create_dir_all(out)?;
    let tables = table::all(&document);
    print!("{tables}");
    std::fs::write(out.join("tables.md"), tables)?;
    let json = serde_json::to_string_pretty(&document).map_err(std::io::Error::other)?;
    std::fs::write(out.join("results.json"), json + "\n")?;
    // Plots of an earlier run would stand beside these figures as if they belonged to them.
    remove_plots(out)?;
    let mut plots = 0;
    for (name, svg) in plots::all(&document) {
        std::fs::write(out.join(format!("{name}.svg")), svg)?;
        plots += 1;
    }
    eprintln!("{}: tables.md, results.json and {plots} plots", out.display());
    Ok(())
}

fn remove_plots(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "svg") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
