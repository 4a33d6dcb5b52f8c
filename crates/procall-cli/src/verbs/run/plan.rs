//! What is to run, and its start: for `run` and `dev`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use procall::{Error, Executed};
use procall_engine::workers::Seen;
use procall_pool::{Pool, PoolBuilder};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::console::Console;
use super::ends::Ends;
use super::site::Site;
use super::{AT_ONCE, EXIT, FINISH, Running, end, engine, missing, same_name};
use crate::failure::Failure;
use crate::signals::Signals;
use crate::style::{Style, complain};

#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    /// Python, JavaScript or TypeScript files, or programs.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Workers of each file; as many as this process may use processors without it.
    #[arg(short, long, value_name = "N")]
    workers: Option<usize>,

    /// The name under which the service is found, and its workers are called, instead of its own.
    #[arg(long)]
    name: Option<String>,

    /// Print what workers print as it is, without their names before it.
    #[arg(long)]
    raw: bool,

    #[command(flatten)]
    ends: Ends,

    /// Arguments for the workers.
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,

    /// A variable of the workers' environment, unless it is set.
    #[arg(skip)]
    env: Option<(&'static str, &'static str)>,
}

impl Plan {
    /// Starts everything and says so; when something cannot be started, nothing is left of the rest.
    pub(crate) async fn begin(
        &self,
        style: &Style,
    ) -> Result<(Running, Signals, Console), Failure> {
        self.check()?;
        let mut signals = Signals::new()?;
        let console = Console::new(style, self.raw);
        let started = tokio::select! {
            started = self.start(&console) => started?,
            () = signals.next() => {
                return Err(Failure::interrupted("interrupted before the workers were ready", Executed::No));
            }
        };
        let running = self.serve(started).await?;
        for site in &running.sites {
            console.serving(site);
        }
        console.next(&running.sites);
        Ok((running, signals, console))
    }

    /// Sets a variable of the workers' environment, unless somebody has set it.
    pub(crate) fn suit_development(&mut self, (name, value): (&'static str, &'static str)) {
        self.env = std::env::var_os(name).is_none().then_some((name, value));
    }

    fn check(&self) -> Result<(), Failure> {
        if self.name.is_some() && self.files.len() > 1 {
            return Err(Failure::usage("--name is for one file")
                .fix("run each file by itself, in a terminal of its own"));
        }
        match self.files.iter().find(|file| !file.exists()) {
            Some(file) => Err(missing(file)),
            None => Ok(()),
        }
    }

    /// The workers of the file at this place, not started yet.
    pub(crate) fn pool(&self, at: usize, console: &Console, seen: &Seen) -> PoolBuilder {
        let mut pool = Pool::spawn(&self.files[at])
            .args(&self.args)
            .finish_timeout(FINISH)
            .stop_timeout(EXIT)
            .on_output(console.on_output(at, seen.clone()))
            .on_event(console.on_event(seen.clone()));
        if let Some((name, value)) = self.env {
            pool = pool.env(name, value);
        }
        if let Some(workers) = self.workers {
            pool = pool.workers(workers);
        }
        if let Some(name) = &self.name {
            pool = pool.name(name);
        }
        self.ends.set(pool)
    }

    /// Starts the workers of all files at once. When one cannot be started, nothing is left of the others.
    async fn start(&self, console: &Console) -> Result<Vec<Starting>, Failure> {
        let mut starting = JoinSet::new();
        for (at, file) in self.files.iter().enumerate() {
            let seen = Seen::default();
            let step = self.pool(at, console, &seen).start();
            let file = file.clone();
            starting.spawn(async move {
                let pool = step.await?;
                Ok::<_, Error>(Starting { at, file, pool, seen })
            });
        }
        let (mut started, mut failed) = (Vec::new(), None);
        while let Some(joined) = starting.join_next().await {
            match joined {
                Ok(Ok(ready)) => started.push(ready),
                Ok(Err(error)) => {
                    failed.get_or_insert(error);
                    // Dropping a start undoes it.
                    starting.abort_all();
                }
                Err(ended) if ended.is_cancelled() => {}
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        let Some(error) = failed else {
            started.sort_by_key(|ready| ready.at);
            return Ok(started);
        };
        for ready in started {
            end(&ready.pool, Duration::ZERO, AT_ONCE).await;
        }
        Err(error.into())
    }

    /// Binds a service for each pool; when one cannot be bound, nothing is left.
    async fn serve(&self, started: Vec<Starting>) -> Result<Running, Failure> {
        let pools: Vec<Pool> = started.iter().map(|ready| ready.pool.clone()).collect();
        match self.bind(started) {
            Ok(running) => Ok(running),
            Err(failure) => {
                for pool in pools {
                    end(&pool, Duration::ZERO, AT_ONCE).await;
                }
                Err(failure)
            }
        }
    }

    fn bind(&self, started: Vec<Starting>) -> Result<Running, Failure> {
        let (stop, told) = watch::channel(false);
        let mut running = Running {
            sites: Vec::new(),
            servers: JoinSet::new(),
            registered: JoinSet::new(),
            retiring: HashMap::new(),
            retired: JoinSet::new(),
            stop,
        };
        for Starting { file, pool, seen, .. } in started {
            let site = Site::new(file, pool, seen, self.name.as_deref())?;
            if let Some(other) = running.sites.iter().find(|other| other.name == site.name) {
                return Err(same_name(other, &site));
            }
            running.sites.push(site);
        }
        let mut bound = Vec::new();
        for site in &running.sites {
            bound.push(site.bind()?);
        }
        for server in bound {
            let mut told = told.clone();
            running.servers.spawn(server.run_until(async move {
                // Nobody to tell it any more means the same.
                let _ = told.wait_for(|stop| *stop).await;
            }));
        }
        if let Some(engine) = engine()? {
            for site in &running.sites {
                let (service, name) = (site.service()?.engine(&engine), site.name.clone());
                running.registered.spawn(async move {
                    // Whoever asks the service itself is served all the same.
                    if let Err(error) = service.run().await {
                        complain(&format!("procall: {name} is not with the engine: {error}"));
                    }
                });
            }
        }
        Ok(running)
    }
}

/// A pool whose workers are ready.
struct Starting {
    at: usize,
    file: PathBuf,
    pool: Pool,
    seen: Seen,
}
