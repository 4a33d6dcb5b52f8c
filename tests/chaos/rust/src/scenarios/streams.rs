//! R09: streams arrive whole and in order, or end with an error; a slow reader costs the engine no memory.

use std::time::Duration;

use procall::{Bytes, Client};
use serde::Deserialize;

use super::{LANGUAGES, Setting};
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::mixed;
use crate::processes::{PATIENCE, Stage, program, status, worker};
use crate::report::Found;

/// Items for each pair of languages, and the bytes of an item at most.
const ITEMS: u64 = 300;
const MOST: u64 = 64 << 10;
/// Workers that are killed while they give a stream, in each language.
const KILLS: u64 = 2;
/// How often a slow reader takes an item.
const SLOWLY: Duration = Duration::from_millis(100);

/// What a reader saw.
#[derive(Debug, Default, Clone, Deserialize)]
struct Seen {
    items: u64,
    /// Items in the wrong place, or with other bytes than they should have.
    wrong: u64,
    /// The code of the error that ended it.
    error: Option<String>,
}

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let ledger = Ledger::new()?;
    let mut found = Found::default();
    let (mut items, mut wrong, mut short) = (0, 0, 0);
    let (mut truncated, mut unreported, mut grown) = (0, 0, 0);
    let n = ITEMS * u64::from(setting.scale);
    for (at, language) in (0_u64..).zip(LANGUAGES) {
        let mut stage = Stage::new(setting, language, &ledger).await?;
        for reader in LANGUAGES {
            let id = (1 << 50) + at;
            let seen = match reader {
                "rust" => read(&stage.client, id, n, |_| {}).await,
                other => read_by(setting, other, &stage.address, id, n).await?,
            };
            items += seen.items;
            wrong += seen.wrong;
            short += u64::from(seen.items != n || seen.error.is_some());
        }

        let engine = stage.engine.id().ok_or("an engine without a process")?;
        let before = status(engine, "VmRSS")?;
        let mut slow =
            stage.client.stream::<(u64, Bytes)>("chaos.count", (at, u64::MAX >> 1, MOST));
        for _ in 0..10 * setting.scale {
            slow.next().await.ok_or("a stream without end has ended")??;
            tokio::time::sleep(SLOWLY).await;
        }
        grown = grown.max(status(engine, "VmRSS")? - before);
        drop(slow);

        for round in 0..KILLS * u64::from(setting.scale) {
            let after = mixed(round) % 100;
            let worker_now = &mut stage.worker;
            let seen = read(&stage.client, 1 << 51, u64::MAX >> 1, |item| {
                if item == after {
                    // It may have ended by itself, which the reader sees too.
                    let _ = worker_now.start_kill();
                }
            });
            let seen = tokio::time::timeout(PATIENCE, seen).await.unwrap_or_default();
            truncated += 1;
            unreported += u64::from(seen.error.is_none());
            wrong += seen.wrong;
            stage.worker.wait().await?;
            stage.worker = worker(setting, language, &stage.address, &ledger, &[])?;
            crate::processes::until_served(&stage.client, &ledger.beside()?).await?;
        }
        stage.end().await?;
    }
    found.figure("items between nine pairs", items.to_string(), "some", items > 0);
    found.promise("items that are missing, twice, late or changed", wrong, "0");
    found.promise("whole streams that did not arrive whole", short, "0");
    found.figure("streams cut short", truncated.to_string(), "some", truncated > 0);
    found.promise("cut short without an error", unreported, "0");
    let shown = format!("{:+.1} MiB", grown as f64 / 1024.0);
    found.figure("engine's memory with a slow reader", shown, "at most +8 MiB", grown <= 8 << 10);
    Ok(found)
}

/// Reads a stream of `chaos.count` with pauses at random, and looks at each item.
async fn read(client: &Client, id: u64, n: u64, mut each: impl FnMut(u64)) -> Seen {
    let mut seen = Seen::default();
    let mut stream = client.stream::<(u64, Bytes)>("chaos.count", (id, n, MOST));
    while let Some(item) = stream.next().await {
        match item {
            Ok((at, Bytes(bytes))) => {
                let len = (at * 7919 + id) % (MOST + 1);
                let whole = bytes.len() as u64 == len && bytes.iter().all(|&byte| byte == at as u8);
                seen.wrong += u64::from(at != seen.items || !whole);
                seen.items += 1;
                each(at);
            }
            Err(error) => seen.error = Some(error.code().name().to_owned()),
        }
        if mixed(seen.items).is_multiple_of(50) {
            tokio::time::sleep(Duration::from_millis(mixed(seen.items) >> 8 & 15)).await;
        }
    }
    seen
}

/// The same by a program of another language, which says what it saw as JSON.
async fn read_by(
    setting: &Setting,
    language: &str,
    address: &str,
    id: u64,
    n: u64,
) -> Result<Seen, Failure> {
    let file = match language {
        "python" => "python/reader.py",
        _ => "node/reader.mjs",
    };
    let mut reader = program(setting.home.join(file));
    let numbers = [id, n, MOST].map(|number| number.to_string());
    let output = reader.arg(address).args(numbers).kill_on_drop(true).output().await?;
    if !output.status.success() {
        return Err(format!("{file}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
