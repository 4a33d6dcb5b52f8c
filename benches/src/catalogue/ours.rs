//! Procall's own cells.
//!
//! Pairs that make small calls stand in `cells.rs`; here is what else they do, and what there is beside them.

use procall_bench_load::Workload;

use super::{Cell, Kind, Partners, Section};
use crate::cells::{self, CELLS, FLOOR, Program};
use crate::placement::Placement;

const SMALL: &[Section] = &[Section::Small];
const PAYLOADS: &[Section] = &[Section::Small, Section::Large];
const ARRAYS: &[Section] = &[Section::Large];
const STREAMS: &[Section] = &[Section::Small, Section::Large, Section::Stream];

/// Pairs that are measured in shared memory too, by their names: each line here is as many cells as the pair has.
const SHARED: &[&str] = &[
    "rust inline -> rust task",
    "rust inline -> rust inline",
    "rust task -> rust task",
    "rust inline -> engine -> rust task",
    "rust inline -> python",
    "python sync -> python",
    "node -> node",
    "rust inline -> python, an array made with empty",
    "python sync -> python, an array",
    "python sync -> python, an array made with empty",
];

/// Adds the cells.
pub(super) fn add(cells: &mut Vec<Cell>) {
    for cell in CELLS.iter().filter(|cell| cell.name != FLOOR) {
        from_table(cell).cells(cells);
    }
    for partners in PARTNERS {
        partners.cells(cells);
    }
    // No more links of a process than 128 are in shared memory, and these cells insist on it.
    let too_many =
        |cell: &Cell| matches!(cell.workload, Workload::Connections(count) if count > 100);
    let shared = cells.iter().filter(|cell| SHARED.contains(&&*cell.name) && !too_many(cell));
    let shared: Vec<Cell> = shared
        .map(|cell| Cell {
            name: format!("{}, in shared memory", cell.name),
            transport: "shm",
            ..cell.clone()
        })
        .collect();
    cells.extend(shared);
    for count in [1, 10, 100, 1_000] {
        for workload in
            [Workload::Workers(count), Workload::Methods(count), Workload::Connections(count)]
        {
            cells.push(among_many(Section::Growth, workload));
        }
    }
    cells.push(among_many(Section::Idle, Workload::Workers(1_000)));
}

/// An engine with many workers, methods or peers, and a call through it or a look at it.
fn among_many(section: Section, workload: Workload) -> Cell {
    let idle = section == Section::Idle;
    Cell {
        name: if idle { "an engine" } else { "rust inline -> engine -> rust task" }.to_owned(),
        section,
        pair: "routed",
        kind: Kind::Ours,
        workload,
        serve: Some(Program::Own("serve-engine-of-many")),
        call: (!idle).then_some(Program::Own("call-inline")),
        placements: section.placements().to_vec(),
        transport: "unix",
    }
}

fn from_table(cell: &cells::Cell) -> Partners {
    Partners {
        name: cell.name,
        pair: pair(cell.name),
        kind: Kind::Ours,
        serve: cell.serve,
        call: Some(cell.call),
        sections: match cell.name {
            "rust inline -> rust task" => {
                &[Section::Small, Section::Large, Section::Stream, Section::Growth]
            }
            "rust task -> rust task"
            | "rust inline -> python"
            | "rust inline -> node"
            | "python sync -> python"
            | "node -> node" => STREAMS,
            "rust inline -> engine -> rust task" => PAYLOADS,
            _ => SMALL,
        },
        placements: &Placement::ALL,
    }
}

/// Who calls whom, from the name of a cell, as in `rust inline -> node`.
fn pair(name: &str) -> &'static str {
    let (caller, service) = name.split_once(" -> ").unwrap_or((name, name));
    if service.contains("engine") {
        return "routed";
    }
    let language = |side: &str| {
        let found = ["rust", "python", "node"].into_iter().find(|known| side.starts_with(known));
        found.unwrap_or("rust")
    };
    match (language(caller), language(service)) {
        ("python", _) => "python-python",
        ("node", _) => "node-node",
        (_, "python") => "rust-python",
        (_, "node") => "rust-node",
        _ => "rust-rust",
    }
}

const fn ours(
    name: &'static str,
    pair: &'static str,
    serve: Option<Program>,
    call: Option<Program>,
    sections: &'static [Section],
) -> Partners {
    Partners { name, pair, kind: Kind::Ours, serve, call, sections, placements: &Placement::ALL }
}

const PYTHON: Option<Program> = Some(Program::Python("py_service.py"));
const NODE: Option<Program> = Some(Program::Node("node_service.mjs"));

const fn own(role: &'static str) -> Option<Program> {
    Some(Program::Own(role))
}

const PARTNERS: &[Partners] = &[
    ours(
        "rust inline -> engine that checks no schemas -> rust task",
        "routed",
        own("serve-engine-unchecked"),
        own("call-inline"),
        SMALL,
    ),
    ours(
        "python asyncio -> python",
        "python-python",
        PYTHON,
        Some(Program::Python("py_asyncio_client.py")),
        STREAMS,
    ),
    ours(
        "rust inline -> python, an array made with empty",
        "rust-python",
        PYTHON,
        own("call-array"),
        ARRAYS,
    ),
    ours(
        "python sync -> python, an array",
        "python-python",
        PYTHON,
        Some(Program::Python("py_array_client.py")),
        ARRAYS,
    ),
    ours(
        "python sync -> python, an array made with empty",
        "python-python",
        PYTHON,
        Some(Program::Python("py_empty_client.py")),
        ARRAYS,
    ),
    ours("a Python handler", "rust-python", PYTHON, own("call-dispatch"), &[Section::Dispatch]),
    ours(
        "a Python handler that takes a Pydantic model",
        "rust-python",
        Some(Program::Python("py_model_service.py")),
        own("call-dispatch-model"),
        &[Section::Dispatch],
    ),
    ours("a pool's Rust worker", "rust-rust", None, own("call-spawn-rust"), &[Section::Spawn]),
    ours(
        "a pool's Python worker",
        "rust-python",
        None,
        own("call-spawn-python"),
        &[Section::Spawn],
    ),
    ours("a pool's Node worker", "rust-node", None, own("call-spawn-node"), &[Section::Spawn]),
    ours("a Rust service", "rust-rust", own("serve-task"), None, &[Section::Idle]),
    ours("a Python service", "rust-python", PYTHON, None, &[Section::Idle]),
    ours("a Node service", "rust-node", NODE, None, &[Section::Idle]),
    ours("an engine", "routed", own("serve-engine"), None, &[Section::Idle]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_pair() {
        for (name, expected) in [
            ("rust inline -> rust task", "rust-rust"),
            ("rust task -> engine -> rust task", "routed"),
            ("rust inline -> python", "rust-python"),
            ("python sync -> python", "python-python"),
            ("rust inline -> node", "rust-node"),
            ("node -> node", "node-node"),
        ] {
            assert_eq!(pair(name), expected, "{name}");
        }
    }
}
