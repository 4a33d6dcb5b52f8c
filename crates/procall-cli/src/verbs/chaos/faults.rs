//! `procall chaos kill` and `procall chaos stop`.

use std::time::Duration;

use clap::Args;
use procall::ErrorCode;
use rustix::process::Signal;
use serde_json::json;

use super::victims::{Victim, find};
use super::{Rhythm, is_over, rest, tell};
use crate::duration;
use crate::failure::Failure;
use crate::signals::Signals;
use crate::style::Style;

const KILL_EXAMPLES: &str = "Examples:
  procall chaos kill calc/1                       once
  procall chaos kill calc --every 1s --for 30s    one of them, picked at random, again and again";

/// Kill a worker, as a crash would: by SIGKILL.
#[derive(Debug, Args)]
#[command(before_help = KILL_EXAMPLES)]
pub(super) struct Kill {
    /// A worker, or a service, of which one worker is picked at random, as `procall ps` shows them.
    #[arg(value_name = "SERVICE|WORKER")]
    target: String,

    #[command(flatten)]
    rhythm: Rhythm,

    /// Ask only the service or engine at this address.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
}

impl Kill {
    pub(super) async fn run(self, mut signals: Signals, style: &Style) -> Result<(), Failure> {
        let end = self.rhythm.end();
        loop {
            match pick(&self.target, self.at.as_deref()).await? {
                Some(victim) if victim.signal(Signal::KILL) => {
                    let text = format!("{} (pid {}) was killed", victim.name, victim.pid);
                    let event =
                        json!({ "event": "killed", "worker": victim.name, "pid": victim.pid });
                    tell(&text, &event, style)?;
                }
                _ if self.rhythm.every.is_none() => return Err(nobody(&self.target)),
                // It is on its way up again.
                _ => style.hint(&format!("{} has no process now", self.target)),
            }
            let Some(every) = self.rhythm.every else { return Ok(()) };
            rest(every, end, &mut signals).await?;
            if is_over(end) {
                return Ok(());
            }
        }
    }
}

const STOP_EXAMPLES: &str = "Examples:
  procall chaos stop calc/1 --time 5s                       once
  procall chaos stop calc --time 2s --every 10s --for 1m    one of them, picked at random, again and again";

/// Let a worker stand still for a while, as a debugger or a full disk would: SIGSTOP, then SIGCONT.
///
/// It goes on however this command ends, but for SIGKILL; then `kill -CONT PID` has it go on.
#[derive(Debug, Args)]
#[command(before_help = STOP_EXAMPLES)]
pub(super) struct Stop {
    /// A worker, or a service, of which one worker is picked at random, as `procall ps` shows them.
    #[arg(value_name = "SERVICE|WORKER")]
    target: String,

    /// How long it stands still.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "5s")]
    time: Duration,

    #[command(flatten)]
    rhythm: Rhythm,

    /// Ask only the service or engine at this address.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
}

/// A worker that stands still for as long as this lives.
struct Still<'a>(&'a Victim);

impl Drop for Still<'_> {
    fn drop(&mut self) {
        // One that has ended meanwhile needs no more.
        self.0.signal(Signal::CONT);
    }
}

impl Stop {
    pub(super) async fn run(self, mut signals: Signals, style: &Style) -> Result<(), Failure> {
        let end = self.rhythm.end();
        loop {
            match pick(&self.target, self.at.as_deref()).await? {
                Some(victim) if victim.signal(Signal::STOP) => {
                    let still = Still(&victim);
                    let text = format!("{} (pid {}) stands still", victim.name, victim.pid);
                    let event =
                        json!({ "event": "stopped", "worker": victim.name, "pid": victim.pid });
                    tell(&text, &event, style)?;
                    rest(self.time, end, &mut signals).await?;
                    drop(still);
                    let text = format!("{} (pid {}) goes on", victim.name, victim.pid);
                    let event =
                        json!({ "event": "continued", "worker": victim.name, "pid": victim.pid });
                    tell(&text, &event, style)?;
                }
                _ if self.rhythm.every.is_none() => return Err(nobody(&self.target)),
                _ => style.hint(&format!("{} has no process now", self.target)),
            }
            let Some(every) = self.rhythm.every else { return Ok(()) };
            rest(every, end, &mut signals).await?;
            if is_over(end) {
                return Ok(());
            }
        }
    }
}

/// One of those that are meant.
async fn pick(target: &str, at: Option<&str>) -> Result<Option<Victim>, Failure> {
    let mut victims = find(target, at).await?;
    if victims.is_empty() {
        return Ok(None);
    }
    let mut bytes = [0; 8];
    // Without the kernel's numbers it is always the first one: still a fault, and still one that was asked for.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    let at = usize::from_ne_bytes(bytes) % victims.len();
    Ok(Some(victims.swap_remove(at)))
}

fn nobody(target: &str) -> Failure {
    Failure::new(ErrorCode::NoWorker, format!("{target} has no process now"))
        .fix("procall ps   shows why; with --every it is tried again")
}
