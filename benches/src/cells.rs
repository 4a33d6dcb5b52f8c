//! Pairs of programs of ours that make small calls, and the programs that cells are made of.

/// Two programs that talk: one serves, one calls and prints what it measured as JSON.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    /// `None` when the caller starts its own partner.
    pub(crate) serve: Option<Program>,
    pub(crate) call: Program,
}

/// A program of a cell. It gets the socket's path, the window in milliseconds and the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Program {
    /// This program under another role.
    Own(&'static str),
    /// A Python script of `benches/peers`.
    Python(&'static str),
    /// A Node script of `benches/peers`.
    Node(&'static str),
    /// A program of the peers' own workspace, `benches/peers/rust`, by the name of its folder. Its role stands before the path, as with the next two.
    Peer(&'static str),
    /// A Python script of `benches/peers` that uses other packages than ours, and the module it cannot do without.
    PeerPython(&'static str, &'static str),
    /// A Node script of `benches/peers`, and the package it cannot do without.
    PeerNode(&'static str, &'static str),
}

pub(crate) const FLOOR: &str = "floor: blocking ping-pong";

pub(crate) const CELLS: &[Cell] = &[
    Cell {
        name: FLOOR,
        serve: Some(Program::Own("serve-floor")),
        call: Program::Own("call-floor"),
    },
    Cell {
        name: "rust inline -> rust task",
        serve: Some(Program::Own("serve-task")),
        call: Program::Own("call-inline"),
    },
    Cell {
        name: "rust inline -> rust inline",
        serve: Some(Program::Own("serve-inline")),
        call: Program::Own("call-inline"),
    },
    Cell {
        name: "rust task -> rust task",
        serve: Some(Program::Own("serve-task")),
        call: Program::Own("call-task"),
    },
    Cell {
        name: "rust inline -> engine -> rust task",
        serve: Some(Program::Own("serve-engine")),
        call: Program::Own("call-inline"),
    },
    Cell {
        name: "rust task -> engine -> rust task",
        serve: Some(Program::Own("serve-engine")),
        call: Program::Own("call-task"),
    },
    Cell {
        name: "rust inline -> python",
        serve: Some(Program::Python("py_service.py")),
        call: Program::Own("call-inline"),
    },
    Cell {
        name: "rust inline -> node",
        serve: Some(Program::Node("node_service.mjs")),
        call: Program::Own("call-inline"),
    },
    Cell {
        name: "python sync -> python",
        serve: Some(Program::Python("py_service.py")),
        call: Program::Python("py_client.py"),
    },
    Cell {
        name: "node -> node",
        serve: Some(Program::Node("node_service.mjs")),
        call: Program::Node("node_client.mjs"),
    },
];
