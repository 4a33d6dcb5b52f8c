//! `procall dev`: the same as `run`, and new workers whenever the source changes.

mod files;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use clap::Args;
use procall::{Error, ErrorCode};
use procall_pool::{Pool, RestartPolicy};
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::run::{Ended, Plan, Running, console::Console};
use crate::failure::Failure;
use crate::signals::Signals;
use crate::style::Style;
use files::{Files, Watch};

const EXAMPLES: &str = "Examples:
  procall dev calc.py                        reloads when calc.py or a module beside it changes
  procall dev calc.py texts.mjs              several services; only those that a change is about
  procall dev model.py --watch weights       that folder too
  procall dev calc.py --workers 1 -- --fast  arguments for the workers";

/// Keeps a worker of Python from leaving compiled modules behind that look as new as a source which changes twice within a second.
const NO_BYTECODE: (&str, &str) = ("PYTHONDONTWRITEBYTECODE", "1");

/// Run services as `procall run` does, and start their workers anew whenever a source file changes.
///
/// New workers are ready before those there were get no more calls, so that no call fails. When they do not start, because of a mistake in a
/// file for instance, those there were serve on.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Dev {
    #[command(flatten)]
    plan: Plan,

    /// A file or folder to watch for every FILE, besides the sources beside it. May be given several times.
    #[arg(long, value_name = "PATH")]
    watch: Vec<PathBuf>,
}

/// Starts of new workers that are under way.
#[derive(Default)]
struct Starts {
    tasks: JoinSet<(usize, Result<Pool, Error>)>,
    /// The newest one of each file, by its place.
    newest: HashMap<usize, AbortHandle>,
}

impl Dev {
    pub(crate) async fn run(mut self, style: &Style) -> Result<(), Failure> {
        self.plan.suit_development(NO_BYTECODE);
        if let Some(missing) = self.watch.iter().find(|path| !path.exists()) {
            let message = format!("there is no {} to watch", missing.display());
            return Err(Failure::usage(message)
                .fix("give the path of a file or folder, as seen from the working directory"));
        }
        // What changes from here on is seen, also while the first workers start.
        let files: Vec<Files> =
            self.plan.files.iter().map(|file| Files::of(file, &self.watch)).collect();
        let crowded: Vec<PathBuf> = files.iter().filter_map(Files::crowded).collect();
        let mut watch = Watch::start(files)?;
        let (mut running, mut signals, console) = self.plan.begin(style).await?;
        for folder in crowded {
            console.say(&format!(
                "{} has too many files to watch them all; name those that matter with --watch",
                folder.display()
            ));
        }
        let ended = self.follow(&mut watch, &mut running, &mut signals, &console).await;
        running.wind_down(ended, &mut signals, &console).await
    }

    /// Follows the changes until told to stop, or until a service ends by itself.
    async fn follow(
        &self,
        watch: &mut Watch,
        running: &mut Running,
        signals: &mut Signals,
        console: &Console,
    ) -> Ended {
        let mut starts = Starts::default();
        loop {
            tokio::select! {
                () = signals.next() => return None,
                ended = running.ended() => return ended,
                changes = watch.next() => {
                    for (at, changed) in changes {
                        console.changed(&running.sites[at], &changed);
                        self.start(at, &mut starts, running, console);
                    }
                }
                Some(started) = starts.tasks.join_next() => {
                    if let Some((at, outcome)) = started_of(started) {
                        starts.newest.remove(&at);
                        reload(at, outcome, running, console);
                    }
                }
            }
        }
    }

    /// Starts new workers for a file. A start that is under way is undone: it may have read what was there before.
    fn start(&self, at: usize, starts: &mut Starts, running: &Running, console: &Console) {
        if let Some(before) = starts.newest.remove(&at) {
            before.abort();
        }
        let patience = RestartPolicy { max_unready: 1, ..RestartPolicy::default() };
        // Somebody sits there and reads why it ended: trying the same again tells nothing new.
        let step = self.plan.pool(at, console, &running.sites[at].seen).restart(patience).start();
        let task = starts.tasks.spawn(async move { (at, step.await) });
        starts.newest.insert(at, task);
    }
}

/// What came of a start; nothing of one that was undone.
fn started_of(
    joined: Result<(usize, Result<Pool, Error>), JoinError>,
) -> Option<(usize, Result<Pool, Error>)> {
    match joined {
        Ok(started) => Some(started),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}

/// Has new workers take over; without them, those there were serve on.
fn reload(at: usize, outcome: Result<Pool, Error>, running: &mut Running, console: &Console) {
    let site = &running.sites[at];
    let taken = outcome.map_err(Failure::from).and_then(|pool| site.take_over(pool));
    match taken {
        Ok(before) => {
            console.reloaded(site);
            running.retire(before);
        }
        Err(failure) => console.not_reloaded(site, &failure),
    }
}

/// Names of changed files, for people: the first few of them.
pub(crate) fn names(changed: &BTreeSet<PathBuf>) -> String {
    const SHOWN: usize = 3;
    let names: Vec<String> = changed
        .iter()
        .take(SHOWN)
        .map(|path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned())
        .collect();
    match changed.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// Why nothing can be watched.
fn unwatchable(error: std::io::Error) -> Failure {
    Error::new(ErrorCode::Internal, "there is no thread left to watch files")
        .with_source(error)
        .into()
}
