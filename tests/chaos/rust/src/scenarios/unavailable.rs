//! R05: a service that is down for everybody is not asked three times as often as one that is up.

use std::collections::HashMap;
use std::fs;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use procall::Executed;

use super::{LANGUAGES, Setting};
use crate::Failure;
use crate::ledger::{Ledger, Outcome};
use crate::load::{Work, open_loop};
use crate::processes::Stage;
use crate::report::Found;

const RATE: u32 = 300;

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let [rust, python, node] = LANGUAGES.map(|language| one(setting, language));
    let all = tokio::try_join!(rust, python, node)?;
    let figures = [all.0, all.1, all.2].into_iter().flat_map(|one| one.figures).collect();
    Ok(Found { figures })
}

async fn one(setting: &Setting, language: &str) -> Result<Found, Failure> {
    let mut found = Found::default();
    let ledger = Arc::new(Ledger::new()?);
    let stage = Stage::new(setting, language, &ledger).await?;
    let down = ledger.folder().join("down");
    let load = async |time| {
        let first = ledger.calls();
        let work = |_| Work { idempotent: true, ..Work::default() };
        open_loop(&stage.client, "chaos.fickle", &ledger, (RATE, time), work).await;
        first + 1..=ledger.calls()
    };
    let well = load(Duration::from_secs(1)).await;
    fs::write(&down, "")?;
    let ill = load(setting.seconds(1)).await;
    fs::remove_file(&down)?;
    // So long it may take before all is as it was.
    load(Duration::from_secs(u64::from(setting.scale.min(5)))).await;
    let healed = load(Duration::from_secs(1)).await;
    stage.end().await?;

    let mut attempts: HashMap<u64, u64> = HashMap::new();
    for note in ledger.notes("A")? {
        *attempts.entry(note.id).or_default() += 1;
    }
    // It says of each attempt that it began, but of those only that are not refused that the work did.
    let untrue = |one: &&Outcome| {
        matches!(one.result, Err((_, Executed::No))) && attempts.contains_key(&one.id)
    };
    let untrue = ledger.outcomes().iter().filter(untrue).count() as u64;
    let verdict = ledger.verdict()?;
    let wrong = verdict.lost + verdict.twice + verdict.crossed + untrue;
    found.promise(&format!("{language}: lost, twice, crossed or untrue"), wrong, "0");
    let made: u64 = ill.clone().filter_map(|id| attempts.get(&id)).sum();
    let offered = ill.count() as u64;
    let most = offered + offered / 10 + 10;
    let shown = format!("{made} for {offered} calls");
    found.figure(&format!("{language}: attempts while it was down"), shown, "some", made > 0);
    let more = made.saturating_sub(most);
    found.promise(&format!("{language}: attempts beyond 1.1 times the calls, and 10"), more, "0");
    let succeeded = ledger.succeeded();
    let share = |ids: RangeInclusive<u64>| {
        let all = ids.clone().count().max(1);
        100.0 * ids.filter(|id| succeeded.contains(id)).count() as f64 / all as f64
    };
    let (before, after) = (share(well), share(healed));
    let shown = format!("{after:.1} %, before {before:.1} %");
    let held = after >= 0.95 * before;
    found.figure(&format!("{language}: served afterwards"), shown, "at least 95 % of it", held);
    Ok(found)
}
