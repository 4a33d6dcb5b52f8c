//! R01: nothing goes wrong, and nothing does.

use std::sync::Arc;
use std::time::Duration;

use procall::transport::shm::Choice;

use super::{LANGUAGES, Setting};
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::{Work, closed_loop, mixed};
use crate::report::Found;

const CALLS: u64 = 2_000;

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let ledger = Arc::new(Ledger::new()?);
    for language in LANGUAGES {
        for choice in [Choice::Unix, Choice::Shm] {
            let pool = setting.pool(language, &ledger)?.workers(2).talk_by(choice).start().await?;
            let count = CALLS * u64::from(setting.scale);
            closed_loop(&pool, "work", &ledger, (count, 32), work).await;
            pool.stop().await?;
        }
    }
    let mut found = Found::default();
    found.flawless(&ledger.verdict()?);
    Ok(found)
}

/// Mostly small, sometimes long: as long as a message, and longer.
fn work(number: u64) -> Work {
    let dice = mixed(number);
    let len = match dice % 100 {
        0 => dice >> 8 & 0xf_ffff,
        1..10 => dice >> 8 & 0xffff,
        _ => dice >> 8 & 0xff,
    };
    Work { len: len as usize, deadline: Duration::from_secs(60), ..Work::default() }
}
