//! `procall cancel`: ends a call that is on its way through the engine.

use clap::Args;
use procall::ErrorCode;
use serde_json::json;

use crate::failure::Failure;
use crate::style::Style;
use crate::{engine, output};

const EXAMPLES: &str = "Examples:
  procall cancel 7                   the call that procall calls shows as 7";

/// End a call: its caller is told CANCELLED, its worker is asked to cancel.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Cancel {
    /// The call, as `procall calls` shows it.
    id: u64,

    /// Ask the engine at this address, such as tcp:127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
}

impl Cancel {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let client = engine::connect(self.at.as_deref()).await?;
        let cancelled = engine::look::<()>(&client, "cancel", (self.id,)).await;
        cancelled.map_err(|failure| match failure.code() {
            ErrorCode::NotFound => {
                failure.fix("procall calls   shows what is on its way; it may be over already")
            }
            _ => failure,
        })?;
        if style.json {
            return output::json(&json!({ "cancelled": self.id }).to_string(), style);
        }
        style.say(&format!("call {} is cancelled", self.id));
        Ok(())
    }
}
