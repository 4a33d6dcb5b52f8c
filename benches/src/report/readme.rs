//! The table of the README, from the results of a run.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use super::Document;
use super::figures::{Entry, number};
use crate::cells::FLOOR;

/// What stands in the README's table: the cell, and how it is called there.
const LINES: &[(&str, &str)] = &[
    ("rust inline -> rust task", "Rust, inline → Rust"),
    ("rust task -> rust task", "Rust, tokio task → Rust"),
    ("peer: tarpc", "for comparison: tarpc"),
    ("peer: tonic", "for comparison: tonic"),
    ("rust inline -> python", "Rust → Python"),
    ("rust inline -> node", "Rust → Node"),
    ("python sync -> python", "Python → Python"),
    ("peer: multiprocessing.Pipe", "for comparison: `multiprocessing.Pipe`"),
    ("peer: grpcio", "for comparison: grpcio"),
    ("node -> node", "Node → Node"),
    ("peer: child_process, JSON", "for comparison: `child_process` IPC"),
    ("rust inline -> engine -> rust task", "Rust → engine → Rust"),
    ("peer: NATS", "for comparison: NATS"),
];

/// Reads `results.json` and makes the table of small calls on one core.
pub(crate) fn readme(file: &Path) -> Result<String, Box<dyn Error>> {
    let document: Document = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    table(&document)
}

fn table(document: &Document) -> Result<String, Box<dyn Error>> {
    let find = |cell: &str| {
        document
            .cells
            .iter()
            .find(|entry| entry.cell == cell && entry.section == "small" && entry.placement == "1c")
    };
    let floor = find(FLOOR).ok_or(
        "there are no small calls on one core; run `make bench ARGS='--only small --placement 1c'`",
    )?;
    let mut text = String::new();
    let day = document.taken.split('T').next().unwrap_or(&document.taken);
    let middle = |entry: &Entry, figure: &str| entry.spread(figure).map(|spread| spread.median);
    writeln!(
        text,
        "`{}` of {day} on {} ({} cores), all processes of a cell on one core, medians of {} rounds; the floor took {} µs.\n",
        document.command,
        document.machine.cpu,
        document.machine.cores,
        document.rounds,
        middle(floor, "p50_us").map_or("-".to_owned(), number),
    )?;
    writeln!(
        text,
        "| caller → service | round trip | ratio to the floor | calls/s, 64 in flight |"
    )?;
    writeln!(text, "|---|---|---|---|")?;
    for (cell, name) in LINES {
        let Some(entry) = find(cell).filter(|entry| entry.failure().is_none()) else { continue };
        let ratio =
            entry.ratio(floor, "p50_us").map_or(String::new(), |ratio| format!("{ratio:.1}"));
        let rate = middle(entry, "per_second").map_or(String::new(), |rate| {
            // Three digits are more than two runs agree on.
            let unit = 10_f64.powf(rate.log10().floor() - 2.0);
            number((rate / unit).round() * unit)
        });
        let time =
            middle(entry, "p50_us").map_or(String::new(), |time| format!("{} µs", number(time)));
        writeln!(text, "| {name} | {time} | {ratio} | {rate} |")?;
    }
    Ok(text)
}
