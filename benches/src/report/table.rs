//! The tables, in Markdown.

use std::fmt::Write;

use super::Document;
use super::figures::{Entry, number};
use crate::cells::FLOOR;

/// A column: the figure's name and what stands above it.
type Column = (&'static str, &'static str);

/// A section's heading and its columns, of which the first is the one that ratios are told of.
pub(super) fn columns(section: &str) -> (&'static str, &'static [Column]) {
    match section {
        "small" => (
            "Small calls: `add(a, b)`, one after the other and 64 at a time",
            &[("p50_us", "p50 µs"), ("p99_us", "p99 µs"), ("per_second", "calls/s, 64 in flight")],
        ),
        "large" => (
            "Payloads: bytes to a handler that touches each page",
            &[("gb_per_second", "GB/s"), ("p50_us", "p50 µs")],
        ),
        "stream" => ("Streams of small numbers", &[("items_per_second", "items/s")]),
        "dispatch" => (
            "CPU time of a Python worker for a call, 64 in flight",
            &[("worker_us", "µs of the worker"), ("per_second", "calls/s")],
        ),
        "spawn" => ("From the start to the first answer", &[("start_ms", "ms")]),
        "idle" => ("A service that waits", &[("pss_mib", "PSS, MiB"), ("cpu_percent", "CPU, %")]),
        _ => (
            "The same call as something grows",
            &[("p50_us", "p50 µs"), ("per_second", "calls/s, 64 in flight")],
        ),
    }
}

/// All tables of a document.
pub(super) fn all(document: &Document) -> String {
    let mut text = String::new();
    head(document, &mut text);
    let mut places: Vec<(&str, &str)> = Vec::new();
    for entry in &document.cells {
        let place = (&*entry.section, &*entry.placement);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    for section in crate::catalogue::Section::ALL {
        for placement in crate::placement::Placement::ALL {
            let place = (section.name(), placement.name());
            if places.contains(&place) {
                table(document, place, &mut text);
            }
        }
    }
    missing(document, &mut text);
    text
}

fn head(document: &Document, text: &mut String) {
    let machine = &document.machine;
    let _ = writeln!(text, "# Benchmark of {}\n", document.taken);
    let _ = writeln!(
        text,
        "`{}`, seed {}, {:.0} s\n",
        document.command, document.seed, document.seconds
    );
    let _ = writeln!(
        text,
        "{}, {} cores, {} GiB, {}; {}; {}; Node {}; commit {}; load {} before and {} after\n",
        machine.cpu,
        machine.cores,
        machine.memory_gib,
        machine.kernel,
        machine.rust,
        machine.python,
        machine.node,
        machine.commit,
        machine.load_before,
        machine.load_after,
    );
    let _ = writeln!(
        text,
        "Median (least-most) of {} rounds of {} ms. Ratios are medians of ratios within a round: to the floor, and of ours to this row, so that 2.0 there is a row that takes twice as long or does half as much as ours.",
        document.rounds, document.window_ms
    );
    if document.interrupted {
        let _ =
            writeln!(text, "\nThe run was interrupted; what had been measured by then is here.");
    }
}

fn table(document: &Document, (section, placement): (&str, &str), text: &mut String) {
    let (title, columns) = columns(section);
    let here: Vec<&Entry> = document
        .cells
        .iter()
        .filter(|entry| entry.section == section && entry.placement == placement)
        .collect();
    let _ = writeln!(text, "\n## {title} ({placement})\n");
    let _ = write!(text, "| cell | ");
    columns.iter().for_each(|(_, name)| {
        let _ = write!(text, "{name} | ");
    });
    let _ = writeln!(text, "to the floor | to ours |");
    let _ = writeln!(text, "|---|{}---|---|", "---|".repeat(columns.len()));
    for entry in &here {
        let _ = write!(text, "| {} | ", label(entry));
        if let Some(reason) = entry.failure() {
            let dashes = "- | ".repeat(columns.len() - 1);
            let _ = writeln!(text, "{} | {dashes}- | - |", reason.replace('|', "/"));
            continue;
        }
        for (figure, _) in columns {
            let cell = entry.spread(figure).map_or("-".to_owned(), |spread| {
                format!("{} ({}-{})", number(spread.median), number(spread.min), number(spread.max))
            });
            let _ = write!(text, "{cell} | ");
        }
        let figure = columns[0].0;
        let floor = floor_of(entry, &here).and_then(|floor| entry.ratio(floor, figure));
        let ours = ours_of(entry, &here).and_then(|ours| {
            if rises(figure) { ours.ratio(entry, figure) } else { entry.ratio(ours, figure) }
        });
        let shown = |ratio: Option<f64>| ratio.map_or("-".to_owned(), number);
        let _ = writeln!(text, "{} | {} |", shown(floor), shown(ours));
    }
}

/// Whether more of a figure is better.
pub(super) fn rises(figure: &str) -> bool {
    figure.ends_with("per_second")
}

/// The name of a row, with what tells it from its neighbours.
pub(super) fn label(entry: &Entry) -> String {
    match entry.workload.split_once('-') {
        None => entry.cell.clone(),
        Some((kind, count)) => {
            let count: usize = count.parse().unwrap_or(0);
            match kind {
                "bytes" => format!("{}, {}", entry.cell, bytes(count)),
                kind => format!("{}, {count} {kind}", entry.cell),
            }
        }
    }
}

pub(super) fn bytes(count: usize) -> String {
    match count {
        count if count >= 1 << 20 => format!("{} MiB", count >> 20),
        count if count >= 1 << 10 => format!("{} KiB", count >> 10),
        count => format!("{count} B"),
    }
}

/// The floor of a row: the one of its own pair, or the one of all.
fn floor_of<'a>(entry: &Entry, here: &[&'a Entry]) -> Option<&'a Entry> {
    let same = |floor: &&&Entry| floor.kind == "floor" && floor.workload == entry.workload;
    let own = here.iter().filter(same).find(|floor| floor.pair == entry.pair);
    let all = here.iter().filter(same).find(|floor| floor.cell == FLOOR);
    own.or(all).copied().filter(|floor| floor.failure().is_none() && entry.kind != "floor")
}

/// The row of ours that a peer is compared with: the first of its pair.
fn ours_of<'a>(entry: &Entry, here: &[&'a Entry]) -> Option<&'a Entry> {
    here.iter()
        .find(|ours| {
            ours.kind == "ours" && ours.pair == entry.pair && ours.workload == entry.workload
        })
        .copied()
        .filter(|_| entry.kind == "peer")
}

fn missing(document: &Document, text: &mut String) {
    let mut lines: Vec<String> = document
        .cells
        .iter()
        .filter_map(|entry| {
            entry.missing.as_ref().map(|reason| format!("- {}: {reason}", entry.cell))
        })
        .collect();
    lines.sort();
    lines.dedup();
    if !lines.is_empty() {
        let _ = writeln!(text, "\n## What could not run\n\n{}", lines.join("\n"));
    }
}
