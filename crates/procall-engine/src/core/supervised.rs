//! The workers of services that the engine starts, asked for by the name of the service or of one of them.

use std::sync::Arc;

use procall::{Error, ErrorCode, similar};

use super::{Core, State};
use crate::workers::{self, Seen};

/// Whom a name means.
#[derive(Debug)]
pub(crate) struct Meant {
    pub(crate) service: Arc<str>,
    pub(crate) seen: Seen,
    /// One of its workers; all of them without it.
    pub(crate) worker: Option<String>,
}

impl Core {
    /// The service of this name, or the one whose worker has it, among those that the engine starts. While a service is down, a worker is
    /// known by the service's name and a number.
    pub(crate) fn supervised(&self, target: &str) -> Option<Meant> {
        let state = self.lock();
        if let Some((service, sleeper)) = state.sleepers.get_key_value(target) {
            let (service, seen) = (service.clone(), sleeper.seen.clone());
            return Some(Meant { service, seen, worker: None });
        }
        let (service, number) = target.rsplit_once('/')?;
        let (service, sleeper) = state.sleepers.get_key_value(service)?;
        let is_worker = number.parse::<usize>().is_ok_and(|number| number > 0);
        is_worker.then(|| Meant {
            service: service.clone(),
            seen: sleeper.seen.clone(),
            worker: Some(target.to_owned()),
        })
    }

    /// Starts workers anew, one after the other; a service that does not run is started instead, at once also when it has failed. The
    /// names of the workers.
    pub(crate) async fn restart_supervised(&self, meant: Meant) -> Result<Vec<String>, Error> {
        if let Some(pool) = meant.seen.pool().filter(|_| self.is_awake(&meant.service)) {
            return workers::restart(&pool, meant.worker.as_deref()).await;
        }
        self.start_anew(&meant.service).await?;
        Ok(meant.seen.rows().into_iter().map(|row| row.name).collect())
    }

    /// Nobody of this name is started by the engine.
    pub(crate) fn no_service(&self, name: &str) -> Error {
        self.lock().no_service(name)
    }
}

impl State {
    pub(super) fn no_service(&self, name: &str) -> Error {
        let near = similar(name, self.sleepers.keys().map(|name| &**name));
        let message = format!("this engine starts no service \"{name}\"");
        Error::new(ErrorCode::NotFound, message).with_candidates(near)
    }
}
