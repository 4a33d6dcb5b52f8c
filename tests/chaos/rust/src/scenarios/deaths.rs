//! R22 and R23: workers end in every way there is, the caller reads which it was, and nobody else notices.

use std::sync::Arc;
use std::time::Duration;

use procall::ErrorCode;
use procall_pool::WorkerState;

use super::restarts::at_once;
use super::{LANGUAGES, Setting};
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::{Work, begin, call, finish, mixed};
use crate::processes::until;
use crate::report::Found;

/// How a worker ends, and what its callers are to read of it.
const WAYS: [(&str, &str); 6] = [
    ("kill", "SIGKILL"),
    ("segv", "SIGSEGV"),
    ("abort", "SIGABRT"),
    ("exit", "code 7"),
    ("exit-call", "SystemExit"),
    ("rejection", "nobody catches this"),
];
/// What each language cannot do.
const MISSING: [(&str, &str); 4] =
    [("rust", "exit-call"), ("rust", "rejection"), ("python", "rejection"), ("node", "exit-call")];
const POISONS: u64 = 2;

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let mut found = Found::default();
    let ledger = Arc::new(Ledger::new()?);
    let (mut deaths, mut unnamed) = (0, Vec::new());
    for language in LANGUAGES {
        let pool = setting.pool(language, &ledger)?.workers(2).restart(at_once()).start().await?;
        let names: Vec<_> = pool.workers().iter().map(|worker| worker.name.clone()).collect();
        for round in 0..setting.scale {
            for (way, words) in WAYS.iter().filter(|(way, _)| !MISSING.contains(&(language, way))) {
                // The sibling has a call in hand all the while.
                let id = ledger.open();
                let (nonce, deadline) = (mixed(id) >> 1, Duration::from_secs(30));
                let arguments = (id, nonce, 100_u64, procall::Bytes(vec![1; 8]));
                let sibling = pool.call::<(u64, procall::Bytes)>("work", arguments);
                let sibling = sibling.to(names[1].clone()).deadline(deadline);
                let victim = pool.call::<u64>("die", (u64::from(round), *way)).retries(0);
                let victim = victim.to(names[0].clone()).into_future();
                let (sibling, victim) = tokio::join!(sibling.into_future(), victim);
                let own = sibling.as_ref().map(|reply| reply.0 == nonce);
                ledger.close(id, own, Duration::ZERO, deadline);
                let told = victim.err().map(|error| format!("{error} {error:?}"));
                deaths += 1;
                if !told.as_ref().is_some_and(|told| told.contains(words)) {
                    unnamed.push(format!("{language} {way}: {told:?}"));
                }
                let ready = || pool.workers().iter().all(|one| one.state == WorkerState::Ready);
                if !until(ready).await {
                    return Err(format!("{language}, {way}: the worker does not come back").into());
                }
            }
        }
        pool.stop().await?;
    }
    unnamed.iter().for_each(|one| eprintln!("not named: {one}"));
    found.figure("workers that ended", deaths.to_string(), "some", deaths > 0);
    found.promise("ends without the right words", unnamed.len() as u64, "0");
    found.flawless(&ledger.verdict()?);
    Ok(found)
}

pub(super) async fn poison(setting: &Setting) -> Result<Found, Failure> {
    let mut found = Found::default();
    let ledger = Arc::new(Ledger::new()?);
    let (mut poisons, mut other, mut dead) = (0, 0, 0);
    for language in LANGUAGES {
        let pool = setting.pool(language, &ledger)?.workers(4).restart(at_once()).start().await?;
        let time = Duration::from_millis(500) * setting.scale;
        let load = begin(&pool, "work", &ledger, (100, time), |_| Work::default());
        let poisoning = async {
            for round in 0..POISONS * u64::from(setting.scale) {
                let id = (1 << 50) + round;
                match pool.call::<u64>("die", (id, "kill")).retries(5).await {
                    Err(error) if error.code() == ErrorCode::Poison => poisons += 1,
                    _ => other += 1,
                }
                // A client that is out of retries by its budget does not learn it: those go well bring it back.
                for _ in 0..50 {
                    let channel = procall::AsChannel::as_channel(&pool);
                    // What came of it is in the ledger.
                    let _ = call(&channel, "work", &ledger, Work::default()).await;
                }
            }
        };
        let (load, ()) = tokio::join!(load, poisoning);
        finish(load).await;
        let channel = procall::AsChannel::as_channel(&pool);
        dead += u64::from(call(&channel, "work", &ledger, Work::default()).await.is_err());
        pool.stop().await?;
    }
    let notes = ledger.notes("D")?;
    let mut each = std::collections::HashMap::<u64, u64>::new();
    for note in &notes {
        *each.entry(note.id).or_default() += 1;
    }
    // The same numbers in each language.
    let most = 2 * LANGUAGES.len() as u64;
    let too_many: u64 = each.values().map(|deaths| deaths.saturating_sub(most)).sum();
    found.figure("calls that cost two workers", poisons.to_string(), "some", poisons > 0);
    found.promise("with another end than POISON", other, "0");
    found.figure("workers that they cost", notes.len().to_string(), "some", !notes.is_empty());
    found.promise("workers lost beyond two for each", too_many, "0");
    found.promise("pools that served nobody afterwards", dead, "0");
    found.ledger(&ledger.verdict()?);
    Ok(found)
}
