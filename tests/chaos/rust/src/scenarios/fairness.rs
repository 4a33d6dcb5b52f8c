//! R24: one client queues thousands of calls, and another one hardly notices.

use std::sync::Arc;
use std::time::Duration;

use procall::{AsChannel as _, Client};
use procall_engine::Engine;
use tokio::time::Instant;

use super::Setting;
use crate::Failure;
use crate::ledger::{Ledger, Outcome};
use crate::load::{Work, call, closed_loop};
use crate::processes::{until_served, worker};
use crate::report::{Found, percentile};

/// What the worker takes for one; it works on one at a time, so that it is the bottleneck and not the machine.
const MILLIS: u64 = 2;
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let mut found = Found::default();
    // With room for all that a connection carries at once, and with less: then most of the many are refused, and none of the few.
    for (what, queue) in [("queued", 4_096), ("beyond the queue", 64)] {
        let few = Arc::new(Ledger::new()?);
        let many = Arc::new(few.beside()?);
        let folder = tempfile::tempdir()?;
        let address = format!("unix:{}", folder.path().join("engine.sock").display());
        let engine = Engine::builder().queue(queue).listen(address.parse()?).start()?;
        let mut worker = worker(setting, "rust", &address, &few, &[("CHAOS_CONCURRENCY", "1")])?;
        let client = Client::connect(&address).await?;
        until_served(&client, &few.beside()?).await?;
        let channel = client.as_channel();
        let quiet = Instant::now();
        while quiet.elapsed() < Duration::from_secs(1) {
            let _ = call(&channel, "chaos.work", &few, light()).await;
            tokio::time::sleep(PAUSE).await;
        }
        let before = few.outcomes().len();
        let greedy = Client::connect(&address).await?;
        let count = 1_000 * u64::from(setting.scale);
        let heavy = async {
            let work = |_| Work { millis: MILLIS, ..Work::default() };
            closed_loop(&greedy, "chaos.work", &many, (count, count), work).await;
        };
        let loaded = async {
            loop {
                // What came of it is in the ledger.
                let _ = call(&channel, "chaos.work", &few, light()).await;
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = heavy => {}
            () = loaded => {}
        }
        client.close();
        greedy.close();
        worker.kill().await?;
        engine.stop().await;
        let outcomes = few.outcomes().clone();
        let (before, during) = outcomes.split_at(before);
        let took = |part: &[Outcome]| percentile(part.iter().map(|one| one.took).collect(), 0.99);
        let refused = during.iter().filter(|one| one.result.is_err()).count() as u64;
        let wrong = during.iter().filter(|one| matches!(one.result, Ok(false))).count() as u64;
        let calls = format!("{} beside {}", during.len(), many.outcomes().len());
        found.figure(&format!("{what}: calls"), calls, "some", !during.is_empty());
        found.promise(&format!("{what}: refused for another's sake"), refused + wrong, "0");
        found.promise(
            &format!("{what}: of the many, without one outcome"),
            count - many.outcomes().len() as u64,
            "0",
        );
        let (before, during) = (took(before), took(during));
        let times = during.as_secs_f64() / before.as_secs_f64().max(1e-9);
        let shown = format!("{during:.1?}, alone {before:.1?}");
        found.figure(&format!("{what}: p99"), shown, "at most 5 times", times <= 5.0);
    }
    Ok(found)
}

fn light() -> Work {
    Work { millis: MILLIS, once: true, ..Work::default() }
}
