//! The scenarios: load, a fault, and what the ledger says.

mod calls;
pub(crate) mod cancels;
mod crowd;
mod deadlines;
mod deaths;
mod engine;
mod fairness;
mod kills;
mod loops;
mod network;
mod notices;
mod output;
mod overload;
mod parents;
mod pauses;
mod restarts;
mod soak;
mod streams;
mod transfer;
mod unavailable;

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use procall_pool::{Pool, PoolBuilder};

use crate::Failure;
use crate::ledger::Ledger;
use crate::report::Found;

/// In which workers are written.
const LANGUAGES: [&str; 3] = ["rust", "python", "node"];

type Running<'a> = Pin<Box<dyn Future<Output = Result<Found, Failure>> + 'a>>;

/// How long, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// Where `tests/chaos` is.
    pub(crate) home: PathBuf,
    /// How much longer than the short form.
    pub(crate) scale: u32,
}

impl Setting {
    pub(crate) fn seconds(&self, short: u64) -> Duration {
        Duration::from_secs(short * u64::from(self.scale))
    }

    /// A program of this package.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf, Failure> {
        let own = std::env::current_exe()?;
        let folder = own.parent().ok_or("this program lies nowhere")?;
        Ok(folder.join(name))
    }

    /// The worker of a language.
    pub(crate) fn worker(&self, language: &str) -> Result<PathBuf, Failure> {
        match language {
            "rust" => self.program("chaos-worker"),
            "python" => Ok(self.home.join("python/worker.py")),
            "node" => Ok(self.home.join("node/worker.mjs")),
            other => Err(format!("there is no worker in {other}").into()),
        }
    }

    /// A pool of these workers, with a ledger.
    pub(crate) fn pool(&self, language: &str, ledger: &Ledger) -> Result<PoolBuilder, Failure> {
        Ok(Pool::spawn(self.worker(language)?)
            .env(crate::ledger::FOLDER, ledger.folder())
            .show_output(false))
    }
}

/// One line of the table of semantics.
pub(crate) struct Scenario {
    pub(crate) rule: &'static str,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Setting) -> Running<'_>,
}

macro_rules! scenarios {
    ($($rule:literal $name:literal $about:literal $run:path;)*) => {
        pub(crate) const ALL: &[Scenario] = &[$(Scenario {
            rule: $rule,
            name: $name,
            about: $about,
            run: |setting| Box::pin($run(setting)),
        }),*];
    };
}

scenarios! {
    "R01" "calls" "calls to workers in three languages over two transports, nothing goes wrong" calls::run;
    "R02" "kills" "a worker is killed every 250 ms" kills::run;
    "R03" "deadlines" "deadlines of 1 to 500 ms, handlers that take up to a second" deadlines::run;
    "R04" "cancels" "calls that are given up, and clients that are killed while they read a stream" cancels::run;
    "R05" "unavailable" "a service that answers UNAVAILABLE for a while" unavailable::run;
    "R06" "overload" "1, 2, 5 and 10 times as many calls as workers can take" overload::run;
    "R07" "engine" "the engine is killed again and again" engine::run;
    "R08" "notices" "notifications to ten receivers, one of which stands still" notices::run;
    "R09" "streams" "readers that stall, workers that are killed while they give a stream" streams::run;
    "R10" "transfer" "256 MiB each way beside small calls" transfer::run;
    "R12" "loops" "workers that end at their start, soon after, or never become ready" loops::run;
    "R13" "restarts" "workers in three languages are killed and come back, again and again" restarts::run;
    "R14" "parents" "the process that started the workers is killed" parents::run;
    "R15" "residue" "pools come and go in every way, and leave nothing behind" restarts::residue;
    "R16" "pauses" "a worker is stopped for a while, as by SIGSTOP" pauses::run;
    "R19" "crowd" "the engine is started anew under many light clients" crowd::run;
    "R20" "output" "megabytes of garbage on standard output and error" output::run;
    "R21" "rolling" "all workers are replaced, one after the other, under load" kills::rolling;
    "R22" "deaths" "workers that end in every way, beside calls to their siblings" deaths::run;
    "R23" "poison" "calls that cost each worker that gets them" deaths::poison;
    "R24" "fairness" "one client queues thousands of calls, another makes one now and then" fairness::run;
    "R37" "network" "a connection that delays, splits, stalls and breaks" network::run;
    "R38" "soak" "mixed load, a fault every five seconds, and what this process holds meanwhile" soak::run;
}
