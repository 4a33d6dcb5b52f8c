//! `procall restart`: workers anew.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::style::Style;
use crate::target::{Aim, aim};
use crate::workers;
use crate::{duration, engine, output};

const EXAMPLES: &str = "Examples:
  procall restart calc               the workers one after the other, so that no call is lost
  procall restart calc/2             one of them";

/// Start workers anew, each after the calls it has are done.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Restart {
    /// A service, or one worker, as `procall ps` shows them.
    #[arg(value_name = "SERVICE|WORKER")]
    target: String,

    /// How long it may take.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "5m")]
    wait: Duration,

    /// Ask the engine at this address, such as tcp:127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
}

impl Restart {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let names: Vec<String> = match aim(&self.target, self.at.as_deref()).await? {
            Aim::Pool { client, worker, .. } => {
                client.call(workers::RESTART, (worker,)).deadline(self.wait).await?
            }
            Aim::Engine(client) => {
                engine::ask(&client, "restart", (&self.target,), self.wait).await?
            }
        };
        if style.json {
            return output::json(&json!({ "restarted": names }).to_string(), style);
        }
        for name in names {
            style.say(&format!("{name} is ready again"));
        }
        Ok(())
    }
}
