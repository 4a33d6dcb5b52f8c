//! `procall run`: workers in the foreground, and their methods under the service's name.

pub(crate) mod console;
mod current;
mod ends;
mod plan;
pub(crate) mod site;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use procall::{Error, ErrorCode, similar, surroundings};
use procall_pool::Pool;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

use crate::directory::counted;
use crate::engine;
use crate::failure::Failure;
use crate::signals::Signals;
use crate::style::Style;
use console::Console;
pub(super) use plan::Plan;
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
    #[command(flatten)]
    plan: Plan,
}

impl Run {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let (running, mut signals, console) = self.plan.begin(style).await?;
        running.until_told(&mut signals, &console).await
    }
}

/// The engine that pools register with besides: the one that is named, or that runs here.
fn engine() -> Result<Option<String>, Error> {
    match engine::named(None) {
        Some(engine) => Ok(Some(engine)),
        None => Ok(surroundings::engine_answers()?.then(|| surroundings::ENGINE_NAME.to_owned())),
    }
}

/// What runs, and can be called.
pub(crate) struct Running {
    pub(crate) sites: Vec<Site>,
    servers: JoinSet<Result<(), Error>>,
    /// The same pools registered with an engine; each ends by itself when the process is told to stop.
    registered: JoinSet<()>,
    /// Pools that others have taken the place of, while they finish their calls.
    retiring: HashMap<Id, Pool>,
    retired: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// How a service ended by itself.
pub(crate) type Ended = Option<Result<Result<(), Error>, JoinError>>;

impl Running {
    /// Serves until told to stop, then lets calls in flight finish unless told again.
    async fn until_told(mut self, signals: &mut Signals, console: &Console) -> Result<(), Failure> {
        let ended = tokio::select! {
            () = signals.next() => None,
            ended = self.ended() => ended,
        };
        self.wind_down(ended, signals, console).await
    }

    /// Resolves when a service ends by itself. Pools that have gone meanwhile are forgotten.
    pub(crate) async fn ended(&mut self) -> Ended {
        loop {
            tokio::select! {
                ended = self.servers.join_next() => return ended,
                Some(retired) = self.retired.join_next_with_id() => {
                    // A task that panicked has told so; its pool goes at the end.
                    if let Ok((id, ())) = retired {
                        self.retiring.remove(&id);
                    }
                }
            }
        }
    }

    /// Lets a pool go that another one has taken the place of: once it has finished its calls.
    pub(crate) fn retire(&mut self, pool: Pool) {
        let retiring = pool.clone();
        let task = self.retired.spawn(async move { end(&retiring, FINISH, EXIT).await });
        self.retiring.insert(task.id(), pool);
    }

    /// Lets calls in flight finish unless told again.
    pub(crate) async fn wind_down(
        mut self,
        ended: Ended,
        signals: &mut Signals,
        console: &Console,
    ) -> Result<(), Failure> {
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
        let pools: Vec<Pool> = self.sites.iter().map(Site::pool).collect();
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
            while self.retired.join_next().await.is_some() {}
        };
        let told_again = tokio::select! {
            () = orderly => false,
            () = signals.next() => true,
        };
        if told_again {
            self.registered.abort_all();
            console.say("stopping at once");
            for pool in pools.iter().chain(self.retiring.values()) {
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
