//! What the machine can do at all: the way of the bytes, without calls.

use super::{Kind, Partners, Section};
use crate::cells::{FLOOR, Program};
use crate::placement::Placement;

const APART: &[Placement] = &[Placement::Two, Placement::Free];

const fn floor(
    name: &'static str,
    pair: &'static str,
    (serve, call): (Option<Program>, Option<Program>),
    sections: &'static [Section],
    placements: &'static [Placement],
) -> Partners {
    Partners { name, pair, kind: Kind::Floor, serve, call, sections, placements }
}

const fn own(serve: &'static str, call: &'static str) -> (Option<Program>, Option<Program>) {
    (Some(Program::Own(serve)), Some(Program::Own(call)))
}

const fn alone(program: Program) -> (Option<Program>, Option<Program>) {
    (None, Some(program))
}

const fn waiting(program: Program) -> (Option<Program>, Option<Program>) {
    (Some(program), None)
}

pub(super) const PARTNERS: &[Partners] = &[
    // The one that ratios are told against, wherever it has the same workload.
    floor(
        FLOOR,
        "floor",
        own("serve-floor", "call-floor"),
        &[Section::Small, Section::Large, Section::Growth],
        &Placement::ALL,
    ),
    floor(
        "floor: tokio, one call at a time",
        "floor",
        own("serve-tokio", "call-tokio-raw"),
        &[Section::Small],
        &Placement::ALL,
    ),
    floor(
        "floor: tokio, calls with numbers",
        "floor",
        own("serve-tokio", "call-tokio-mux"),
        &[Section::Small],
        &Placement::ALL,
    ),
    floor(
        "floor: shared memory, futex",
        "floor",
        alone(Program::Own("call-memory-futex")),
        &[Section::Small],
        &Placement::ALL,
    ),
    floor(
        "floor: shared memory, eventfd",
        "floor",
        alone(Program::Own("call-memory-eventfd")),
        &[Section::Small],
        &Placement::ALL,
    ),
    floor(
        "floor: shared memory, polling",
        "floor",
        alone(Program::Own("call-memory-polling")),
        &[Section::Small],
        APART,
    ),
    floor(
        "floor: memcpy",
        "floor",
        alone(Program::Own("call-memcpy")),
        &[Section::Large, Section::Growth],
        &Placement::ALL,
    ),
    floor(
        "floor: a Python function, called in its process",
        "rust-python",
        alone(Program::Python("py_dispatch.py")),
        &[Section::Dispatch],
        &Placement::ALL,
    ),
    floor(
        "floor: the same with a Pydantic model",
        "rust-python",
        alone(Program::Python("py_dispatch_model.py")),
        &[Section::Dispatch],
        &Placement::ALL,
    ),
    floor(
        "floor: true",
        "rust-rust",
        alone(Program::Own("call-spawn-true")),
        &[Section::Spawn],
        &Placement::ALL,
    ),
    floor(
        "floor: python3 -c pass",
        "rust-python",
        alone(Program::Own("call-spawn-bare-python")),
        &[Section::Spawn],
        &Placement::ALL,
    ),
    floor(
        "floor: node -e 0",
        "rust-node",
        alone(Program::Own("call-spawn-bare-node")),
        &[Section::Spawn],
        &Placement::ALL,
    ),
    floor(
        "floor: a bare Python",
        "rust-python",
        waiting(Program::Python("py_bare.py")),
        &[Section::Idle],
        &Placement::ALL,
    ),
    floor(
        "floor: a bare Node",
        "rust-node",
        waiting(Program::Node("node_bare.mjs")),
        &[Section::Idle],
        &Placement::ALL,
    ),
];
