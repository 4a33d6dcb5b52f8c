//! NATS: a server on a free port of the loopback, told in the file at the path, and a process that answers.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use futures::StreamExt;
use procall_bench_load::{Figures, Task, drive, line};
use rustix::process::{Signal, set_parent_process_death_signal};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let task = Task::from_args()?;
    match &*task.role {
        "serve-subscribed" => subscribe(&task.path).await,
        _ if task.serves() => serve(&task.path),
        _ => {
            println!("{}", line(&call(&task).await?));
            Ok(())
        }
    }
}

fn serve(path: &str) -> Result<(), Failure> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut server = Command::new("nats-server")
        .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("nats-server cannot be started: {error}"))?;
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
    println!("{}", ready.trim());
    // Both end with the process group of the cell.
    worker.wait()?;
    Ok(())
}

async fn subscribe(port: &str) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
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

async fn call(task: &Task) -> Result<Figures, Failure> {
    let port = std::fs::read_to_string(&task.path)?;
    let client = async_nats::connect(format!("127.0.0.1:{port}")).await?;
    let add = move |n| {
        let client = client.clone();
        async move {
            let params = serde_json::to_vec(&(n, 1)).expect("numbers are JSON");
            let reply = client.request("calc.add", params.into()).await.expect("add answers");
            let sum: i64 = serde_json::from_slice(&reply.payload).expect("a number");
            assert_eq!(sum, n + 1);
        }
    };
    drive(task, add, || async { unreachable!("a payload is larger than NATS takes") }).await
}
