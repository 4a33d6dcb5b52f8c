//! R13 and R15: workers are killed and come back, again and again, and nothing of it is left.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use procall::OnTimeout;
use procall_pool::{Pool, RestartPolicy, WorkerState};
use tokio::time::Instant;

use super::{LANGUAGES, Setting};
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::{Work, call};
use crate::processes::{held, kill, status, until};
use crate::report::{Found, percentile};

const CYCLES: usize = 6;
const ROUNDS: usize = 8;
/// Descriptors, memfds and threads may differ by this from those of the beginning.
const MORE: i64 = 2;

/// As many restarts as there will be kills are no crash loop here.
pub(super) fn at_once() -> RestartPolicy {
    let pause = Duration::from_millis(1);
    RestartPolicy {
        backoff: pause,
        max_backoff: pause,
        max_restarts: u32::MAX,
        ..RestartPolicy::default()
    }
}

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let ledger = Ledger::new()?;
    let (mut back, mut deaf, mut cycles) = (Vec::new(), 0, 0);
    for language in LANGUAGES {
        let pool = setting.pool(language, &ledger)?.workers(2).restart(at_once()).start().await?;
        for cycle in 0..CYCLES * setting.scale as usize {
            let index = cycle % 2;
            let before = pool.workers()[index].clone();
            let killed = Instant::now();
            kill(before.pid.ok_or("a worker without a process")?);
            let ready = || {
                let worker = &pool.workers()[index];
                worker.restarts > before.restarts && worker.state == WorkerState::Ready
            };
            let ready = until(ready).await;
            back.push(killed.elapsed());
            let probe = (1_u64 << 50, 3_u64, 0_u64, procall::Bytes(Vec::new()));
            let probe = pool.call::<(u64, procall::Bytes)>("work", probe).to(before.name);
            deaf += u64::from(!ready || !matches!(probe.await, Ok((3, _))));
            cycles += 1;
        }
        pool.stop().await?;
    }
    let mut found = Found::default();
    found.figure("workers killed", cycles.to_string(), "some", cycles > 0);
    found.promise("workers that were deaf afterwards", deaf, "0");
    found.time("ready again within, p99", percentile(back, 0.99), Duration::from_secs(1));
    Ok(found)
}

/// Children of this process that have ended and were not reaped.
fn zombies() -> Result<u64, Failure> {
    let mut zombies = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        // A thread that has ended meanwhile has no children.
        let children = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            zombies +=
                u64::from(stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")));
        }
    }
    Ok(zombies)
}

/// Names of this process's own in the folders where a pool could leave some.
fn names() -> usize {
    let own = format!("procall-{}-", std::process::id());
    let folders = [Some(std::env::temp_dir()), std::env::var_os("XDG_RUNTIME_DIR").map(Into::into)];
    let entries = folders.into_iter().flatten().filter_map(|folder| fs::read_dir(folder).ok());
    let names = entries.flatten().filter_map(Result::ok);
    names.filter(|name| name.file_name().to_string_lossy().starts_with(&own)).count()
}

pub(super) async fn residue(setting: &Setting) -> Result<Found, Failure> {
    let ledger = Arc::new(Ledger::new()?);
    let own = std::process::id();
    // The threads and descriptors of the process itself come with the first pools.
    for language in LANGUAGES {
        cycle(setting, language, &ledger, 0).await?;
    }
    let (before, memory) = (held(own)?, status(own, "VmRSS")?);
    let (mut rounds, mut most_zombies) = (0, 0);
    for round in 0..ROUNDS * setting.scale as usize {
        for language in LANGUAGES {
            cycle(setting, language, &ledger, round).await?;
            most_zombies = most_zombies.max(zombies()?);
            rounds += 1;
        }
    }
    // Threads that were told to end need a moment for it.
    let same = || {
        held(own).is_ok_and(|now| now.iter().zip(before).all(|(now, was)| now.abs_diff(was) <= 2))
    };
    until(same).await;
    let mut found = Found::default();
    found.figure("pools that came and went", rounds.to_string(), "some", rounds > 0);
    found.ledger(&ledger.verdict()?);
    for ((what, now), was) in
        ["descriptors", "memfds", "threads"].into_iter().zip(held(own)?).zip(before)
    {
        let more = u64::try_from(now - was - MORE).unwrap_or(0);
        found.promise(&format!("{what} left, of {was}"), more, "0");
    }
    found.promise("zombies left", zombies()?, "0");
    found.figure("zombies at most", most_zombies.to_string(), "at most 1", most_zombies <= 1);
    found.promise("names left", names() as u64, "0");
    let grown = status(own, "VmRSS")? - memory;
    let shown = format!("{:+.1} MiB", grown as f64 / 1024.0);
    found.figure("memory", shown, "at most +8 MiB", grown <= 8 << 10);
    Ok(found)
}

/// A pool that ends in one of four ways, after calls that end in three.
async fn cycle(
    setting: &Setting,
    language: &str,
    ledger: &Arc<Ledger>,
    round: usize,
) -> Result<(), Failure> {
    let pool = setting.pool(language, ledger)?.workers(1).restart(at_once()).start().await?;
    let channel = procall::AsChannel::as_channel(&pool);
    call(&channel, "work", ledger, Work::default()).await?;
    let late = pool.call::<u64>("wait", (1_u64 << 50, 60_000_u64));
    let late = late.deadline(Duration::from_millis(5)).on_timeout(OnTimeout::Restart).await;
    if late.is_ok() {
        return Err("a call of a minute was over in 5 ms".into());
    }
    end(pool, round).await
}

async fn end(pool: Pool, round: usize) -> Result<(), Failure> {
    match round % 4 {
        0 => pool.stop().await?,
        1 => pool.close(),
        2 => {
            if let Some(pid) = pool.workers()[0].pid {
                kill(pid);
            }
            pool.close();
        }
        _ => drop(pool),
    }
    Ok(())
}
