//! What `restart`, `drain` and `stop` are about: the pool of a `procall run`, or peers of the engine.

use procall::{Client, ErrorCode};

use crate::directory::Directory;
use crate::engine;
use crate::failure::Failure;

/// Who is asked.
pub(crate) enum Aim {
    /// The pool of a `procall run`, or one of its workers.
    Pool { client: Client, worker: Option<String> },
    /// The engine, about one of its peers or all who serve something.
    Engine(Client),
}

/// Who is asked about a service or a worker: the pool that it belongs to, else the engine.
pub(crate) async fn aim(target: &str, at: Option<&str>) -> Result<Aim, Failure> {
    let directory = Directory::survey(at).await?;
    for service in &directory.services {
        let Some(workers) = &service.workers else { continue };
        let client = || service.client.clone();
        if service.name == target {
            return Ok(Aim::Pool { client: client(), worker: None });
        }
        if let Some(worker) = workers.iter().find(|worker| worker.name == target) {
            return Ok(Aim::Pool { client: client(), worker: Some(worker.name.clone()) });
        }
    }
    let starts = directory.engines.iter().find(|engine| engine.starts(target));
    match starts.or(directory.engines.first()) {
        Some(engine) => Ok(Aim::Engine(engine.client.clone())),
        None if at.is_some() => engine::connect(at).await.map(Aim::Engine),
        None => Err(Failure::new(
            ErrorCode::NotFound,
            format!("no pool and no engine here knows \"{target}\""),
        )
        .fix("procall ps   shows who can be named; a service that was started by hand is ended by a signal")),
    }
}
