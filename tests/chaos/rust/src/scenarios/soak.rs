//! R38: mixed load for long, with a fault every five seconds: nothing grows.

use std::sync::Arc;
use std::time::Duration;

use procall::{AsChannel as _, Client};
use procall_engine::Engine;
use procall_pool::{Pool, RestartPolicy};
use tokio::time::Instant;

use super::Setting;
use crate::Failure;
use crate::ledger::{Ledger, Outcome};
use crate::load::{Work, call, mixed, open_loop};
use crate::processes::{held, kill, status, until_served, worker};
use crate::report::{Found, percentile};

const RATE: u32 = 100;
const FAULT: Duration = Duration::from_secs(5);
const SAMPLE: Duration = Duration::from_millis(200);
/// What this process may hold more at the end than at the beginning: a worker may be on its way up or down.
const MORE: i64 = 4;

/// A shorter time says nothing of what grows.
const LONG: Duration = Duration::from_secs(60);

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    /// Resident memory without the ledger, which grows with every call.
    kilobytes: i64,
    /// Descriptors, memfds among them, threads.
    things: [i64; 3],
}

impl Sample {
    fn take(at: Duration, ledger: &Ledger) -> Result<Self, Failure> {
        let written = ledger.outcomes().len() * size_of::<Outcome>() / 1024;
        let own = std::process::id();
        let kilobytes = status(own, "VmRSS")? - i64::try_from(written)?;
        Ok(Self { at, kilobytes, things: held(own)? })
    }
}

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let time = setting.seconds(10);
    let ledger = Arc::new(Ledger::new()?);
    let restart = RestartPolicy { max_restarts: u32::MAX, ..RestartPolicy::default() };
    let rust = setting.pool("rust", &ledger)?.workers(2).restart(restart.clone()).start().await?;
    let python = setting.pool("python", &ledger)?.workers(1).restart(restart).start().await?;
    let folder = tempfile::tempdir()?;
    let address = format!("unix:{}", folder.path().join("engine.sock").display());
    let engine = Engine::builder().listen(address.parse()?).start()?;
    let mut worker = worker(setting, "rust", &address, &ledger, &[])?;
    until_served(&Client::connect(&address).await?, &ledger.beside()?).await?;

    let choose = |number| {
        let dice = mixed(number);
        let len = if dice.is_multiple_of(50) { dice >> 8 & 0x3_ffff } else { dice >> 8 & 0xff };
        Work { millis: dice >> 40 & 3, len: len as usize, ..Work::default() }
    };
    let load = async {
        tokio::join!(
            open_loop(&rust, "work", &ledger, (RATE, time), choose),
            open_loop(&python, "work", &ledger, (RATE, time), choose),
            come_and_go(&address, &ledger, time),
        )
    };
    let mut samples = Vec::new();
    let ended: Result<(), Failure> = {
        let watching = watch(&mut samples, &ledger);
        let faults = kill_now_and_then([&rust, &python]);
        tokio::select! {
            (.., gone) = load => gone,
            result = watching => result,
            () = faults => Ok(()),
        }
    };
    ended?;
    rust.stop().await?;
    python.stop().await?;
    worker.kill().await?;
    engine.stop().await;
    report(&ledger, &samples)
}

/// A client that is new for each call.
async fn come_and_go(address: &str, ledger: &Ledger, time: Duration) -> Result<(), Failure> {
    let begun = Instant::now();
    while begun.elapsed() < time {
        let client = Client::connect(address).await?;
        call(&client.as_channel(), "chaos.work", ledger, Work::default()).await?;
        client.close();
    }
    Ok(())
}

async fn kill_now_and_then(pools: [&Pool; 2]) {
    for number in 0.. {
        tokio::time::sleep(FAULT).await;
        let workers = pools[number as usize % 2].workers();
        if let Some(pid) = workers[mixed(number) as usize % workers.len()].pid {
            kill(pid);
        }
    }
}

async fn watch(samples: &mut Vec<Sample>, ledger: &Ledger) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        samples.push(Sample::take(begun.elapsed(), ledger)?);
        tokio::time::sleep(SAMPLE).await;
    }
}

fn report(ledger: &Ledger, samples: &[Sample]) -> Result<Found, Failure> {
    let mut found = Found::default();
    found.ledger(&ledger.verdict()?);
    // The first third warms up.
    let warm = &samples[samples.len() / 3..];
    let least =
        |at: usize, part: &[Sample]| part.iter().map(|one| one.things[at]).min().unwrap_or(0);
    let (before, after) = warm.split_at(warm.len() / 2);
    let long = warm.last().zip(warm.first()).is_some_and(|(last, first)| last.at - first.at > LONG);
    let too_short = "too short a time to say";
    for (at, what) in ["descriptors", "memfds", "threads"].into_iter().enumerate() {
        let (first, last) = (least(at, before), least(at, after));
        let bound = if long { format!("at most {MORE} more") } else { too_short.to_owned() };
        let held = !long || last <= first + MORE;
        found.figure(what, format!("{first}, then {last}"), &bound, held);
    }
    let slope = slope(
        warm.iter().map(|one| (one.at.as_secs_f64() / 3_600.0, one.kilobytes as f64 / 1_024.0)),
    );
    let bound = if long { "at most 1 MiB/h" } else { too_short };
    found.figure("memory", format!("{slope:+.1} MiB/h"), bound, !long || slope <= 1.0);
    let outcomes = ledger.outcomes().clone();
    let took = |part: &[Outcome]| percentile(part.iter().map(|one| one.took).collect(), 0.99);
    let third = outcomes.len() / 3;
    let (first, last) = (took(&outcomes[..third]), took(&outcomes[2 * third..]));
    let ratio = last.as_secs_f64() / first.as_secs_f64().max(1e-9);
    let times = format!("{first:.1?}, then {last:.1?}");
    let bound = if long { "at most 1.2 times" } else { too_short };
    found.figure("p99 of the first third and the last", times, bound, !long || ratio <= 1.2);
    Ok(found)
}

/// Of the straight line that fits best, by least squares.
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = points.clone().count().max(1) as f64;
    let (x, y) = points.clone().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let (x, y) = (x / count, y / count);
    let (over, under) = points.fold((0.0, 0.0), |sum, one| {
        (sum.0 + (one.0 - x) * (one.1 - y), sum.1 + (one.0 - x).powi(2))
    });
    if under == 0.0 { 0.0 } else { over / under }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_slope_of_a_line_is_its_own() {
        let line = [0.0, 1.0, 2.0, 3.0].map(|x| (x, 2.5 * x - 4.0));
        assert!((super::slope(line.into_iter()) - 2.5).abs() < 1e-9);
        assert_eq!(super::slope([(1.0, 2.0)].into_iter()), 0.0);
    }
}
