//! R03: a deadline is never early, and hardly late.

use std::sync::Arc;
use std::time::Duration;

use procall::ErrorCode;

use super::Setting;
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::{Work, mixed, open_loop};
use crate::report::{Found, percentile};

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let ledger = Arc::new(Ledger::new()?);
    let pool =
        setting.pool("rust", &ledger)?.env("CHAOS_CONCURRENCY", "1000").workers(1).start().await?;
    let work = |number| {
        let dice = mixed(number);
        let deadline = Duration::from_millis(1 + dice % 500);
        Work { millis: (dice >> 32) % 1_000, deadline, ..Work::default() }
    };
    open_loop(&pool, "work", &ledger, (400, setting.seconds(4)), work).await;
    pool.stop().await?;
    let mut found = Found::default();
    let verdict = ledger.verdict()?;
    found.ledger(&verdict);
    let (mut early, mut late) = (0, Vec::new());
    for outcome in ledger.outcomes().iter() {
        if matches!(outcome.result, Err((ErrorCode::DeadlineExceeded, _))) {
            early += u64::from(outcome.took < outcome.deadline);
            late.push(outcome.took.saturating_sub(outcome.deadline));
        }
    }
    found.promise("deadlines that were early", early, "0");
    found.time("late by, p99.9", percentile(late, 0.999), Duration::from_millis(10));
    Ok(found)
}
