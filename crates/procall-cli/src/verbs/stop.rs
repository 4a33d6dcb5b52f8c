//! `procall stop`: the orderly end of an engine, or of a `procall run`.

use std::time::Duration;

use clap::Args;
use procall::ErrorCode;
use serde_json::json;

use crate::failure::Failure;
use crate::process;
use crate::style::Style;
use crate::target::{Aim, aim};
use crate::workers;
use crate::{duration, engine, output};

const EXAMPLES: &str = "Examples:
  procall stop                       the engine
  procall stop calc                  the procall run that serves calc";

/// Stop the engine or a `procall run`, after the calls in flight are done.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Stop {
    /// A service of a `procall run`; the engine without it.
    #[arg(value_name = "SERVICE|engine")]
    target: Option<String>,

    /// How long its end may take before this gives up waiting.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "30s")]
    wait: Duration,

    /// Ask the engine at this address, such as tcp:127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
}

impl Stop {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let target = self.target.as_deref().filter(|name| *name != procall_engine::NAME);
        let stopped = async {
            match target {
                None => {
                    let client = engine::connect(self.at.as_deref()).await?;
                    let process = process::hold(&client);
                    engine::look::<Vec<String>>(&client, "stop", ()).await?;
                    process::gone(process, &client).await
                }
                Some(name) => match aim(name, self.at.as_deref()).await? {
                    Aim::Pool { client, .. } => {
                        let process = process::hold(&client);
                        client.call::<()>(workers::STOP, ()).await?;
                        process::gone(process, &client).await
                    }
                    Aim::Engine(client) => {
                        engine::look::<Vec<String>>(&client, "stop", (name,)).await.map(|_| ())
                    }
                },
            }
        };
        let name = target.unwrap_or(procall_engine::NAME);
        tokio::time::timeout(self.wait, stopped).await.unwrap_or_else(|_| {
            let message = format!("{name} still runs after {:?}", self.wait);
            Err(Failure::new(ErrorCode::DeadlineExceeded, message)
                .fix("calls in flight may keep it; procall ps shows its pid, a second signal ends it at once"))
        })?;
        if style.json {
            return output::json(&json!({ "stopped": name }).to_string(), style);
        }
        style.say(&format!("{name} has stopped"));
        Ok(())
    }
}
