//! R02 and R21: workers go away under load, by force and by order.

use std::sync::Arc;
use std::time::Duration;

use procall::ErrorCode;
use procall_pool::{Pool, RestartPolicy, WorkerState};
use tokio::time::Instant;

use super::Setting;
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::{Work, mixed, open_loop};
use crate::processes::kill;
use crate::report::{Found, percentile};

const RATE: u32 = 500;
const WORKERS: usize = 4;
const EACH: Duration = Duration::from_millis(250);

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let ledger = Arc::new(Ledger::new()?);
    // As many restarts as there will be kills are no crash loop here.
    let restart = RestartPolicy { max_restarts: u32::MAX, ..RestartPolicy::default() };
    let pool = setting.pool("rust", &ledger)?.workers(WORKERS).restart(restart).start().await?;
    let work = |number| Work { millis: mixed(number) % 8, ..Work::default() };
    let load = open_loop(&pool, "work", &ledger, (RATE, setting.seconds(5)), work);
    let (killed, full) = {
        let mut killing = std::pin::pin!(kill_one_after_another(&pool));
        tokio::select! {
            () = load => {}
            () = &mut killing => {}
        }
        (pool.workers().iter().map(|worker| worker.restarts).sum::<u64>(), until_full(&pool).await)
    };
    pool.stop().await?;
    let mut found = Found::default();
    found.ledger(&ledger.verdict()?);
    let all = ledger.outcomes().clone();
    let lost = all.iter().filter(|one| matches!(one.result, Err((ErrorCode::WorkerLost, _))));
    // A handler takes 8 ms at most; what is more than that was waited for in vain.
    let late: Vec<_> = lost.map(|one| one.took.saturating_sub(Duration::from_millis(8))).collect();
    found.figure("workers killed", killed.to_string(), "some", killed > 0);
    found.time("WORKER_LOST told, p99", percentile(late, 0.99), Duration::from_millis(250));
    found.time("all workers back after the last", full, Duration::from_secs(1));
    Ok(found)
}

async fn kill_one_after_another(pool: &Pool) {
    for number in 0.. {
        tokio::time::sleep(EACH).await;
        let workers = pool.workers();
        let picked = &workers[mixed(number) as usize % workers.len()];
        if let Some(pid) = picked.pid {
            kill(pid);
        }
    }
}

async fn until_full(pool: &Pool) -> Duration {
    let begun = Instant::now();
    while !pool
        .workers()
        .iter()
        .all(|worker| matches!(worker.state, WorkerState::Ready | WorkerState::Busy))
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

pub(super) async fn rolling(setting: &Setting) -> Result<Found, Failure> {
    let ledger = Arc::new(Ledger::new()?);
    let pool = setting.pool("rust", &ledger)?.workers(WORKERS).start().await?;
    let work = |number| Work { millis: mixed(number) % 8, ..Work::default() };
    let load = open_loop(&pool, "work", &ledger, (RATE, setting.seconds(5)), work);
    let mut replaced = 0;
    {
        let mut replacing = std::pin::pin!(async {
            loop {
                pool.restart_all().await?;
                replaced += WORKERS;
            }
        });
        let ended: Result<(), procall::Error> = tokio::select! {
            () = load => Ok(()),
            result = &mut replacing => result,
        };
        ended?;
    }
    pool.stop().await?;
    let mut found = Found::default();
    found.flawless(&ledger.verdict()?);
    found.figure("workers replaced", replaced.to_string(), "some", replaced > 0);
    Ok(found)
}
