//! Which plots a run leaves.

use super::Document;
use super::figures::{Entry, number};
use super::svg::{Bar, Line, bars, lines};
use super::table::{columns, label, rises};
use crate::catalogue::Section;
use crate::placement::Placement;

/// The colours of floors, of ours and of peers.
fn colour(kind: &str) -> &'static str {
    match kind {
        "floor" => "#8c959f",
        "ours" => "#1f6feb",
        _ => "#e8a33d",
    }
}

/// Names without their ending, and what is in the files.
pub(super) fn all(document: &Document) -> Vec<(String, String)> {
    let mut plots = Vec::new();
    for section in Section::ALL {
        let name = section.name();
        if section == Section::Growth {
            plots.extend(growth(document));
            continue;
        }
        for placement in Placement::ALL {
            let here =
                |entry: &&Entry| entry.section == name && entry.placement == placement.name();
            let here: Vec<&Entry> = document.cells.iter().filter(here).collect();
            let (title, columns) = columns(name);
            // A plot for each figure but the tail, which stands in the table.
            for (figure, unit) in columns.iter().filter(|(figure, _)| *figure != "p99_us") {
                if let Some(svg) =
                    plot(&format!("{title} ({})", placement.name()), (figure, unit), &here)
                {
                    plots.push((format!("{name}-{}-{figure}", placement.name()), svg));
                }
            }
        }
    }
    plots
}

fn plot(title: &str, (figure, unit): (&str, &str), here: &[&Entry]) -> Option<String> {
    let mut shown: Vec<Bar> = here
        .iter()
        .filter_map(|entry| {
            let spread = entry.spread(figure).filter(|spread| spread.median > 0.0)?;
            Some(Bar {
                label: label(entry),
                value: number(spread.median),
                median: spread.median,
                min: spread.min,
                max: spread.max,
                colour: colour(&entry.kind),
            })
        })
        .collect();
    shown.sort_by(|a, b| a.median.total_cmp(&b.median));
    if rises(figure) {
        shown.reverse();
    }
    let axis = format!("{unit}; grey: floors, blue: Procall, yellow: peers");
    (!shown.is_empty()).then(|| bars(title, &axis, &shown))
}

/// A plot for each thing that grows.
fn growth(document: &Document) -> Vec<(String, String)> {
    let mut plots = Vec::new();
    for (kind, across) in [
        ("bytes", "bytes of the payload"),
        ("methods", "methods of the service"),
        ("connections", "connections to the service or the engine, all but one idle"),
        ("workers", "workers registered at the engine"),
    ] {
        let mut found: Vec<Line> = Vec::new();
        for entry in document.cells.iter().filter(|entry| entry.section == "growth") {
            let Some(count) =
                entry.workload.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-'))
            else {
                continue;
            };
            let (Ok(count), Some(spread)) = (count.parse::<f64>(), entry.spread("p50_us")) else {
                continue;
            };
            let point = (count, spread.median);
            match found.iter_mut().find(|line| line.label == entry.cell) {
                Some(line) => line.points.push(point),
                None => found.push(Line { label: entry.cell.clone(), points: vec![point] }),
            }
        }
        for line in &mut found {
            line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        if !found.is_empty() {
            let title = format!("Round trip over {across}");
            plots.push((format!("growth-{kind}"), lines(&title, (across, "p50 µs"), &found)));
        }
    }
    plots
}
