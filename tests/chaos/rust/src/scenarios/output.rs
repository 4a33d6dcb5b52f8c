//! R20: garbage without an end on standard output and error holds nobody up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{LANGUAGES, Setting};
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::{Work, call, open_loop};
use crate::processes::status;
use crate::report::{Found, percentile};

/// The short form of a gibibyte.
const SIZE: u64 = 64 << 20;
const RATE: u32 = 200;
/// What is kept of a worker.
const KEPT: usize = 10 << 20;
const LINE: usize = 8 << 10;

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let mut found = Found::default();
    let ledger = Arc::new(Ledger::new()?);
    let size = SIZE * u64::from(setting.scale.min(16));
    let (mut blocked, mut too_much, mut too_long, mut lines) = (Duration::ZERO, 0, 0, 0);
    let mut grown = 0;
    for language in LANGUAGES {
        let seen: Arc<AtomicU64> = Arc::default();
        let count = seen.clone();
        let pool = setting.pool(language, &ledger)?.workers(2).on_output(move |_| {
            // Whoever reads along is slow, and that is his own affair.
            if count.fetch_add(1, Ordering::Relaxed).is_multiple_of(1_000) {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let pool = pool.start().await?;
        let names: Vec<_> = pool.workers().iter().map(|worker| worker.name.clone()).collect();
        let before = status(std::process::id(), "VmRSS")?;
        let spewing = pool.call::<u64>("spew", (size,)).to(names[0].clone());
        let spewing = spewing.deadline(Duration::from_secs(300)).into_future();
        let others = async {
            loop {
                let time = Duration::from_millis(100);
                open_loop(&pool, "work", &ledger, (RATE, time), |_| Work::default()).await;
            }
        };
        let longest = tokio::select! {
            longest = spewing => longest?,
            () = others => 0,
        };
        blocked = blocked.max(Duration::from_micros(longest));
        grown = grown.max(status(std::process::id(), "VmRSS")? - before);
        let kept = pool.output_lines(0, usize::MAX);
        let bytes: usize = kept.iter().map(|line| line.text.len()).sum();
        too_much += u64::from(bytes > KEPT);
        // What is not UTF-8 is replaced, a byte or more by one character.
        too_long += kept.iter().filter(|line| line.text.chars().count() > LINE).count() as u64;
        lines += kept.len();
        let channel = procall::AsChannel::as_channel(&pool);
        call(&channel, "work", &ledger, Work::default()).await?;
        pool.stop().await?;
    }
    // A load that was ended with the garbage has calls without an outcome, which nobody waited for.
    let outcomes = ledger.outcomes().clone();
    let failed = outcomes.iter().filter(|one| one.result != Ok(true)).count() as u64;
    let took = outcomes.iter().map(|one| one.took).collect();
    found.figure("garbage of each language", format!("{} MiB", size >> 20), "some", true);
    found.figure("lines kept", lines.to_string(), "some", lines > 0);
    found.promise("rings above 10 MiB", too_much, "0");
    found.promise("lines above 8 KiB", too_long, "0");
    let shown = format!("{:+.1} MiB", grown as f64 / 1024.0);
    found.figure("memory", shown, "at most +40 MiB", grown <= 40 << 10);
    found.time("one write held the worker up", blocked, Duration::from_millis(50));
    found.figure("calls beside it", outcomes.len().to_string(), "some", !outcomes.is_empty());
    found.promise("of them failed, or with another's reply", failed, "0");
    found.time("their p99", percentile(took, 0.99), Duration::from_millis(50));
    Ok(found)
}
