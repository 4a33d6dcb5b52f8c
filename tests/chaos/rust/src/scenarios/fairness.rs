//! R24: one client queues thousands of calls, and another one hardly notices.

use std::sync::Arc;
use std::time::Duration;

use procall::{AsChannel as _, Client};
use procall_engine::Engine;

use super::Setting;
use crate::Failure;
use crate::ledger::{Ledger, Outcome};
use crate::load::{Work, call, closed_loop, open_loop};
use crate::processes::{until_served, worker};
use crate::report::{Found, percentile};

/// What the worker takes for one; it works on one at a time, so that it is the bottleneck and not the machine.
const MILLIS: u64 = 2;
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let mut found = Found::default();
    // All at once, with room for what a connection carries at once; then four times as many as can be served, with little room.
    let count = 1_000 * u64::from(setting.scale);
    beside(&mut found, setting, "queued", 4_096, async |greedy, many| {
        let work = |_| Work { millis: MILLIS, ..Work::default() };
        closed_loop(greedy, "chaos.work", many, (count, count), work).await;
    })
    .await?;
    let rate = 4 * 1_000 / u32::try_from(MILLIS)?;
    beside(&mut found, setting, "line full", 64, async |greedy, many| {
        let work = |_| light();
        open_loop(greedy, "chaos.work", many, (rate, setting.seconds(2)), work).await;
    })
    .await?;
    Ok(found)
}

/// What the load of one client does to another one.
async fn beside(
    found: &mut Found,
    setting: &Setting,
    what: &str,
    queue: usize,
    load: impl AsyncFnOnce(&Client, &Arc<Ledger>),
) -> Result<(), Failure> {
    let few = Arc::new(Ledger::new()?);
    let many = Arc::new(few.beside()?);
    let folder = tempfile::tempdir()?;
    let address = format!("unix:{}", folder.path().join("engine.sock").display());
    let engine = Engine::builder().queue(queue).listen(address.parse()?).start()?;
    let mut worker = worker(setting, "rust", &address, &few, &[("CHAOS_CONCURRENCY", "1")])?;
    let client = Client::connect(&address).await?;
    until_served(&client, &few.beside()?).await?;
    let channel = client.as_channel();
    let modest = async {
        loop {
            // What came of it is in the ledger.
            let _ = call(&channel, "chaos.work", &few, light()).await;
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::pin!(modest);
    // Nothing ends it but the time.
    let _ = tokio::time::timeout(Duration::from_secs(1), &mut modest).await;
    let (before, first) = (few.outcomes().len(), many.calls());
    let greedy = Client::connect(&address).await?;
    tokio::select! {
        () = load(&greedy, &many) => {}
        () = &mut modest => {}
    }
    client.close();
    greedy.close();
    worker.kill().await?;
    engine.stop().await;

    let outcomes = few.outcomes().clone();
    let (before, during) = outcomes.split_at(before);
    let took = |part: &[Outcome]| percentile(part.iter().map(|one| one.took).collect(), 0.99);
    let bad = during.iter().filter(|one| one.result != Ok(true)).count() as u64;
    let others = many.outcomes().len() as u64;
    let shown = format!("{} beside {others}", during.len());
    found.figure(&format!("{what}: calls"), shown, "some", !during.is_empty());
    found.promise(&format!("{what}: failed for another's sake"), bad, "0");
    let made = many.calls() - first;
    found.promise(&format!("{what}: of the many, without one outcome"), made - others, "0");
    let (before, during) = (took(before), took(during));
    let times = during.as_secs_f64() / before.as_secs_f64().max(1e-9);
    let shown = format!("{during:.1?}, alone {before:.1?}");
    found.figure(&format!("{what}: p99"), shown, "at most 5 times", times <= 5.0);
    Ok(())
}

/// One that is made once: were it made again, nobody would see that it was refused.
fn light() -> Work {
    Work { millis: MILLIS, once: true, ..Work::default() }
}
