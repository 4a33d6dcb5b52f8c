//! What many peers and many methods cost an engine: the time of a call beside them, and memory.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use procall::{Client, Service};
use procall_engine::Engine;

use crate::routed;

type Failure = Box<dyn std::error::Error>;

/// Idle peers beside a call, and methods that are registered beside the one that is called.
const CROWD: usize = 1_000;

/// An engine with so many idle peers, and a worker with one method.
pub(crate) async fn serve_among_peers(path: &str) -> Result<(), Failure> {
    let engine = engine(path)?;
    // Meanwhile this thread is the engine's.
    let told = path.to_owned();
    let idle = tokio::task::spawn_blocking(move || {
        peers("native", &told).map_err(|error| error.to_string())
    });
    let _idle = idle.await??;
    let served = routed::serve_through(path, "serve-registered").await;
    drop(engine);
    served
}

/// An engine with a worker of so many methods.
pub(crate) async fn serve_among_methods(path: &str) -> Result<(), Failure> {
    let engine = engine(path)?;
    let served = routed::serve_through(path, "serve-many-methods").await;
    drop(engine);
    served
}

/// An engine with nobody there.
pub(crate) async fn serve_alone(path: &str) -> Result<(), Failure> {
    let _engine = engine(path)?;
    println!("ready");
    std::future::pending().await
}

/// The service with methods around the one that is called.
pub(crate) fn many_methods(service: Service) -> Service {
    (0..CROWD).fold(service, |service, n| {
        // Methods have names for as long as the process lives.
        let name: &'static str = format!("add{n}").leak();
        service.method(name, |a: i64, b: i64| a + b)
    })
}

fn engine(path: &str) -> Result<Engine, Failure> {
    Ok(Engine::builder().listen(format!("unix:{path}").parse()?).peers(4_096, 4_096).start()?)
}

/// Peers of an engine that say nothing once they are there: `native` or `json`.
pub(crate) async fn be_peers(path: &str, kind: &str) -> Result<(), Failure> {
    routed::end_with_parent()?;
    let (mut native, mut json) = (Vec::new(), Vec::new());
    for n in 0..CROWD {
        match kind {
            "native" => native.push(Client::connect(&format!("unix:{path}")).await?),
            _ => json.push(json_peer(path, n)?),
        }
    }
    println!("ready");
    std::future::pending::<()>().await;
    drop((native, json));
    Ok(())
}

fn json_peer(path: &str, n: usize) -> Result<UnixStream, Failure> {
    let mut socket = UnixStream::connect(path)?;
    let said = format!(r#"{{"type": "register", "id": 1, "name": "peer{n}", "methods": []}}"#);
    socket.write_all(&u32::try_from(said.len())?.to_be_bytes())?;
    socket.write_all(said.as_bytes())?;
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut answer)?;
    Ok(socket)
}

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn peers(kind: &str, path: &str) -> Result<Running, Failure> {
    ready(Command::new(std::env::current_exe()?).args(["serve-peers", path, kind]))
}

fn ready(command: &mut Command) -> Result<Running, Failure> {
    let mut running = Running(command.stdout(Stdio::piped()).spawn()?);
    let stdout = running.0.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    match line.trim() {
        "ready" => Ok(running),
        other => Err(format!("it said {other:?} instead of ready").into()),
    }
}

/// Measures an engine's memory and prints a few lines.
pub(crate) fn print() -> Result<(), Failure> {
    for kind in ["native", "json"] {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("s");
        let path = path.to_str().ok_or("a path that is no text")?;
        let engine =
            ready(Command::new(std::env::current_exe()?).args(["serve-engine-alone", path]))?;
        let alone = kilobytes(engine.0.id())?;
        let idle = peers(kind, path)?;
        let crowded = kilobytes(engine.0.id())?;
        println!(
            "engine, idle {:.1} MB; with {CROWD} idle {kind} peers {:.1} KiB more each",
            alone as f64 / 1024.0,
            crowded.saturating_sub(alone) as f64 / CROWD as f64,
        );
        drop(idle);
    }
    Ok(())
}

/// The share of memory that is a process's own, in KiB.
fn kilobytes(pid: u32) -> Result<u64, Failure> {
    let rollup =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
