//! Figures of several rounds as one.

use std::collections::BTreeMap;

use procall_bench_load::Figures;
use serde::{Deserialize, Serialize};

use crate::run::Row;

/// A cell and what each round measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) cell: String,
    pub(crate) section: String,
    pub(crate) pair: String,
    pub(crate) kind: String,
    pub(crate) placement: String,
    pub(crate) workload: String,
    /// Why it did not run at all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) missing: Option<String>,
    pub(crate) rounds: Vec<Round>,
    /// Median, least and most of each figure; for people, and not read again.
    #[serde(skip_deserializing, default)]
    pub(crate) summary: BTreeMap<String, Spread>,
}

/// One round of a cell.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Round {
    Failed { error: String },
    Measured(Figures),
}

/// The middle of some values, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Default)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        } else {
            sorted[middle]
        };
        Some(Self { median, min, max })
    }
}

impl Entry {
    pub(crate) fn new(row: &Row) -> Self {
        let rounds = row.rounds.iter().map(|round| match round {
            Ok(figures) => Round::Measured(figures.clone()),
            Err(error) => Round::Failed { error: error.clone() },
        });
        let mut entry = Self {
            cell: row.cell.name.clone(),
            section: row.cell.section.name().to_owned(),
            pair: row.cell.pair.to_owned(),
            kind: row.cell.kind.name().to_owned(),
            placement: row.placement.name().to_owned(),
            workload: row.cell.workload.to_string(),
            missing: row.missing.clone(),
            rounds: rounds.collect(),
            summary: BTreeMap::new(),
        };
        let names: std::collections::BTreeSet<&String> = entry
            .rounds
            .iter()
            .flat_map(|round| round.figures().into_iter().flat_map(Figures::keys))
            .collect();
        entry.summary = names
            .into_iter()
            .filter_map(|name| Some((name.clone(), entry.spread(name)?)))
            .collect();
        entry
    }

    /// Why it has no figures, if so.
    pub(crate) fn failure(&self) -> Option<&str> {
        if let Some(missing) = &self.missing {
            return Some(missing);
        }
        if self.rounds.iter().any(|round| round.figures().is_some()) {
            return None;
        }
        Some(self.rounds.iter().find_map(Round::error).unwrap_or("it did not run"))
    }

    pub(crate) fn spread(&self, figure: &str) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|round| round.figure(figure)))
    }

    /// This one's figure divided by that of another cell, round by round; the median.
    pub(crate) fn ratio(&self, other: &Self, figure: &str) -> Option<f64> {
        let rounds = self.rounds.iter().zip(&other.rounds);
        let ratios = rounds.filter_map(|(own, other)| {
            let other = other.figure(figure).filter(|&other| other > 0.0)?;
            Some(own.figure(figure)? / other)
        });
        Spread::of(ratios).map(|spread| spread.median)
    }
}

impl Round {
    fn figures(&self) -> Option<&Figures> {
        if let Self::Measured(figures) = self { Some(figures) } else { None }
    }

    fn error(&self) -> Option<&str> {
        if let Self::Failed { error } = self { Some(error) } else { None }
    }

    fn figure(&self, name: &str) -> Option<f64> {
        self.figures()?.get(name).copied()
    }
}

/// A number with as many digits as mean something.
pub(crate) fn number(value: f64) -> String {
    let thousands = |value: f64| {
        let digits = format!("{value:.0}");
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    };
    match value {
        value if value >= 1e7 => format!("{:.1} M", value / 1e6),
        value if value >= 1_000.0 => thousands(value),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 0.01 || value == 0.0 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(values: &[Option<f64>]) -> Entry {
        let rounds = values.iter().map(|value| match value {
            Some(value) => Round::Measured(Figures::from([("p50_us".to_owned(), *value)])),
            None => Round::Failed { error: "it was ill".to_owned() },
        });
        Entry {
            cell: "one -> other".to_owned(),
            section: "small".to_owned(),
            pair: "rust-rust".to_owned(),
            kind: "ours".to_owned(),
            placement: "1c".to_owned(),
            workload: "small".to_owned(),
            missing: None,
            rounds: rounds.collect(),
            summary: BTreeMap::new(),
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let own = entry(&[Some(20.0), None, Some(90.0)]);
        let floor = entry(&[Some(10.0), Some(1.0), Some(30.0)]);
        assert_eq!(own.ratio(&floor, "p50_us"), Some(2.5));
        assert_eq!(own.ratio(&floor, "p99_us"), None);
        let spread = own.spread("p50_us").unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (20.0, 55.0, 90.0));
    }

    #[test]
    fn a_cell_without_figures_says_why() {
        assert_eq!(entry(&[None, None]).failure(), Some("it was ill"));
        assert_eq!(entry(&[]).failure(), Some("it did not run"));
        assert_eq!(entry(&[None, Some(1.0)]).failure(), None);
    }

    #[test]
    fn a_round_reads_as_it_is_written() {
        let text = serde_json::to_string(&entry(&[None, Some(1.5)])).unwrap();
        let read: Entry = serde_json::from_str(&text).unwrap();
        assert_eq!(read.spread("p50_us").unwrap().median, 1.5);
        assert_eq!(read.rounds[0].error(), Some("it was ill"));
    }

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        for (value, expected) in [
            (0.0, "0.00"),
            (0.00123, "0.0012"),
            (0.66, "0.66"),
            (13.84, "13.8"),
            (242.4, "242"),
            (1_018_321.0, "1,018,321"),
            (22_370_000.0, "22.4 M"),
        ] {
            assert_eq!(number(value), expected);
        }
    }
}
