//! What the command line and the environment say.

use std::env;
use std::time::Duration;

const USAGE: &str = "\
A client of the engine over TCP and JSON.

usage: engine-client [--addr HOST:PORT] [--heartbeat SECONDS] [--run-for SECONDS]

  --addr HOST:PORT      where the engine listens (ENGINE_ADDR; 127.0.0.1:8080)
  --heartbeat SECONDS   time between two signs of life, 0 for none (ENGINE_HEARTBEAT; 5)
  --run-for SECONDS     end after this time (ENGINE_RUN_FOR; by default it runs until Ctrl-C)";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) addr: String,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) run_for: Option<Duration>,
}

impl Options {
    /// None when help was asked for, and given.
    pub(crate) fn read() -> Result<Option<Self>, String> {
        let mut addr = env::var("ENGINE_ADDR").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
        let from_env =
            |name: &str| env::var(name).ok().map(|value| seconds(&value, name)).transpose();
        let mut heartbeat = from_env("ENGINE_HEARTBEAT")?.unwrap_or(Duration::from_secs(5));
        let mut run_for = from_env("ENGINE_RUN_FOR")?;

        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            if argument == "--help" || argument == "-h" {
                println!("{USAGE}");
                return Ok(None);
            }
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            let mut value = || {
                value.clone().or_else(|| arguments.next()).ok_or(format!("{name} needs a value"))
            };
            match &*name {
                "--addr" => addr = value()?,
                "--heartbeat" => heartbeat = seconds(&value()?, &name)?,
                "--run-for" => run_for = Some(seconds(&value()?, &name)?),
                _ => return Err(format!("there is no option {name}; try --help")),
            }
        }
        Ok(Some(Self { addr, heartbeat: Some(heartbeat).filter(|beat| !beat.is_zero()), run_for }))
    }
}

fn seconds(value: &str, name: &str) -> Result<Duration, String> {
    let seconds = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| format!("{name} should be seconds, not {value:?}"))
}
