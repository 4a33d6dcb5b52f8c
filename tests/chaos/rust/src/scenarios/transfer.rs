//! R10: 256 MiB go there, and 256 MiB come back, beside small calls on the same connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procall::{Bytes, Heartbeat};
use procall_pool::{Happening, Pool};
use tokio::time::Instant;

use super::{LANGUAGES, Setting};
use crate::Failure;
use crate::ledger::{Ledger, Outcome};
use crate::load::{Work, open_loop};
use crate::report::{Found, percentile};

/// The short form has an eighth of the longest body that there is; that one includes what else is in the call.
const MOST: u64 = (256 << 20) - (64 << 10);
const SHORT: u64 = 32 << 20;
const RATE: u32 = 100;
const PATIENT: Duration = Duration::from_secs(300);

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let mut found = Found::default();
    let size = MOST.min(SHORT * u64::from(setting.scale));
    let ledger = Arc::new(Ledger::new()?);
    let (mut changed, mut moved, mut times) = (0, 0, Vec::new());
    let suspected: Arc<AtomicU64> = Arc::default();
    for language in LANGUAGES {
        let beat = Heartbeat { interval: Duration::from_millis(200), ..Heartbeat::default() };
        let count = suspected.clone();
        let pool = setting.pool(language, &ledger)?.workers(1).concurrency(8);
        let pool = pool.heartbeat(Some(beat)).on_event(move |event| {
            let bad = matches!(event.happening, Happening::Suspected | Happening::Exited { .. });
            count.fetch_add(u64::from(bad), Ordering::Relaxed);
        });
        let pool = pool.start().await?;
        let small = |time| {
            let work = |_| Work { deadline: PATIENT, ..Work::default() };
            open_loop(&pool, "work", &ledger, (RATE, time), work)
        };
        let from = ledger.outcomes().len();
        small(Duration::from_millis(500)).await;
        let until = ledger.outcomes().len();
        let begun = Instant::now();
        // On a thread of its own: what it takes to make and to read a body is not the connection's affair.
        let (on, rounds) = (pool.clone(), setting.scale);
        let mut large = tokio::task::spawn_blocking(move || {
            let here = tokio::runtime::Handle::current();
            let changed = (0..rounds).map(|_| here.block_on(there_and_back(&on, size)));
            let changed = changed.map(|moved| Ok(u64::from(moved? != (size, size))));
            changed.sum::<Result<u64, procall::Error>>()
        });
        changed += loop {
            tokio::select! {
                changed = &mut large => break changed??,
                () = small(Duration::from_millis(100)) => {}
            }
        };
        moved += 2 * size * u64::from(setting.scale);
        let pace = (2 * size * u64::from(setting.scale)) as f64 / begun.elapsed().as_secs_f64();
        let dead = suspected.load(Ordering::Relaxed);
        pool.stop_within(Duration::from_secs(10), Duration::from_secs(5)).await?;
        // Those that were stopped just now are not.
        suspected.store(dead, Ordering::Relaxed);
        let took = |part: &[Outcome]| part.iter().map(|one| one.took).collect::<Vec<_>>();
        let outcomes = ledger.outcomes();
        times.push((language, pace, took(&outcomes[from..until]), took(&outcomes[until..])));
    }
    let failed = ledger.outcomes().iter().filter(|one| one.result.is_err()).count() as u64;
    let crossed = ledger.outcomes().iter().filter(|one| one.result == Ok(false)).count() as u64;
    found.figure("moved", format!("{} MiB", moved >> 20), "some", moved > 0);
    found.promise("bodies of another length", changed, "0");
    found.promise("small calls that failed", failed, "0");
    found.promise("small calls with another's reply", crossed, "0");
    found.promise("workers taken for dead", suspected.load(Ordering::Relaxed), "0");
    for (language, pace, alone, beside) in times {
        let calls = format!("{} at {:.0} MiB/s", beside.len(), pace / 1_048_576.0);
        found.figure(&format!("{language}: small calls"), calls, "some", !beside.is_empty());
        let (alone, beside) = (percentile(alone, 0.99), percentile(beside, 0.99));
        let shown = format!("{beside:.1?}, alone {alone:.1?}");
        let held = beside <= Duration::from_millis(10);
        found.figure(&format!("{language}: their p99"), shown, "at most 10 ms", held);
    }
    Ok(found)
}

async fn there_and_back(pool: &Pool, size: u64) -> Result<(u64, u64), procall::Error> {
    let payload = Bytes(vec![7; size as usize]);
    let there: u64 = pool.call("swallow", (payload,)).deadline(PATIENT).await?;
    let back: Bytes = pool.call("give", (size,)).deadline(PATIENT).await?;
    Ok((there, back.0.len() as u64))
}
