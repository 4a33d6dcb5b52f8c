//! R16: a worker that is stopped gets no new calls, is not killed, and comes back.

use std::sync::Arc;
use std::time::Duration;

use procall::Heartbeat;
use procall_pool::{Pool, WorkerInfo};
use rustix::process::Signal;
use tokio::time::Instant;

use super::Setting;
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::{Work, begin, finish};
use crate::processes::signal;
use crate::report::Found;

const RATE: u32 = 200;
const BEAT: Duration = Duration::from_millis(200);

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let ledger = Arc::new(Ledger::new()?);
    let beat = Heartbeat { interval: BEAT, timeout: BEAT, ..Heartbeat::default() };
    let pool = setting.pool("rust", &ledger)?.workers(2).heartbeat(Some(beat)).start().await?;
    let before = first(&pool)?;
    let pid = before.pid.ok_or("a worker without a process")?;
    let load = |time| begin(&pool, "work", &ledger, (RATE, time), |_| Work::default());
    finish(load(setting.seconds(1)).await).await;

    signal(pid, Signal::STOP);
    // Three beats are missed meanwhile, so the calls it has got by then are all that it gets.
    let noticing = load(6 * BEAT).await;
    let stuck = given(&pool)?;
    let rest = load(setting.seconds(1)).await;
    let after = given(&pool)?;
    signal(pid, Signal::CONT);
    finish(noticing).await;
    finish(rest).await;
    let continued = Instant::now();
    let back = loop {
        finish(load(Duration::from_millis(50)).await).await;
        if given(&pool)? > after || continued.elapsed() > Duration::from_secs(20) {
            break continued.elapsed();
        }
    };
    let now = first(&pool)?;
    pool.stop().await?;
    let mut found = Found::default();
    found.flawless(&ledger.verdict()?);
    found.promise("workers that were killed", now.restarts - before.restarts, "0");
    found.promise("new calls for it while it was suspected", after - stuck, "0");
    found.time("takes calls again", back, Duration::from_secs(1));
    Ok(found)
}

/// Calls that it has been given so far.
fn given(pool: &Pool) -> Result<u64, Failure> {
    Ok(first(pool)?.calls)
}

fn first(pool: &Pool) -> Result<WorkerInfo, Failure> {
    pool.workers().into_iter().next().ok_or_else(|| "a pool without workers".into())
}
