//! R12: workers that do not come up, or not for long, are given up soon, with the reason.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procall_pool::{Happening, WorkerState};

use super::{LANGUAGES, Setting};
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::{Work, call};
use crate::processes::until;
use crate::report::Found;

/// First start and five restarts.
const STARTS: u64 = 6;

/// It ends at once, after a second, or never becomes ready.
const KINDS: [&str; 3] = ["exit", "late", "silent"];

/// What came of one kind of crash loop.
#[derive(Debug, Default)]
struct Loop {
    starts: u64,
    /// It was not given up.
    unended: u64,
    /// Nothing was said of why, or the last lines were not there.
    unexplained: u64,
    /// It did not come back when it was restarted by hand.
    unhealed: u64,
}

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let (begun, worked) = (std::time::Instant::now(), processor_time()?);
    let mut found = Found::default();
    let mut ways = tokio::task::JoinSet::new();
    for language in LANGUAGES {
        for start in KINDS {
            let setting = setting.clone();
            ways.spawn(async move { one(&setting, language, start).await });
        }
    }
    let mut all = Loop::default();
    let mut most = 0;
    while let Some(ended) = ways.join_next().await {
        let one = ended??;
        most = most.max(one.starts);
        all.starts += one.starts.saturating_sub(STARTS);
        all.unended += one.unended;
        all.unexplained += one.unexplained;
        all.unhealed += one.unhealed;
    }
    let loops = LANGUAGES.len() * KINDS.len();
    let used = (processor_time()? - worked).as_secs_f64() / begun.elapsed().as_secs_f64();
    let share = used / loops as f64;
    found.figure("starts at most", most.to_string(), "some", most > 0);
    found.promise("starts beyond six", all.starts, "0");
    found.promise("loops that were not given up", all.unended, "0");
    found.promise("without a reason, or the last lines", all.unexplained, "0");
    found.promise("not back after a restart by hand", all.unhealed, "0");
    let shown = format!("{:.1} % for each of {loops}", 100.0 * share);
    found.figure("processor time of their supervisor", shown, "at most 2 %", share <= 0.02);
    Ok(found)
}

async fn one(setting: &Setting, language: &str, start: &str) -> Result<Loop, Failure> {
    let ledger = Ledger::new()?;
    let starts: Arc<AtomicU64> = Arc::default();
    let count = starts.clone();
    let pool = setting.pool(language, &ledger)?.workers(1).env("CHAOS_START", start);
    let pool = pool.ready_timeout(Duration::from_secs(2)).on_event(move |event| {
        count.fetch_add(u64::from(event.happening == Happening::Started), Ordering::Relaxed);
    });
    let mut seen = Loop::default();
    match pool.start().await {
        Err(error) => {
            let said = format!("{error} {error:?}");
            seen.unended += u64::from(start == "late");
            // Rust's own panics and Python's flushes may come behind it; the last of ours is there in any case.
            seen.unexplained += u64::from(!said.contains("line 29 of a worker"));
        }
        Ok(pool) => {
            let failed = || pool.workers()[0].state == WorkerState::Failed;
            seen.unended += u64::from(!until(failed).await);
            let why = pool.workers()[0].last_exit.clone().unwrap_or_default();
            let lines = pool.output_lines(0, 20);
            let kept = lines.iter().any(|line| line.text.contains("line 29 of a worker"));
            seen.unexplained += u64::from(!why.contains("code 4") || !kept);
            fs::write(ledger.folder().join("healed"), "")?;
            let restarted = pool.restart(0).await.is_ok();
            let channel = procall::AsChannel::as_channel(&pool);
            let served = call(&channel, "work", &ledger, Work::default()).await.is_ok();
            seen.unhealed += u64::from(!restarted || !served);
            // The one by hand is not of the loop.
            starts.fetch_sub(1, Ordering::Relaxed);
            pool.stop().await?;
        }
    }
    seen.starts = starts.load(Ordering::Relaxed);
    Ok(seen)
}

/// What this process has used so far.
fn processor_time() -> Result<Duration, Failure> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(Duration::new(u64::try_from(now.tv_sec)?, u32::try_from(now.tv_nsec)?))
}
