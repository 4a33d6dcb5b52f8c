//! What there is to measure.

mod floors;
mod ours;
mod peers;

use std::str::FromStr;

use procall_bench_load::Workload;

use crate::cells::Program;
use crate::placement::Placement;

/// Who calls whom, as it is chosen on the command line.
pub(crate) const PAIRS: &[&str] =
    &["floor", "rust-rust", "rust-python", "python-python", "rust-node", "node-node", "routed"];

/// What a cell is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// What the machine can do at all, without calls.
    Floor,
    Ours,
    /// Another system that does the same.
    Peer,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ours => "ours",
            Self::Peer => "peer",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Floor, Self::Ours, Self::Peer].into_iter().find(|k| k.name() == text);
        found.ok_or_else(|| format!("there is no kind {text}; there are ours, floor, peer"))
    }
}

/// A table of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    /// `add(a, b)`: one after the other, then 64 at a time.
    Small,
    /// 1 MiB and 64 MiB.
    Large,
    /// Streams of small items.
    Stream,
    /// What a worker spends on a call beside its input and output.
    Dispatch,
    /// From nothing to the first answer.
    Spawn,
    /// Memory and CPU time of a service that waits.
    Idle,
    /// The same calls with 1 to 1,000 of something, or 1 B to 64 MiB.
    Growth,
}

impl Section {
    pub(crate) const ALL: [Self; 7] = [
        Self::Small,
        Self::Large,
        Self::Stream,
        Self::Dispatch,
        Self::Spawn,
        Self::Idle,
        Self::Growth,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
            Self::Stream => "stream",
            Self::Dispatch => "dispatch",
            Self::Spawn => "spawn",
            Self::Idle => "idle",
            Self::Growth => "growth",
        }
    }

    /// Where its cells run, unless fewer are asked for.
    const fn placements(self) -> &'static [Placement] {
        match self {
            Self::Small | Self::Large | Self::Stream => &Placement::ALL,
            Self::Dispatch | Self::Growth => &[Placement::One],
            Self::Spawn | Self::Idle => &[Placement::Free],
        }
    }
}

impl FromStr for Section {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|section| section.name() == text);
        found.ok_or_else(|| format!("there is no section {text}"))
    }
}

/// One line of a table: two programs that talk, and about what.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) section: Section,
    /// One of [`PAIRS`].
    pub(crate) pair: &'static str,
    pub(crate) kind: Kind,
    pub(crate) workload: Workload,
    /// `None` when the caller starts its own partner.
    pub(crate) serve: Option<Program>,
    /// `None` when it is the service itself that is looked at.
    pub(crate) call: Option<Program>,
    pub(crate) placements: Vec<Placement>,
    /// How programs of ours talk: what `PROCALL_TRANSPORT` says to both.
    pub(crate) transport: &'static str,
}

/// Two programs that talk, and the sections that they have cells in.
struct Partners {
    name: &'static str,
    pair: &'static str,
    kind: Kind,
    serve: Option<Program>,
    call: Option<Program>,
    sections: &'static [Section],
    /// Where they can run at all; a program that only polls needs a CPU of its own.
    placements: &'static [Placement],
}

impl Partners {
    fn cells(&self, cells: &mut Vec<Cell>) {
        for &section in self.sections {
            for workload in workloads(section, self.kind) {
                let placements = section.placements().iter().copied();
                cells.push(Cell {
                    name: self.name.to_owned(),
                    section,
                    pair: self.pair,
                    kind: self.kind,
                    workload,
                    serve: self.serve,
                    call: self.call.filter(|_| section != Section::Idle),
                    placements: placements.filter(|p| self.placements.contains(p)).collect(),
                    transport: "unix",
                });
            }
        }
    }
}

const MIB: usize = 1 << 20;

fn workloads(section: Section, kind: Kind) -> Vec<Workload> {
    match section {
        Section::Large => vec![Workload::Bytes(MIB), Workload::Bytes(64 * MIB)],
        Section::Stream => vec![Workload::Stream],
        Section::Growth => {
            let sizes = [1, 64, 4 << 10, 64 << 10, MIB, 8 * MIB, 64 * MIB];
            let mut workloads: Vec<Workload> = sizes.into_iter().map(Workload::Bytes).collect();
            if kind == Kind::Ours {
                let counts = [1, 10, 100, 1_000];
                workloads.extend(counts.map(Workload::Methods));
                workloads.extend(counts.map(Workload::Connections));
            }
            workloads
        }
        _ => vec![Workload::Small],
    }
}

/// Every cell there is, floors first.
pub(crate) fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for partners in floors::PARTNERS {
        partners.cells(&mut cells);
    }
    ours::add(&mut cells);
    for partners in peers::PARTNERS {
        partners.cells(&mut cells);
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_a_pair_that_can_be_chosen_and_a_name_of_its_own() {
        let cells = all();
        for (at, cell) in cells.iter().enumerate() {
            assert!(PAIRS.contains(&cell.pair), "{cell:?}");
            assert!(!cell.placements.is_empty(), "{cell:?}");
            assert!(cell.serve.is_some() || cell.call.is_some(), "{cell:?}");
            let same = |other: &Cell| {
                (&other.name, other.section, other.workload)
                    == (&cell.name, cell.section, cell.workload)
            };
            assert!(!cells[..at].iter().any(same), "{cell:?} is there twice");
        }
    }
}
