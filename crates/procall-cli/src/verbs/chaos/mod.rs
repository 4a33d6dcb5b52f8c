//! `procall chaos`: faults on purpose, to see what one's own system makes of them.

mod faults;
mod network;
mod victims;

use std::time::Duration;

use clap::{Args, Subcommand};
use procall::Executed;
use serde_json::Value;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::signals::Signals;
use crate::style::Style;
use crate::{duration, output};

const EXAMPLES: &str = "Examples:
  procall chaos kill calc/1                          kill one worker, once
  procall chaos kill calc --every 1s --for 30s       a worker of calc, picked at random, every second
  procall chaos stop calc --time 5s                  one stands still for five seconds
  procall chaos delay tcp:127.0.0.1:8080 --by 100ms  an address behind which everything is late
  procall chaos drop calc --every 5s                 an address whose connections break";

/// Make faults on purpose: kill and stop workers, delay and break connections.
///
/// Only processes that a pool or an engine of your own, on this machine, names as its workers get signals.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Chaos {
    #[command(subcommand)]
    fault: Fault,
}

#[derive(Debug, Subcommand)]
enum Fault {
    Kill(faults::Kill),
    Stop(faults::Stop),
    Delay(network::Delay),
    Drop(network::Drop),
}

impl Chaos {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        // From the start, so that nothing is left half done by Ctrl-C.
        let signals = Signals::new()?;
        match self.fault {
            Fault::Kill(kill) => kill.run(signals, style).await,
            Fault::Stop(stop) => stop.run(signals, style).await,
            Fault::Delay(delay) => delay.run(signals, style).await,
            Fault::Drop(drop) => drop.run(signals, style).await,
        }
    }
}

/// How often, and for how long.
#[derive(Debug, Args)]
struct Rhythm {
    /// Again and again, this often; once without it.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    every: Option<Duration>,

    /// Ends after this time; without it, with --every, at Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse, requires = "every")]
    long: Option<Duration>,
}

impl Rhythm {
    fn end(&self) -> Option<Instant> {
        self.long.map(|long| Instant::now() + long)
    }
}

/// Waits for so long, but no longer than until `end`; an error at Ctrl-C and SIGTERM.
async fn rest(time: Duration, end: Option<Instant>, signals: &mut Signals) -> Result<(), Failure> {
    let until = Instant::now() + time;
    let until = end.map_or(until, |end| until.min(end));
    tokio::select! {
        () = tokio::time::sleep_until(until) => Ok(()),
        () = signals.next() => Err(Failure::interrupted("interrupted", Executed::Maybe)),
    }
}

/// Whether the time is up.
fn is_over(end: Option<Instant>) -> bool {
    end.is_some_and(|end| Instant::now() >= end)
}

/// Says what was done: to people on standard error, to programs as a line of JSON.
fn tell(text: &str, event: &Value, style: &Style) -> Result<(), Failure> {
    if style.json {
        return output::json(&event.to_string(), style);
    }
    style.say(text);
    Ok(())
}
