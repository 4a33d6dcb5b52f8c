//! The table of the README, from the results of a run.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use super::Document;
use super::figures::{Entry, number};
use crate::cells::FLOOR;

/// What stands in the README's table: the cell, and how it is called there.
const LINES: &[(&str, &str)] = &[
    ("rust inline -> rust task", "Rust → Rust, over a socket"),
    ("rust inline -> rust task, in shared memory", "Rust → Rust, in shared memory"),
    ("rust task -> rust task, in shared memory", "the same from a tokio task"),
    ("peer: tarpc", "for comparison: tarpc"),
    ("peer: capnp-rpc", "for comparison: capnp-rpc"),
    ("peer: zmq", "for comparison: ZeroMQ"),
    ("peer: tonic", "for comparison: tonic (gRPC)"),
    ("peer: iceoryx2", "for comparison: iceoryx2, which polls"),
    ("rust inline -> engine -> rust task", "Rust → engine → Rust, schemas checked"),
    ("rust inline -> engine -> rust task, in shared memory", "the same in shared memory"),
    ("peer: NATS", "for comparison: NATS request/reply"),
    ("rust inline -> python, in shared memory", "Rust → Python, in shared memory"),
    ("python sync -> python, in shared memory", "Python → Python, in shared memory"),
    ("python asyncio -> python", "Python, asyncio → Python"),
    ("peer: multiprocessing.Pipe", "for comparison: `multiprocessing.Pipe`"),
    ("peer: asyncio and msgpack", "for comparison: asyncio and msgpack by hand"),
    ("peer: grpcio", "for comparison: grpcio"),
    ("rust inline -> node", "Rust → Node"),
    ("node -> node, in shared memory", "Node → Node, in shared memory"),
    ("peer: child_process, JSON", "for comparison: `child_process` IPC"),
    ("peer: zeromq for Node", "for comparison: zeromq for Node"),
];

/// Reads `results.json` and makes the table of small calls on one core and on two.
pub(crate) fn readme(file: &Path) -> Result<String, Box<dyn Error>> {
    let document: Document = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    table(&document)
}

fn table(document: &Document) -> Result<String, Box<dyn Error>> {
    let find = |cell: &str, placement: &str| {
        document
            .cells
            .iter()
            .filter(|entry| entry.failure().is_none() && entry.section == "small")
            .find(|entry| entry.cell == cell && entry.placement == placement)
    };
    let missing = "there are no small calls on one core and on two; run `make bench ARGS='--only small --placement 1c,2c'`";
    let floors = [find(FLOOR, "1c").ok_or(missing)?, find(FLOOR, "2c").ok_or(missing)?];
    let mut text = String::new();
    let day = document.taken.split('T').next().unwrap_or(&document.taken);
    let middle = |entry: &Entry, figure: &str| entry.spread(figure).map(|spread| spread.median);
    let micros = |entry: &Entry| {
        middle(entry, "p50_us").map_or(String::new(), |time| format!("{} µs", number(time)))
    };
    writeln!(
        text,
        "`{}` of {day} on {} ({} cores), medians of {} rounds; the floor took {} on one core and {} on two.\n",
        document.command,
        document.machine.cpu,
        document.machine.cores,
        document.rounds,
        micros(floors[0]),
        micros(floors[1]),
    )?;
    writeln!(
        text,
        "| caller → service | one core | to the floor | two cores | to the floor | calls/s, 64 in flight, one core |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|")?;
    for (cell, name) in LINES {
        let places = [find(cell, "1c"), find(cell, "2c")];
        if places.iter().all(Option::is_none) {
            continue;
        }
        write!(text, "| {name}")?;
        for (entry, floor) in places.iter().zip(floors) {
            let ratio = entry.and_then(|entry| entry.ratio(floor, "p50_us"));
            // Two digits are more than two runs agree on.
            let ratio = ratio.map_or(String::new(), |ratio| match ratio {
                ..1.0 => format!("{ratio:.2}"),
                _ => format!("{ratio:.1}"),
            });
            write!(text, " | {} | {ratio}", entry.map_or(String::new(), micros))?;
        }
        let rate = places[0].and_then(|entry| middle(entry, "per_second"));
        let rate = rate.map_or(String::new(), |rate| {
            let unit = 10_f64.powf(rate.log10().floor() - 2.0);
            number((rate / unit).round() * unit)
        });
        writeln!(text, " | {rate} |")?;
    }
    Ok(text)
}
