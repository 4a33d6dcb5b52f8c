//! Calls that pass through a router: the engine, and NATS beside it.

#[cfg(feature = "peers")]
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use procall::{Client, Service};
use procall_engine::Engine;
use rustix::process::{Signal, set_parent_process_death_signal};

type Failure = Box<dyn std::error::Error>;

/// The engine at a socket, and a worker process that registers with it.
pub(crate) async fn serve_engine(path: &str) -> Result<(), Failure> {
    let engine = Engine::builder().listen(format!("unix:{path}").parse()?).start()?;
    let served = serve_through(path, "serve-registered").await;
    drop(engine);
    served
}

/// With an engine there: starts a worker, and is ready once that can be called.
pub(crate) async fn serve_through(path: &str, worker: &str) -> Result<(), Failure> {
    let address = format!("unix:{path}");
    let _worker = partner(worker, path)?;
    let client = Client::connect(&address).await?;
    while client.call::<i64>("calc.add", (1, 2)).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    println!("ready");
    std::future::pending().await
}

/// A service that an engine routes calls to.
pub(crate) async fn serve_registered(path: &str, service: Service) -> Result<(), Failure> {
    end_with_parent()?;
    Ok(service.engine(format!("unix:{path}")).run().await?)
}

/// Another role of this program, in a process that ends with this one.
fn partner(role: &str, argument: &str) -> Result<Child, Failure> {
    Ok(Command::new(std::env::current_exe()?)
        .args([role, argument])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?)
}

pub(crate) fn end_with_parent() -> Result<(), Failure> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// A NATS server on a free port of the loopback, told in the file at `path`, and a process that answers.
#[cfg(feature = "peers")]
pub(crate) fn serve_nats(path: &str) -> Result<(), Failure> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut server = Command::new("nats-server");
    server.args(["--addr", "127.0.0.1", "--port", &port.to_string()]);
    let mut server = server.stderr(Stdio::piped()).spawn()?;
    let said = server.stderr.take().ok_or("no output")?;
    let mut lines = BufReader::new(said).lines();
    if !lines.any(|line| line.is_ok_and(|line| line.contains("Server is ready"))) {
        return Err("the NATS server did not start".into());
    }
    std::thread::spawn(move || lines.for_each(drop));
    std::fs::write(path, port.to_string())?;
    let mut worker = Command::new(std::env::current_exe()?)
        .args(["serve-subscribed", &port.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut ready = String::new();
    BufReader::new(worker.stdout.take().ok_or("no output")?).read_line(&mut ready)?;
    // Whoever kills this process leaves the server to the watcher.
    watch(server.id())?;
    println!("{}", ready.trim());
    worker.wait()?;
    Ok(())
}

/// Ends a process when this one is gone.
#[cfg(feature = "peers")]
fn watch(pid: u32) -> Result<(), Failure> {
    let script =
        format!("while kill -0 {} 2>/dev/null; do sleep 0.2; done; kill {pid}", std::process::id());
    Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    Ok(())
}

#[cfg(feature = "peers")]
pub(crate) async fn serve_subscribed(port: &str) -> Result<(), Failure> {
    use futures_util::StreamExt;

    end_with_parent()?;
    let client = async_nats::connect(format!("127.0.0.1:{port}")).await?;
    let mut calls = client.queue_subscribe("calc.add", "workers".into()).await?;
    client.flush().await?;
    println!("ready");
    while let Some(call) = calls.next().await {
        let (a, b): (i64, i64) = serde_json::from_slice(&call.payload)?;
        if let Some(reply) = call.reply {
            client.publish(reply, serde_json::to_vec(&(a + b))?.into()).await?;
        }
    }
    Ok(())
}

#[cfg(feature = "peers")]
pub(crate) async fn call_nats(
    path: &str,
    window: std::time::Duration,
) -> Result<crate::load::Measured, Failure> {
    let port = std::fs::read_to_string(path)?;
    let client = async_nats::connect(format!("127.0.0.1:{port}")).await?;
    crate::load::measure(window, move |n| {
        let client = client.clone();
        async move {
            let params = serde_json::to_vec(&(n, 1)).expect("numbers are JSON");
            let reply = client.request("calc.add", params.into()).await.expect("add answers");
            let sum: i64 = serde_json::from_slice(&reply.payload).expect("a number");
            assert_eq!(sum, n + 1);
        }
    })
    .await
}
