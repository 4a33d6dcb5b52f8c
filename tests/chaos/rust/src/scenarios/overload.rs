//! R06: too many calls are refused at once, and do not keep the others from being served.

use std::sync::Arc;
use std::time::Duration;

use procall::ErrorCode;

use super::Setting;
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::{Work, open_loop};
use crate::report::{Found, percentile};

const MILLIS: u64 = 10;
const WORKERS: usize = 2;
/// Calls that may wait for each worker.
const QUEUE: usize = 32;

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let mut found = Found::default();
    let capacity = WORKERS as u32 * 1_000 / MILLIS as u32;
    let mut best: f64 = 0.0;
    for times in [1, 2, 5, 10] {
        let ledger = Arc::new(Ledger::new()?);
        let pool = setting.pool("rust", &ledger)?.env("CHAOS_CONCURRENCY", "1");
        let pool = pool.workers(WORKERS).queue(QUEUE).start().await?;
        let time = setting.seconds(2);
        let work = |_| Work { millis: MILLIS, ..Work::default() };
        open_loop(&pool, "work", &ledger, (times * capacity, time), work).await;
        pool.stop().await?;
        let verdict = ledger.verdict()?;
        let good = verdict.succeeded as f64 / time.as_secs_f64();
        best = best.max(good);
        if times == 10 {
            found.ledger(&verdict);
            let outcomes = ledger.outcomes().clone();
            let refused =
                outcomes.iter().filter(|one| matches!(one.result, Err((ErrorCode::Overloaded, _))));
            let took: Vec<_> = refused.map(|one| one.took).collect();
            found.figure("refused at 10 times", took.len().to_string(), "some", !took.is_empty());
            found.time("refused within, p99", percentile(took, 0.99), Duration::from_millis(10));
            let share = good / best;
            found.figure(
                "served at 10 times",
                format!("{:.0} % of the best", 100.0 * share),
                "at least 80 %",
                share >= 0.8,
            );
        }
    }
    Ok(found)
}
