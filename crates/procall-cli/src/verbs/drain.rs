//! `procall drain`: no new calls for somebody.

use std::time::Duration;

use clap::Args;
use procall_engine::PeerRow;
use serde_json::json;

use crate::failure::Failure;
use crate::style::Style;
use crate::target::{Aim, aim};
use crate::workers;
use crate::{duration, engine, output};

/// How often it is looked whether the calls are done.
const LOOK: Duration = Duration::from_millis(50);

const EXAMPLES: &str = "Examples:
  procall drain math                 all who serve math with the engine
  procall drain math/2               one of them
  procall drain math/2 --undo        it gets calls again
  procall drain calc                 the pool of a procall run, which stays drained until it is started anew";

/// Give somebody no new calls; those there are finish.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Drain {
    /// A service, or one worker, as `procall ps` shows them.
    #[arg(value_name = "SERVICE|WORKER")]
    target: String,

    /// New calls again.
    #[arg(long)]
    undo: bool,

    /// How long calls may take to finish before this gives up waiting.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "30s")]
    wait: Duration,

    /// Ask the engine at this address, such as tcp:127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
}

impl Drain {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let names = match aim(&self.target, self.at.as_deref()).await? {
            Aim::Pool { client, worker: None, .. } if !self.undo => {
                let drained = client.call::<()>(workers::DRAIN, ()).deadline(self.wait);
                drained.await.map_err(|error| unfinished(error.into()))?;
                vec![self.target.clone()]
            }
            Aim::Pool { worker: Some(worker), .. } => {
                return Err(Failure::usage(format!(
                    "{worker} is one worker of a pool, which is drained as a whole"
                ))
                .fix(format!(
                    "procall restart {worker}   lets it finish its calls and starts it anew"
                )));
            }
            Aim::Pool { .. } => {
                return Err(Failure::usage("a pool that was drained takes no calls again")
                    .fix("stop it, and start it anew: procall stop, procall run"));
            }
            Aim::Engine(client) => self.peers(&client).await?,
        };
        if style.json {
            let object = json!({ "drained": !self.undo, "names": names });
            return output::json(&object.to_string(), style);
        }
        let says = if self.undo { "gets calls again" } else { "is drained" };
        for name in names {
            style.say(&format!("{name} {says}"));
        }
        Ok(())
    }

    /// Drains peers of the engine, and waits until their calls are done.
    async fn peers(&self, client: &procall::Client) -> Result<Vec<String>, Failure> {
        let ask = async {
            loop {
                let rows: Vec<PeerRow> =
                    engine::look(client, "drain", (&self.target, self.undo)).await?;
                if self.undo || rows.iter().all(|row| row.in_flight == 0) {
                    return Ok(rows.into_iter().map(|row| row.name).collect());
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(self.wait, ask).await.unwrap_or_else(|_| {
            let message = format!("calls of {} still run after {:?}", self.target, self.wait);
            Err(unfinished(Failure::new(procall::ErrorCode::DeadlineExceeded, message)))
        })
    }
}

fn unfinished(failure: Failure) -> Failure {
    match failure.code() {
        procall::ErrorCode::DeadlineExceeded => failure.fix(
            "it gets no new calls; procall calls shows what still runs, procall cancel ends it",
        ),
        _ => failure,
    }
}
