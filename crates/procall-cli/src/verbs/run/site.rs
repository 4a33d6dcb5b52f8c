//! One file that runs: its pool, and the service in front of it.

use std::path::PathBuf;
use std::sync::Arc;

use procall::transport::Address;
use procall::{Channel, Error, ErrorCode, MethodInfo, Renewal, Server, Service, surroundings};
use procall_engine::workers::{Seen, restart};
use procall_pool::Pool;
use rustix::process::{Signal, getpid, kill_process};

use super::current::Current;
use crate::failure::Failure;
use crate::workers;

pub(crate) struct Site {
    /// The name the service is found by.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    /// The pool that serves now.
    current: Current,
    address: Address,
    pub(crate) seen: Seen,
    renewal: Renewal,
}

impl Site {
    /// A pool, and the name under which it is to be found: the given one, else the one its workers registered.
    pub(super) fn new(
        file: PathBuf,
        pool: Pool,
        seen: Seen,
        name: Option<&str>,
    ) -> Result<Self, Failure> {
        let registered = Channel::registration(&pool).map(|known| known.name.clone());
        let stem = || file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = match name {
            Some(name) => name.to_owned(),
            None => registered.filter(|name| !name.is_empty()).unwrap_or_else(stem),
        };
        let address = surroundings::address_of(&name)?;
        seen.call_it(&*name);
        seen.show(Some(pool.clone()));
        let (current, renewal) = (Current::new(pool), Renewal::default());
        Ok(Self { name, file, current, address, seen, renewal })
    }

    pub(crate) fn pool(&self) -> Pool {
        self.current.pool()
    }

    /// Has this pool serve from now on, with the methods that it has: gives the one that did so before, and that still has its calls.
    pub(crate) fn take_over(&self, pool: Pool) -> Result<Pool, Failure> {
        let before = self.current.set(pool.clone());
        match self.service() {
            Ok(service) => {
                self.renewal.renew(&service);
                self.seen.show(Some(pool));
                Ok(before)
            }
            Err(failure) => {
                self.current.set(before);
                Err(failure)
            }
        }
    }

    /// Puts a service in front of the pool.
    pub(super) fn bind(&self) -> Result<Server, Failure> {
        Server::bind(&self.address, self.service()?)
            .map_err(|error| super::taken(&self.name, &error).unwrap_or_else(|| error.into()))
    }

    /// The pool's methods, and what may be asked of the pool itself.
    pub(super) fn service(&self) -> Result<Service, Failure> {
        let service = Service::relay(&*self.name, Arc::new(self.current.clone()))?;
        let service = service.renewed_by(&self.renewal);
        let (restarting, draining) = (self.current.clone(), self.current.clone());
        let (seen, lines) = (self.seen.clone(), self.seen.lines().clone());
        Ok(service
            .method(workers::METHOD, move || seen.rows())
            .async_method(workers::RESTART, move |worker: Option<String>| {
                let pool = restarting.pool();
                async move { restart(&pool, worker.as_deref()).await }
            })
            .params(workers::RESTART, &["worker"])
            .async_method(workers::DRAIN, move || {
                let pool = draining.pool();
                async move { pool.drain().await }
            })
            .try_method(workers::STOP, || {
                // As if somebody had done it from a terminal: everything that runs here heeds it.
                kill_process(getpid(), Signal::TERM).map_err(|error| {
                    Error::new(ErrorCode::Internal, format!("no signal can be sent: {error}"))
                })
            })
            .stream_method(
                workers::LOGS,
                move |worker: Option<String>, last: Option<u32>, follow: Option<bool>| {
                    lines.read(worker, last.unwrap_or(u32::MAX), follow.unwrap_or(false))
                },
            )
            .params(workers::LOGS, &["worker", "last", "follow"]))
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn methods(&self) -> Vec<MethodInfo> {
        let full = |mut method: MethodInfo| {
            if !method.name.contains('.') {
                method.name = format!("{}.{}", self.name, method.name);
            }
            method
        };
        self.pool().methods().into_iter().map(full).collect()
    }

    pub(super) fn in_flight(&self) -> u32 {
        let pool = self.pool();
        let queued = u32::try_from(pool.queued()).unwrap_or(u32::MAX);
        pool.workers().iter().map(|worker| worker.in_flight).sum::<u32>().saturating_add(queued)
    }
}
