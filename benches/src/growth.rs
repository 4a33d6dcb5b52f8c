//! Engines among many: many workers, many methods, many peers that say nothing; and one that checks no schemas.

use std::process::{Command, Stdio};

use procall::Client;
use procall_bench_load::{Task, Workload};
use procall_engine::Engine;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::servers::service;

type Failure = Box<dyn std::error::Error>;

fn count(task: &Task) -> usize {
    if let Workload::Workers(count) = task.workload { count } else { 1 }
}

/// The engine at a socket, and one process with all the workers; `validate` is whether it checks params and results.
pub(crate) async fn serve_engine(task: &Task, validate: bool) -> Result<(), Failure> {
    let address = task.address();
    let engine = Engine::builder().listen(address.parse()?).validate(validate);
    // They all come from one user, of whom an engine takes 512 unless it is told otherwise.
    let engine = engine.peers(4_096, 4_096).start()?;
    let mut workers = Command::new(std::env::current_exe()?)
        .args(["serve-registered-often", &task.path, "0", &task.workload.to_string()])
        .stdout(Stdio::null())
        .spawn()?;
    let client = Client::connect(&address).await?;
    loop {
        let peers: serde_json::Value = client.call("procall.engine.peers", ()).await?;
        let registered = |peer: &&serde_json::Value| peer["service"] == "calc";
        let known = peers.as_array().map_or(0, |peers| peers.iter().filter(registered).count());
        if known >= count(task) {
            break;
        }
        if let Some(status) = workers.try_wait()? {
            return Err(format!("the workers ended with {status}").into());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    println!("ready");
    std::future::pending::<()>().await;
    drop(engine);
    Ok(())
}

/// So many workers of the same service, each with a registration and a connection of its own.
pub(crate) async fn serve_registered(task: &Task) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let address = task.address();
    let mut serving = tokio::task::JoinSet::new();
    for number in 0..count(task) {
        let service = service(task.workload).worker_name(format!("calc-{number}"));
        serving.spawn(service.engine(address.clone()).run());
    }
    while let Some(ended) = serving.join_next().await {
        ended??;
    }
    Ok(())
}
