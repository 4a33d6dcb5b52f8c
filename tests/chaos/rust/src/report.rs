//! What scenarios found, as a table and as JSON.

use std::time::Duration;

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::ledger::Verdict;

/// One thing that was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) found: String,
    /// What it is to be.
    pub(crate) bound: String,
    pub(crate) held: bool,
    /// A promise that no busy machine excuses; others depend on time.
    pub(crate) promise: bool,
}

/// What a scenario found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Found {
    pub(crate) figures: Vec<Figure>,
}

impl Found {
    /// Something that holds always, or is a defect.
    pub(crate) fn promise(&mut self, what: &str, found: u64, is_zero: &str) {
        self.figures.push(Figure {
            what: what.to_owned(),
            found: found.to_string(),
            bound: is_zero.to_owned(),
            held: found == 0,
            promise: true,
        });
    }

    /// A time that depends on the machine too.
    pub(crate) fn time(&mut self, what: &str, found: Duration, most: Duration) {
        self.figures.push(Figure {
            what: what.to_owned(),
            found: format!("{found:.1?}"),
            bound: format!("at most {most:?}"),
            held: found <= most,
            promise: false,
        });
    }

    /// Some other number that depends on the machine.
    pub(crate) fn figure(&mut self, what: &str, found: String, bound: &str, held: bool) {
        let (what, bound) = (what.to_owned(), bound.to_owned());
        self.figures.push(Figure { what, found, bound, held, promise: false });
    }

    /// What every ledger has to show.
    pub(crate) fn ledger(&mut self, verdict: &Verdict) {
        let Verdict { calls, succeeded, failed, .. } = verdict;
        let found = format!("{calls}, {succeeded} succeeded, {failed} failed");
        self.figure("calls", found, "some succeed", *succeeded > 0);
        self.promise("calls without one outcome", verdict.lost, "0");
        self.promise("calls executed twice", verdict.twice, "0");
        self.promise("replies to another call", verdict.crossed, "0");
        self.promise("untrue words about execution", verdict.lies, "0");
    }

    /// The same where nothing may fail.
    pub(crate) fn flawless(&mut self, verdict: &Verdict) {
        self.ledger(verdict);
        self.promise("calls that failed", verdict.failed, "0");
    }
}

/// The scenario's number and name in the table of semantics, and what it found.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) rule: &'static str,
    pub(crate) name: &'static str,
    pub(crate) seconds: f64,
    /// Why it could not be run to its end.
    pub(crate) error: Option<String>,
    #[serde(flatten)]
    pub(crate) found: Found,
}

impl Row {
    /// Whether all promises held.
    pub(crate) fn is_kept(&self) -> bool {
        self.error.is_none() && self.found.figures.iter().all(|one| one.held || !one.promise)
    }
}

pub(crate) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["rule", "scenario", "what", "found", "to be", ""]);
    for row in rows {
        let mut first = true;
        let mut add = |what: &str, found: &str, bound: &str, mark: &str| {
            let (rule, name) =
                if std::mem::take(&mut first) { (row.rule, row.name) } else { ("", "") };
            table.add_row([rule, name, what, found, bound, mark]);
        };
        for figure in &row.found.figures {
            let mark = match (figure.held, figure.promise) {
                (true, _) => "held",
                (false, true) => "BROKEN",
                (false, false) => "missed",
            };
            add(&figure.what, &figure.found, &figure.bound, mark);
        }
        if let Some(error) = &row.error {
            add("could not be run", error, "", "BROKEN");
        }
    }
    table.to_string()
}

/// The value below which so much of all lie.
pub(crate) fn percentile(mut values: Vec<Duration>, part: f64) -> Duration {
    values.sort_unstable();
    let at = ((values.len() as f64 * part) as usize).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or_default()
}
