//! R05: a service that is down for everybody is not asked three times as often as one that is up.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::{LANGUAGES, Setting};
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::{Work, open_loop};
use crate::processes::Stage;
use crate::report::Found;

const RATE: u32 = 300;

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let mut found = Found::default();
    for language in LANGUAGES {
        let ledger = Arc::new(Ledger::new()?);
        let stage = Stage::new(setting, language, &ledger).await?;
        let down = ledger.folder().join("down");
        let load = async |time| {
            let first = ledger.calls();
            let work = |_| Work::default();
            open_loop(&stage.client, "chaos.fickle", &ledger, (RATE, time), work).await;
            first + 1..=ledger.calls()
        };
        let well = load(Duration::from_secs(1)).await;
        fs::write(&down, "")?;
        let ill = load(setting.seconds(1)).await;
        fs::remove_file(&down)?;
        // So long it may take before all is as it was.
        let healing = load(Duration::from_secs(if setting.scale > 1 { 5 } else { 1 })).await;
        let healed = load(Duration::from_secs(1)).await;
        stage.end().await?;
        let mut attempts: HashMap<u64, u64> = HashMap::new();
        for note in ledger.notes("A")? {
            *attempts.entry(note.id).or_default() += 1;
        }
        let made: u64 = ill.clone().filter_map(|id| attempts.get(&id)).sum();
        let offered = ill.clone().count() as u64;
        let most = offered + offered / 10 + 10;
        let succeeded = ledger.succeeded();
        let share = |ids: std::ops::RangeInclusive<u64>| {
            let all = ids.clone().count().max(1);
            ids.filter(|id| succeeded.contains(id)).count() as f64 / all as f64
        };
        let verdict = ledger.verdict()?;
        let wrong = verdict.lost + verdict.twice + verdict.crossed + verdict.lies;
        found.promise(&format!("{language}: lost, twice, crossed or untrue"), wrong, "0");
        found.promise(&format!("{language}: ended well while it was down"), {
            ill.filter(|id| succeeded.contains(id) && attempts.get(id) == Some(&1)).count() as u64
        }, "0");
        let shown = format!("{made} for {offered} calls");
        let bound = format!("at most {most}");
        found.figure(&format!("{language}: attempts"), shown, &bound, made <= most);
        found.promise(&format!("{language}: attempts too many"), made.saturating_sub(most), "0");
        let (before, after) = (share(well), share(healed));
        let shown = format!("{:.1} %, while healing {:.1} %", 100.0 * after, 100.0 * share(healing));
        let held = after >= 0.95 * before;
        found.figure(&format!("{language}: served healed"), shown, "at least 95 %", held);
    }
    Ok(found)
}
