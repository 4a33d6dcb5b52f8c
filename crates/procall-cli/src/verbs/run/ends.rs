//! What ends workers that go on although nobody waits.

use std::time::Duration;

use clap::Args;
use procall_pool::{OnCancel, PoolBuilder};

use crate::duration;

#[derive(Debug, Clone, Args)]
pub(crate) struct Ends {
    /// Replace a worker that has not answered pings for so long, and for so long has been busy with a call that nobody waits for any more.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    hang_timeout: Option<Duration>,

    /// What becomes of a worker that goes on with a call that was cancelled: "abandon" waits for it, "kill" replaces the worker.
    #[arg(long, value_name = "WHAT", value_parser = on_cancel, default_value = "abandon")]
    on_cancel: OnCancel,

    /// After which time "kill" replaces it.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "5s")]
    cancel_grace: Duration,
}

fn on_cancel(text: &str) -> Result<OnCancel, String> {
    text.parse().map_err(|error: procall::Error| error.message().to_owned())
}

impl Ends {
    pub(super) fn set(&self, pool: PoolBuilder) -> PoolBuilder {
        pool.hang_timeout(self.hang_timeout)
            .on_cancel(self.on_cancel)
            .cancel_grace(self.cancel_grace)
    }
}
