//! The table.

use std::io::Write;

use crate::cells::{FLOOR, Options, Row};
use crate::load::Measured;

/// Prints the table and leaves the figures as JSON in `bench-results/`.
pub(crate) fn print(rows: &[Row], options: &Options) {
    println!(
        "{} rounds of {} ms; median (min-max); ratios are medians of same-round ratios to the floor",
        options.rounds, options.window_ms
    );
    for placement in &options.placements {
        println!("\n{}", placement.name());
        println!(
            "{:<34} {:>22} {:>8} {:>10} {:>26} {:>8}",
            "cell", "p50 us", "/ floor", "p99 us", "calls/s, 64 in flight", "/ floor"
        );
        let here: Vec<&Row> = rows.iter().filter(|row| row.placement == *placement).collect();
        let Some(floor) = here.iter().find(|row| row.name == FLOOR) else { continue };
        for row in &here {
            let p50 = column(row, |measured| measured.p50_us);
            let p99 = column(row, |measured| measured.p99_us);
            let rate = column(row, |measured| measured.per_second);
            let latency = ratio(row, floor, |measured| measured.p50_us);
            let throughput = ratio(row, floor, |measured| measured.per_second);
            println!(
                "{:<34} {:>22} {:>8} {:>10} {:>26} {:>8}",
                row.name,
                spread(&p50, 2),
                number(latency, 2),
                number(median(&p99), 1),
                spread(&rate, 0),
                number(throughput, 3),
            );
        }
    }
    if let Err(error) = save(rows) {
        eprintln!("the figures were not saved: {error}");
    }
}

fn column(row: &Row, figure: impl Fn(&Measured) -> f64) -> Vec<f64> {
    row.rounds.iter().flatten().map(figure).collect()
}

fn ratio(row: &Row, floor: &Row, figure: impl Fn(&Measured) -> f64) -> Option<f64> {
    let ratios: Vec<f64> = row
        .rounds
        .iter()
        .zip(&floor.rounds)
        .filter_map(|(row, floor)| Some(figure(row.as_ref()?) / figure(floor.as_ref()?)))
        .collect();
    median(&ratios)
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.filter(|&value| value > 0.0).map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

fn spread(values: &[f64], digits: usize) -> String {
    // A cell that does not measure a figure leaves it at zero.
    let Some(middle) = median(values).filter(|&middle| middle > 0.0) else { return "-".to_owned() };
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    format!("{middle:.digits$} ({low:.digits$}-{high:.digits$})")
}

fn save(rows: &[Row]) -> std::io::Result<()> {
    std::fs::create_dir_all("bench-results")?;
    let mut file = std::fs::File::create("bench-results/latest.json")?;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| serde_json::json!({"cell": row.name, "placement": row.placement.name(), "rounds": row.rounds}))
        .collect();
    writeln!(file, "{}", serde_json::to_string_pretty(&rows)?)
}
