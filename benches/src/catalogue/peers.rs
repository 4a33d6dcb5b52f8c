//! Other systems that do the same.

use super::{Kind, Partners, Section};
use crate::cells::Program;
use crate::placement::Placement;

const SMALL: &[Section] = &[Section::Small];
const PAYLOADS: &[Section] = &[Section::Small, Section::Large];
const WATCHED: &[Section] = &[Section::Small, Section::Large, Section::Idle];

const APART: &[Placement] = &[Placement::Two, Placement::Free];
/// Threads of one process, which cannot be pinned apart from outside.
const TOGETHER: &[Placement] = &[Placement::One, Placement::Free];

const fn peer(
    name: &'static str,
    pair: &'static str,
    serve: Option<Program>,
    call: Program,
    sections: &'static [Section],
    placements: &'static [Placement],
) -> Partners {
    Partners { name, pair, kind: Kind::Peer, serve, call: Some(call), sections, placements }
}

const fn rust(
    name: &'static str,
    program: &'static str,
    sections: &'static [Section],
    placements: &'static [Placement],
) -> Partners {
    let both = Program::Peer(program);
    peer(name, "rust-rust", Some(both), both, sections, placements)
}

pub(super) const PARTNERS: &[Partners] = &[
    rust("peer: tonic", "tonic", WATCHED, &Placement::ALL),
    rust("peer: tarpc", "tarpc", WATCHED, &Placement::ALL),
    rust("peer: capnp-rpc", "capnp", PAYLOADS, &Placement::ALL),
    rust("peer: zmq", "zmq", WATCHED, &Placement::ALL),
    rust("peer: iceoryx2", "iceoryx2", PAYLOADS, APART),
    peer(
        "peer: NATS",
        "routed",
        Some(Program::Peer("nats")),
        Program::Peer("nats"),
        SMALL,
        &Placement::ALL,
    ),
    peer(
        "peer: multiprocessing.Pipe",
        "python-python",
        None,
        Program::PeerPython("py_pipe.py", ""),
        &[Section::Small, Section::Large, Section::Spawn],
        &Placement::ALL,
    ),
    peer(
        "peer: multiprocessing.Pool.apply",
        "python-python",
        None,
        Program::PeerPython("py_pool.py", ""),
        PAYLOADS,
        &Placement::ALL,
    ),
    peer(
        "peer: ProcessPoolExecutor",
        "python-python",
        None,
        Program::PeerPython("py_executor.py", ""),
        PAYLOADS,
        &Placement::ALL,
    ),
    peer(
        "peer: asyncio and msgpack",
        "python-python",
        Some(Program::PeerPython("py_asyncio_msgpack.py", "msgpack")),
        Program::PeerPython("py_asyncio_msgpack.py", "msgpack"),
        WATCHED,
        &Placement::ALL,
    ),
    peer(
        "peer: pyzmq",
        "python-python",
        Some(Program::PeerPython("py_zmq.py", "zmq")),
        Program::PeerPython("py_zmq.py", "zmq"),
        WATCHED,
        &Placement::ALL,
    ),
    peer(
        "peer: grpcio",
        "python-python",
        Some(Program::PeerPython("py_grpc.py", "grpc")),
        Program::PeerPython("py_grpc.py", "grpc"),
        WATCHED,
        &Placement::ALL,
    ),
    peer(
        "peer: a Ray actor",
        "python-python",
        None,
        Program::PeerPython("py_ray.py", "ray"),
        PAYLOADS,
        &[Placement::Free],
    ),
    peer(
        "peer: child_process, JSON",
        "node-node",
        None,
        Program::PeerNode("node_ipc.mjs", ""),
        &[Section::Small, Section::Spawn],
        &Placement::ALL,
    ),
    peer(
        "peer: child_process, advanced",
        "node-node",
        None,
        Program::PeerNode("node_ipc_advanced.mjs", ""),
        PAYLOADS,
        &Placement::ALL,
    ),
    peer(
        "peer: piscina",
        "node-node",
        None,
        Program::PeerNode("node_piscina.mjs", "piscina"),
        PAYLOADS,
        TOGETHER,
    ),
    peer(
        "peer: a socket and msgpackr",
        "node-node",
        Some(Program::PeerNode("node_msgpackr.mjs", "msgpackr")),
        Program::PeerNode("node_msgpackr.mjs", "msgpackr"),
        WATCHED,
        &Placement::ALL,
    ),
    peer(
        "peer: zeromq for Node",
        "node-node",
        Some(Program::PeerNode("node_zmq.mjs", "zeromq")),
        Program::PeerNode("node_zmq.mjs", "zeromq"),
        PAYLOADS,
        &Placement::ALL,
    ),
    peer(
        "peer: @grpc/grpc-js",
        "node-node",
        Some(Program::PeerNode("node_grpc.mjs", "@grpc/grpc-js")),
        Program::PeerNode("node_grpc.mjs", "@grpc/grpc-js"),
        WATCHED,
        &Placement::ALL,
    ),
];
