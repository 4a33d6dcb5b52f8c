//! The proof that every file has exactly one answer, and the table.

use std::path::PathBuf;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use crate::workers::Digest;

/// How long one call took, and how many workers it lost on the way.
pub(crate) struct Timing {
    pub(crate) language: &'static str,
    pub(crate) took: Duration,
    pub(crate) lost: u32,
}

/// What was found out about a file.
pub(crate) struct Answer {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) keywords: Vec<String>,
    pub(crate) html: usize,
    pub(crate) timings: Vec<Timing>,
}

/// The answers, one place a file.
pub(crate) struct Ledger {
    entries: Vec<Vec<Result<Answer, String>>>,
    faults: Vec<String>,
    killed: Option<String>,
}

impl Ledger {
    pub(crate) fn new(files: usize) -> Self {
        Self { entries: (0..files).map(|_| Vec::new()).collect(), faults: Vec::new(), killed: None }
    }

    pub(crate) fn enter(&mut self, file: usize, answer: Result<Answer, String>) {
        self.entries[file].push(answer);
    }

    pub(crate) fn fault(&mut self, message: String) {
        self.faults.push(message);
    }

    pub(crate) fn killed(&mut self, worker: String) {
        self.killed = Some(worker);
    }

    pub(crate) fn answers(&self) -> usize {
        self.entries.iter().map(Vec::len).sum()
    }

    /// Whether every file has exactly one answer, and that a good one.
    pub(crate) fn holds(&self) -> bool {
        self.faults.is_empty() && self.entries.iter().all(|answers| matches!(&answers[..], [Ok(_)]))
    }

    fn good(&self) -> impl Iterator<Item = &Answer> {
        self.entries.iter().flatten().flatten()
    }

    pub(crate) fn print(&self, took: Duration, restarts: [u64; 3]) {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header([
            "language",
            "work",
            "calls",
            "p50 ms",
            "p99 ms",
            "workers lost",
            "restarts",
        ]);
        let rows = [
            ("python", "keywords (numpy)"),
            ("node", "Markdown to HTML (marked)"),
            ("rust", "SHA-256 and counts"),
        ];
        for ((language, work), restarts) in rows.into_iter().zip(restarts) {
            let timings: Vec<&Timing> = self
                .good()
                .flat_map(|answer| &answer.timings)
                .filter(|timing| timing.language == language)
                .collect();
            let mut took: Vec<Duration> = timings.iter().map(|timing| timing.took).collect();
            took.sort_unstable();
            let lost: u32 = timings.iter().map(|timing| timing.lost).sum();
            table.add_row([
                language.to_owned(),
                work.to_owned(),
                timings.len().to_string(),
                at(&took, 0.50),
                at(&took, 0.99),
                lost.to_string(),
                restarts.to_string(),
            ]);
        }
        for column in 2..7 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!("{table}");
        if let Some(longest) = self.good().max_by_key(|answer| answer.digest.words) {
            println!(
                "the longest text is {}: {} words in {} lines, sha256 {}…, about {}",
                longest.path.display(),
                longest.digest.words,
                longest.digest.lines,
                &longest.digest.sha256[..12],
                longest.keywords.join(", "),
            );
        }
        let bytes: u64 = self.good().map(|answer| answer.digest.bytes).sum();
        let html: usize = self.good().map(|answer| answer.html).sum();
        println!(
            "{} files, {bytes} bytes in, {html} bytes of HTML out, {:.1} s",
            self.entries.len(),
            took.as_secs_f64()
        );
        if let Some(killed) = &self.killed {
            println!("killed on the way with SIGKILL: {killed}");
        }
        let none = self.entries.iter().filter(|answers| !answers.iter().any(Result::is_ok)).count();
        let twice = self.entries.iter().filter(|answers| answers.len() > 1).count();
        println!(
            "ledger: {} files, {} answers, {none} without one, {twice} with more than one",
            self.entries.len(),
            self.good().count()
        );
        for problem in self
            .entries
            .iter()
            .flatten()
            .filter_map(|answer| answer.as_ref().err())
            .chain(&self.faults)
            .take(5)
        {
            println!("  {problem}");
        }
    }
}

fn at(sorted: &[Duration], part: f64) -> String {
    match sorted.len() {
        0 => "-".to_owned(),
        len => format!("{:.2}", sorted[((len - 1) as f64 * part) as usize].as_secs_f64() * 1000.0),
    }
}
