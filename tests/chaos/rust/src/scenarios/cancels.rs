//! R04: what nobody waits for any more is told so, frees its place, and harms nobody else.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use procall::{AsChannel, Call, Client};
use procall_pool::Pool;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;

use super::{LANGUAGES, Setting};
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::{Work, begin, finish, mixed};
use crate::processes::{Stage, kill, now, until};
use crate::report::{Found, percentile};

/// Cancels in each language, and how many calls there are at once.
const CANCELS: u64 = 300;
const AT_ONCE: u64 = 24;
/// Clients that are killed, in each language.
const CLIENTS: u64 = 3;
/// The numbers of calls that are cancelled; below them are those of the ledger, which must all end well.
const FIRST: u64 = 1 << 50;
/// A handler that is not told would be seen long before its own end.
const ENDLESS: u64 = 120_000;
/// Items that may be on their way to the engine, and from there to the client.
const WINDOWS: u64 = 2 * 64;

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let ledger = Arc::new(Ledger::new()?);
    let mut found = Found::default();
    let (mut told, mut stopped) = (Vec::new(), Vec::new());
    let (mut untold, mut held, mut went_on, mut too_many) = (0, 0, 0, 0);
    for (at, language) in (0..).zip(LANGUAGES) {
        let own = FIRST + (at << 40);
        let pool = setting.pool(language, &ledger)?.workers(2).concurrency(16).start().await?;
        let others = Duration::from_millis(500) * setting.scale;
        let load = begin(&pool, "work", &ledger, (100, others), |_| Work::default());
        let (others, cancelled) =
            tokio::join!(load, cancel(&pool, own, CANCELS * u64::from(setting.scale)));
        finish(others).await;
        let idle = || pool.workers().iter().all(|worker| worker.in_flight == 0);
        held += u64::from(!until(idle).await);
        pool.stop().await?;
        let when: HashMap<u64, u64> =
            ledger.notes("C")?.iter().map(|note| (note.id, note.more[0])).collect();
        for note in ledger.notes("S")?.iter().filter(|note| note.id >= own) {
            match (cancelled.get(&note.id), when.get(&note.id)) {
                (Some(cancelled), Some(heard)) => {
                    told.push(Duration::from_nanos(heard.saturating_sub(*cancelled)));
                }
                _ => untold += 1,
            }
        }

        let stage = Stage::new(setting, language, &ledger).await?;
        let count = CLIENTS * u64::from(setting.scale);
        let load = (100, Duration::from_millis(500));
        let others = begin(&stage.client, "chaos.work", &ledger, load, |_| Work::default()).await;
        for number in 0..count {
            let id = own + (1 << 39) + number;
            let (read, killed) = vanish(&stage.address, id).await?;
            let mut end = None;
            let ended = || {
                // A file that is being written is read again.
                let notes = ledger.notes("P").unwrap_or_default();
                end = notes.into_iter().find(|note| note.id == id);
                end.is_some()
            };
            until(ended).await;
            let Some(end) = end else {
                went_on += 1;
                continue;
            };
            too_many += u64::from(end.more[0] > read + WINDOWS);
            stopped.push(Duration::from_nanos(end.more[1].saturating_sub(killed)));
        }
        finish(others).await;
        stage.end().await?;
    }
    found.flawless(&ledger.verdict()?);
    found.figure("handlers cancelled", told.len().to_string(), "some", !told.is_empty());
    found.promise("handlers that were not told", untold, "0");
    found.promise("pools that kept a place taken", held, "0");
    found.time("handlers told within, p99", percentile(told, 0.99), Duration::from_millis(50));
    found.figure("clients killed", stopped.len().to_string(), "some", !stopped.is_empty());
    found.promise("streams that went on without a reader", went_on, "0");
    found.promise("streams ahead by more than their windows", too_many, "0");
    found.time("streams ended within, p99", percentile(stopped, 0.99), Duration::from_secs(1));
    Ok(found)
}

/// Makes calls and gives them up after a while; when that was, of each.
async fn cancel(pool: &Pool, first: u64, count: u64) -> HashMap<u64, u64> {
    let mut callers = JoinSet::new();
    for lane in 0..AT_ONCE {
        let channel = pool.as_channel();
        callers.spawn(async move {
            let mut cancelled = Vec::new();
            for id in (first + lane..first + count).step_by(AT_ONCE as usize) {
                let call = Call::<u64>::new(&channel, "wait", (id, ENDLESS)).deadline(2 * PATIENT);
                let moment = Duration::from_micros(mixed(id) % 20_000);
                // It is given up here, or it has failed, which the missing entry shows.
                if tokio::time::timeout(moment, call).await.is_err() {
                    cancelled.push((id, now()));
                }
            }
            cancelled
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

const PATIENT: Duration = Duration::from_secs(60);

/// A client in a process of its own, which reads some of a stream and is killed: how much it had read, and when it was killed.
async fn vanish(address: &str, id: u64) -> Result<(u64, u64), Failure> {
    let mut client = Command::new(std::env::current_exe()?);
    client.args(["reader", address, &id.to_string()]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut client = client.spawn()?;
    let output = client.stdout.take().ok_or("a reader says how much it has read")?;
    let line = BufReader::new(output).lines().next_line().await?;
    let read = line.ok_or("a reader ended before it was killed")?.parse()?;
    let (pid, killed) = (client.id().ok_or("a reader without a process")?, now());
    kill(pid);
    client.wait().await?;
    Ok((read, killed))
}

/// The part of the client: reads a few items, says so, and reads no more.
pub(crate) async fn reader(address: &str, id: u64) -> Result<(), Failure> {
    let client = Client::connect(address).await?;
    let mut items = client.stream::<(u64, procall::Bytes)>("chaos.count", (id, u64::MAX >> 1, 100));
    let wanted = 1 + mixed(id) % 100;
    for _ in 0..wanted {
        items.next().await.ok_or("a stream without end has ended")??;
    }
    println!("{wanted}");
    std::future::pending().await
}
