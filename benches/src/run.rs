//! The rounds: every cell once in each, in another order each time, so that drift of the machine hits all alike.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use procall_bench_load::{Figures, Task};

use crate::catalogue::{self, Cell, Section};
use crate::cells::{FLOOR, Program};
use crate::idle;
use crate::machine;
use crate::options::Options;
use crate::placement::{self, Placement};
use crate::process::{self, Surroundings, interrupted};
use crate::programs::Installed;

type Failure = Box<dyn std::error::Error>;

/// A cell at a place, and what each round measured; or why it could not run.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) cell: Cell,
    pub(crate) placement: Placement,
    pub(crate) missing: Option<String>,
    pub(crate) rounds: Vec<Result<Figures, String>>,
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
    pub(crate) seconds: f64,
    /// The load of the machine before it.
    pub(crate) load_before: f64,
    pub(crate) interrupted: bool,
}

/// The cells that were asked for, and the floor beside each of them.
pub(crate) fn chosen(options: &Options) -> Vec<(Cell, Placement)> {
    let all = catalogue::all();
    let wanted: Vec<&Cell> = all.iter().filter(|cell| options.wants(cell)).collect();
    let stands_under = |floor: &Cell| {
        floor.name == FLOOR
            && !options.check
            && wanted
                .iter()
                .any(|cell| (cell.section, cell.workload) == (floor.section, floor.workload))
    };
    let cells = all.iter().filter(|cell| options.wants(cell) || stands_under(cell));
    let mut chosen = Vec::new();
    for cell in cells {
        let wanted = cell.placements.iter().filter(|&&p| options.wants_placement(p));
        // Whether a cell gives answers does not depend on where it runs.
        let places = if options.check { 1 } else { usize::MAX };
        chosen.extend(wanted.take(places).map(|&placement| (cell.clone(), placement)));
    }
    chosen
}

/// Runs what was asked for.
pub(crate) fn run(options: &Options) -> Result<Results, Failure> {
    let mut installed = Installed::default();
    let cores = placement::available();
    let mut rows: Vec<Row> = chosen(options)
        .into_iter()
        .map(|(cell, placement)| {
            let programs = cell.serve.into_iter().chain(cell.call);
            let missing = programs.filter_map(|program| installed.missing(program)).next();
            let missing = missing.or_else(|| {
                (placement == Placement::Two && cores < 2).then(|| "needs two cores".to_owned())
            });
            Row { cell, placement, missing, rounds: Vec::new() }
        })
        .collect();
    if rows.is_empty() {
        return Err("no cell is chosen; see --list".into());
    }
    process::prepare()?;
    let mut shuffle = Shuffle(options.seed);
    let load_before = machine::load();
    let start = Instant::now();
    let able: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].missing.is_none()).collect();
    let total = able.len() * options.rounds;
    let mut done = 0;
    'rounds: for round in 1..=options.rounds {
        let mut order = able.clone();
        shuffle.order(&mut order);
        for at in order {
            let row = &mut rows[at];
            progress(
                start,
                done,
                total,
                &format!("round {round}/{}  {}", options.rounds, title(row)),
            );
            let measured = measure(&row.cell, row.placement, options.window_ms);
            process::sweep();
            if interrupted() {
                break 'rounds;
            }
            if let Err(error) = &measured {
                eprintln!("\r\x1b[K{}: {error}", title(row));
            }
            row.rounds.push(measured.map_err(|error| error.to_string()));
            done += 1;
        }
    }
    progress(start, done, total, "");
    eprintln!();
    let seconds = start.elapsed().as_secs_f64();
    Ok(Results { rows, seconds, load_before, interrupted: interrupted() })
}

/// A line of its own where nobody watches, once a while; the same line again where somebody does.
fn progress(start: Instant, done: usize, total: usize, what: &str) {
    let spent = start.elapsed();
    let left = if done == 0 { Duration::ZERO } else { spent / done as u32 * (total - done) as u32 };
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{done}/{total}, {} s left  {what}", left.as_secs());
    } else if done.is_multiple_of(50) {
        eprintln!("{done}/{total}, {} s left", left.as_secs());
    }
}

pub(crate) fn title(row: &Row) -> String {
    format!("{} [{}, {}]", row.cell.name, row.cell.workload, row.placement.name())
}

fn measure(cell: &Cell, placement: Placement, window_ms: u64) -> Result<Figures, Failure> {
    let directory = tempfile::Builder::new().prefix("pb").tempdir()?;
    let path = directory.path().join("s").to_string_lossy().into_owned();
    let window = Duration::from_millis(window_ms);
    let around = Surroundings { placement, transport: cell.transport };
    let task = |side: &str, program: Program, window| Task {
        role: match program {
            Program::Own(role) => role.to_owned(),
            _ => format!("{side}-{}", cell.section.name()),
        },
        path: path.clone(),
        window,
        workload: cell.workload,
    };
    let server = cell
        .serve
        .map(|program| process::serve(program, &task("serve", program, Duration::ZERO), around))
        .transpose()?;
    let Some(program) = cell.call else {
        let server = server.ok_or("there is nobody to look at")?;
        return idle::look(server.pid(), window.max(Duration::from_millis(500)));
    };
    let limit = Duration::from_secs(60) + window * 20;
    let printed = process::call(program, &task("call", program, window), around, limit)?;
    let figures: Figures = serde_json::from_str(printed.lines().next_back().unwrap_or(""))
        .map_err(|error| format!("the caller printed {printed:?}: {error}"))?;
    // A figure of 0 is one that a program does not measure.
    let figures: Figures = figures.into_iter().filter(|(_, figure)| *figure > 0.0).collect();
    if figures.is_empty() {
        return Err("the caller measured nothing".into());
    }
    Ok(figures)
}

/// A sequence that a seed repeats: xorshift.
struct Shuffle(u64);

impl Shuffle {
    fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn order(&mut self, items: &mut [usize]) {
        for at in (1..items.len()).rev() {
            items.swap(at, (self.next() % (at as u64 + 1)) as usize);
        }
    }
}

/// Complains of every chosen cell of ours that has no figures in some round.
pub(crate) fn check(results: &Results, rounds: usize) -> Vec<String> {
    let mut complaints = Vec::new();
    for row in &results.rows {
        let failed = row.rounds.iter().find_map(|round| round.as_ref().err());
        let reason = row.missing.as_ref().or(failed).cloned().or_else(|| {
            (row.rounds.len() < rounds).then(|| "it did not run in every round".to_owned())
        });
        complaints.extend(reason.map(|reason| format!("{}: {reason}", title(row))));
    }
    complaints
}

/// The chosen cells as lines, for `--list`.
pub(crate) fn list(options: &Options) -> Vec<String> {
    let mut lines = Vec::new();
    for section in Section::ALL {
        for (cell, placement) in chosen(options) {
            if cell.section == section {
                lines.push(format!(
                    "{:<9} {:<14} {:<6} {:<5} {:<17} {}",
                    section.name(),
                    cell.pair,
                    cell.kind.name(),
                    placement.name(),
                    cell.workload.to_string(),
                    cell.name
                ));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_the_order_and_every_cell_stays() {
        let shuffled = |seed| {
            let mut order: Vec<usize> = (0..100).collect();
            Shuffle(seed).order(&mut order);
            order
        };
        assert_eq!(shuffled(7), shuffled(7));
        assert_ne!(shuffled(7), shuffled(8));
        let mut order = shuffled(0);
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
