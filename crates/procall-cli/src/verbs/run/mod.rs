//! `procall run`: workers in the foreground, and their methods under the service's name.

pub(crate) mod console;
mod site;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use procall::{Error, ErrorCode, Executed, similar, surroundings};
use procall_pool::Pool;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::directory::counted;
use crate::engine;
use crate::failure::Failure;
use crate::signals::Signals;
use crate::style::{Style, complain};
use console::Console;
use procall_engine::workers::Seen;
use site::Site;

/// How long calls in flight may take once it is told to stop; that of pools and services too.
const FINISH: Duration = Duration::from_secs(10);
/// How long workers without calls may take to exit.
const EXIT: Duration = Duration::from_secs(5);
/// The same when nobody wants to wait.
const AT_ONCE: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "Examples:
  procall run calc.py                        as many workers as there are processors
  procall run calc.py --workers 2
  procall run calc.py texts.mjs ./images     several services, in any language
  procall run model.py -- --weights w.bin    arguments for the workers";

/// Start workers, watch them, and serve their methods.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Run {
    /// Python, JavaScript or TypeScript files, or programs.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Workers of each file; as many as this process may use processors without it.
    #[arg(short, long, value_name = "N")]
    workers: Option<usize>,

    /// The name under which the service is found, and its workers are called, instead of its own.
    #[arg(long)]
    name: Option<String>,

    /// Print what workers print as it is, without their names before it.
    #[arg(long)]
    raw: bool,

    /// Arguments for the workers.
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

impl Run {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
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
        running.until_told(&mut signals, &console).await
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

    /// Starts the workers of all files at once. When one cannot be started, nothing is left of the others.
    async fn start(&self, console: &Console) -> Result<Vec<Starting>, Failure> {
        let mut starting = JoinSet::new();
        for (at, file) in self.files.iter().enumerate() {
            let seen = Seen::default();
            let mut pool = Pool::spawn(file)
                .args(&self.args)
                .finish_timeout(FINISH)
                .stop_timeout(EXIT)
                .on_output(console.on_output(at, seen.clone()))
                .on_event(console.on_event(seen.clone()));
            if let Some(workers) = self.workers {
                pool = pool.workers(workers);
            }
            if let Some(name) = &self.name {
                pool = pool.name(name);
            }
            let step = pool.start();
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

/// The engine that pools register with besides: the one that is named, or that runs here.
fn engine() -> Result<Option<String>, Error> {
    match engine::named(None) {
        Some(engine) => Ok(Some(engine)),
        None => Ok(surroundings::engine_answers()?.then(|| surroundings::ENGINE_NAME.to_owned())),
    }
}

/// A pool whose workers are ready.
struct Starting {
    at: usize,
    file: PathBuf,
    pool: Pool,
    seen: Seen,
}

struct Running {
    sites: Vec<Site>,
    servers: JoinSet<Result<(), Error>>,
    /// The same pools registered with an engine; each ends by itself when the process is told to stop.
    registered: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Running {
    /// Serves until told to stop, then lets calls in flight finish unless told again.
    async fn until_told(mut self, signals: &mut Signals, console: &Console) -> Result<(), Failure> {
        let ended = tokio::select! {
            () = signals.next() => None,
            Some(ended) = self.servers.join_next() => Some(ended),
        };
        let in_flight: u32 = self.sites.iter().map(Site::in_flight).sum();
        match in_flight {
            0 => console.say("stopping"),
            calls => console.say(&format!(
                "stopping: {} may finish, for {FINISH:?} at most; once more to end them now",
                counted(calls as usize, "call")
            )),
        }
        // The receivers live as long as the servers; without servers there is nobody to tell.
        let _ = self.stop.send(true);
        let pools: Vec<Pool> = self.sites.iter().map(|site| site.pool.clone()).collect();
        let orderly = async {
            let begun = Instant::now();
            while self.servers.join_next().await.is_some() {}
            // They have heard of the same signal.
            if !self.registered.is_empty() && ended.is_none() {
                while self.registered.join_next().await.is_some() {}
            }
            let left = FINISH.saturating_sub(begun.elapsed());
            for pool in &pools {
                end(pool, left, EXIT).await;
            }
        };
        let told_again = tokio::select! {
            () = orderly => false,
            () = signals.next() => true,
        };
        if told_again {
            self.registered.abort_all();
            console.say("stopping at once");
            for pool in &pools {
                end(pool, Duration::ZERO, AT_ONCE).await;
            }
            // The callers have their errors now, so the connections close by themselves.
            let closed = async { while self.servers.join_next().await.is_some() {} };
            if tokio::time::timeout(AT_ONCE, closed).await.is_err() {
                self.servers.shutdown().await;
            }
        }
        console.say("stopped");
        match ended {
            // A service that ends by itself has failed.
            Some(Ok(Err(error))) => Err(error.into()),
            Some(Err(panic)) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
            _ => Ok(()),
        }
    }
}

/// Ends a pool's workers.
async fn end(pool: &Pool, finish: Duration, exit: Duration) {
    // A stop fails only when the pool was stopped before; then nothing is left of it either.
    let _ = pool.stop_within(finish, exit).await;
}

fn missing(file: &Path) -> Failure {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let neighbours: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let meant = similar(&name, neighbours.iter().map(String::as_str));
    let meant = meant.into_iter().map(|name| {
        let path = match folder == Path::new(".") {
            true => name,
            false => folder.join(name).display().to_string(),
        };
        (path, String::new())
    });
    Failure::usage(format!("there is no file {}", file.display()))
        .meant(meant.collect())
        .fix("give the path of a file that serves, such as calc.py; a worker is a program that registers a service")
}

fn same_name(one: &Site, other: &Site) -> Failure {
    let message = format!(
        "{} and {} both register the service \"{}\"",
        one.file.display(),
        other.file.display(),
        one.name
    );
    Failure::usage(message)
        .fix("give one of them another service name, or run it by itself with --name NAME")
}

/// Somebody serves that name already.
fn taken(name: &str, error: &Error) -> Option<Failure> {
    (error.code() == ErrorCode::NameTaken).then(|| {
        Failure::new(ErrorCode::NameTaken, format!("a service \"{name}\" runs already"))
            .fix("procall ps   shows it; stop it, or run this one with --name NAME")
    })
}
