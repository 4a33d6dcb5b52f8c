//! The cells of the table and how a round runs them.

use std::io::{BufRead, BufReader, IsTerminal};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::Measured;
use crate::placement::Placement;

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) window_ms: u64,
    pub(crate) only: Option<String>,
    pub(crate) placements: Vec<Placement>,
}

impl Options {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            rounds: 5,
            window_ms: 400,
            only: None,
            placements: vec![Placement::One, Placement::Free],
        };
        while let Some(flag) = args.next() {
            let value = args.next().ok_or(format!("{flag} needs a value"))?;
            match &*flag {
                "--rounds" => {
                    options.rounds = value.parse().map_err(|_| "--rounds takes a number")?
                }
                "--window" => {
                    options.window_ms = value.parse().map_err(|_| "--window takes milliseconds")?
                }
                "--only" => options.only = Some(value),
                "--placement" => {
                    options.placements = match &*value {
                        "one" => vec![Placement::One],
                        "free" => vec![Placement::Free],
                        _ => return Err("--placement takes one or free".to_owned()),
                    };
                }
                _ => return Err(format!("there is no option {flag}")),
            }
        }
        Ok(options)
    }
}

/// Two programs that talk: one serves, one calls and prints what it measured as JSON.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    /// `None` when the caller starts its own partner.
    pub(crate) serve: Option<Program>,
    pub(crate) call: Program,
}

/// A program of a cell. It gets the socket's path, a caller the window in milliseconds after it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Program {
    /// This program under another role.
    Own(&'static str),
    /// A Python script of `benches/peers`.
    Python(&'static str),
    /// A Node script of `benches/peers`.
    Node(&'static str),
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
        name: "inline -> engine, 1,000 idle peers",
        serve: Some(Program::Own("serve-engine-peers")),
        call: Program::Own("call-inline"),
    },
    Cell {
        name: "inline -> engine, 1,000 methods",
        serve: Some(Program::Own("serve-engine-methods")),
        call: Program::Own("call-inline"),
    },
    Cell {
        name: "rust task -> engine -> rust task",
        serve: Some(Program::Own("serve-engine")),
        call: Program::Own("call-task"),
    },
    #[cfg(feature = "peers")]
    Cell {
        name: "peer: NATS request -> reply",
        serve: Some(Program::Own("serve-nats")),
        call: Program::Own("call-nats"),
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
    Cell { name: "peer: multiprocessing.Pipe", serve: None, call: Program::Python("py_pipe.py") },
    Cell {
        name: "python sync -> python",
        serve: Some(Program::Python("py_service.py")),
        call: Program::Python("py_client.py"),
    },
    Cell { name: "peer: child_process IPC", serve: None, call: Program::Node("node_ipc.mjs") },
    Cell {
        name: "node -> node",
        serve: Some(Program::Node("node_service.mjs")),
        call: Program::Node("node_client.mjs"),
    },
];

/// One cell's measurements, a round each; a round in which it failed is missing.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) placement: Placement,
    pub(crate) rounds: Vec<Option<Measured>>,
}

/// Runs every cell once a round, so that drift of the machine hits all alike.
pub(crate) fn run(options: &Options) -> Vec<Row> {
    let wanted = |cell: &&Cell| {
        options.only.as_ref().is_none_or(|only| cell.name.contains(only.as_str()))
            || cell.name == FLOOR
    };
    let cells: Vec<&Cell> = CELLS.iter().filter(wanted).collect();
    let mut rows: Vec<Row> = options
        .placements
        .iter()
        .flat_map(|&placement| {
            cells.iter().map(move |cell| Row { name: cell.name, placement, rounds: Vec::new() })
        })
        .collect();
    for round in 0..options.rounds {
        // Another order each round.
        let count = rows.len();
        for step in 0..count {
            let at = (step * 7 + round * 3) % count;
            let at = if gcd(7, count) == 1 { at } else { (step + round) % count };
            let row = &mut rows[at];
            let Some(cell) = cells.iter().find(|cell| cell.name == row.name) else { continue };
            if std::io::stderr().is_terminal() {
                eprint!("\rround {}/{}  {:<40}", round + 1, options.rounds, row.name);
            }
            row.placement.apply();
            let measured = measure(cell, options.window_ms);
            if let Err(error) = &measured {
                eprintln!("\n{}: {error}", cell.name);
            }
            row.rounds.push(measured.ok());
        }
    }
    eprintln!();
    Placement::Free.apply();
    rows
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Ends a server with its cell.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself when its caller hung up.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn measure(cell: &Cell, window_ms: u64) -> Result<Measured, Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("s");
    let _server = match cell.serve {
        Some(program) => Some(start(program, &path)?),
        None => None,
    };
    let output =
        command(cell.call, &path)?.arg(window_ms.to_string()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the caller ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Starts a server and waits until it can be called.
fn start(program: Program, path: &Path) -> Result<Running, Box<dyn std::error::Error>> {
    let mut server =
        Running(command(program, path)?.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    if !matches!(program, Program::Own(_)) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while UnixStream::connect(path).is_err() {
            if Instant::now() > deadline || server.0.try_wait()?.is_some() {
                return Err("the server does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        return Ok(server);
    }
    let stdout = server.0.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    if line.trim() != "ready" {
        return Err(format!("the server said {line:?} instead of ready").into());
    }
    Ok(server)
}

fn command(program: Program, path: &Path) -> std::io::Result<Command> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let mut command = match program {
        Program::Own(role) => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(role);
            command
        }
        Program::Python(script) => {
            let venv = peers.join("../../.venv/bin/python");
            let mut command = Command::new(if venv.exists() { venv } else { "python3".into() });
            command.arg(peers.join(script));
            command
        }
        Program::Node(script) => {
            let mut command = Command::new("node");
            command.arg(peers.join(script));
            command
        }
    };
    command.arg(path);
    Ok(command)
}
