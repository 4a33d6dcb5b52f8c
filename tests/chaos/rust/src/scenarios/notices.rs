//! R08: one receiver of notifications stands still, and neither the sender nor the other receivers notice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use procall::{Bytes, CallOptions, Client, Encoding, Request};
use rustix::process::Signal;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Setting;
use crate::Failure;
use crate::ledger::{Ledger, Note};
use crate::load::{Work, call};
use crate::processes::{Stage, now, signal, status, until, worker};
use crate::report::{Found, percentile};

/// One stands still, nine do not: three of each language.
const RECEIVERS: [&str; 9] =
    ["rust", "rust", "rust", "python", "python", "python", "node", "node", "node"];
const RATE: u64 = 200;
const LEN: usize = 1_000;
/// `{"all": true}`: to all who serve the method.
const ALL: &[u8] = b"\x81\xa3all\xc3";

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let (stalled, ledger) = (Ledger::new()?, Arc::new(Ledger::new()?));
    let stage = Stage::new(setting, "rust", &stalled).await?;
    let mut others = Vec::new();
    for language in RECEIVERS {
        others.push(worker(setting, language, &stage.address, &ledger, &[])?);
    }
    let client = Client::connect(&stage.address).await?;
    let all_there = || stage_peers(&ledger) == RECEIVERS.len();
    if !until(all_there).await {
        return Err("not all receivers came up".into());
    }
    until_all_hear(&client, &ledger).await?;

    let engine = stage.engine.id().ok_or("an engine without a process")?;
    let count = RATE * u64::from(setting.scale);
    let pid = stage.worker.id().ok_or("a worker without a process")?;
    let (alone, _) = send(&client, 1, count).await?;
    let memory = status(engine, "VmRSS")?;
    signal(pid, Signal::STOP);
    let sent = send(&client, 1 + count, 2 * count).await;
    signal(pid, Signal::CONT);
    let (beside, blocked) = sent?;
    let grown = status(engine, "VmRSS")? - memory;

    let total = RECEIVERS.len() as u64 * 3 * count;
    let came = || ledger.notes("N").is_ok_and(|notes| at_work(&notes).count() as u64 >= total);
    until(came).await;
    let notes = ledger.notes("N")?;
    let mut each: HashMap<u64, u64> = HashMap::new();
    at_work(&notes).for_each(|note| *each.entry(note.id).or_default() += 1);
    let twice: u64 = each.values().map(|times| times.saturating_sub(RECEIVERS.len() as u64)).sum();
    let missing = total.saturating_sub(at_work(&notes).count() as u64);
    // The one that stood still is served like the others again.
    call(&procall::AsChannel::as_channel(&stage.client), "chaos.work", &stalled, Work::default())
        .await?;
    let mut heard: HashMap<u64, u64> = HashMap::new();
    at_work(&stalled.notes("N")?).for_each(|note| *heard.entry(note.id).or_default() += 1);
    let took = |sent: &HashMap<u64, u64>| -> Vec<Duration> {
        let late = |note: &Note| {
            Some(Duration::from_nanos(note.more.first()?.saturating_sub(*sent.get(&note.id)?)))
        };
        at_work(&notes).filter_map(late).collect()
    };
    let (alone, beside) = (percentile(took(&alone), 0.99), percentile(took(&beside), 0.99));
    for mut other in others {
        other.kill().await?;
    }
    stage.end().await?;

    let mut found = Found::default();
    let shown = format!("{} to nine, {} to the one", at_work(&notes).count(), heard.len());
    found.figure("notifications heard", shown, "some", !heard.is_empty());
    found.promise(
        "heard twice",
        twice + heard.values().filter(|&&times| times > 1).count() as u64,
        "0",
    );
    found.figure("that nine did not hear", missing.to_string(), "0", missing == 0);
    let dropped = 3 * count - heard.len() as u64;
    found.figure("dropped for the one", dropped.to_string(), "any number", true);
    found.time("the sender was held up, at most", blocked, Duration::from_millis(1));
    let times = beside.as_secs_f64() / alone.as_secs_f64().max(1e-9);
    let shown = format!("{beside:.1?}, before {alone:.1?}");
    found.figure("heard within, p99", shown, "at most 1.5 times", times <= 1.5);
    let shown = format!("{:+.1} MiB", grown as f64 / 1024.0);
    found.figure("engine's memory meanwhile", shown, "at most +8 MiB", grown <= 8 << 10);
    Ok(found)
}

/// Those of the load; 0 only shows who listens.
fn at_work(notes: &[Note]) -> impl Iterator<Item = &Note> {
    notes.iter().filter(|note| note.id > 0)
}

/// Workers that have come up.
fn stage_peers(ledger: &Ledger) -> usize {
    std::fs::read_dir(ledger.folder()).map_or(0, Iterator::count)
}

fn notify(client: &Client, number: u64) -> Result<(), Failure> {
    let body = procall::Encoded::of(&(number, Bytes(vec![7; LEN])))?;
    let options = CallOptions { meta: ALL.to_vec(), ..CallOptions::default() };
    let request = Request::new("chaos.heard", Encoding::Msgpack, &body.bytes);
    Ok(client.connection().notify(request.with_options(options))?)
}

/// A worker's file is there before it has registered.
async fn until_all_hear(client: &Client, ledger: &Ledger) -> Result<(), Failure> {
    let begun = Instant::now();
    while ledger.notes("N")?.len() < 3 * RECEIVERS.len() {
        if begun.elapsed() > crate::processes::PATIENCE {
            return Err("not all receivers hear notifications".into());
        }
        notify(client, 0)?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// So many, one after the other: when each was sent, and how long it took at most.
async fn send(
    client: &Client,
    first: u64,
    count: u64,
) -> Result<(HashMap<u64, u64>, Duration), Failure> {
    let (mut sent, mut longest) = (HashMap::new(), Duration::ZERO);
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(RATE)?);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in first..first + count {
        ticks.tick().await;
        sent.insert(number, now());
        let begun = Instant::now();
        notify(client, number)?;
        longest = longest.max(begun.elapsed());
    }
    Ok((sent, longest))
}
