//! The work: every file through every worker that has something to say about it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use procall::{Call, Error, ErrorCode};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::files::is_markdown;
use crate::ledger::{Answer, Ledger, Timing};
use crate::workers::Workers;

/// Files in work at the same time.
const AT_ONCE: usize = 32;

/// Takes all files through; kills a Python worker when half are done.
pub(crate) async fn run(workers: &Workers, files: Vec<PathBuf>, ledger: &mut Ledger) {
    let bar = ProgressBar::new(files.len() as u64);
    // A bar on a terminal, nothing elsewhere.
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} files  {per_sec}  {msg}")
    {
        bar.set_style(style);
    }
    let half = files.len() / 2;
    let workers = Arc::new(workers.clone());
    let mut files = files.into_iter().enumerate();
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() < AT_ONCE
            && let Some((index, path)) = files.next()
        {
            let workers = workers.clone();
            tasks.spawn(async move { (index, answer(&workers, path).await) });
        }
        let Some(finished) = tasks.join_next().await else { break };
        match finished {
            Ok((index, answer)) => ledger.enter(index, answer),
            Err(error) => ledger.fault(format!("a task ended badly: {error}")),
        }
        bar.inc(1);
        if ledger.answers() == half
            && let Some((name, pid)) = workers.kill_one()
        {
            bar.set_message(format!("{name} (pid {pid}) was killed"));
            ledger.killed(format!("{name} (pid {pid})"));
        }
    }
    bar.finish_and_clear();
}

/// The one answer of a file.
async fn answer(workers: &Workers, path: PathBuf) -> Result<Answer, String> {
    let bytes =
        tokio::fs::read(&path).await.map_err(|error| format!("{}: {error}", path.display()))?;
    let text = std::str::from_utf8(&bytes).ok();
    let mut timings = Vec::new();
    let named = |error: Error| format!("{}: {error:?}", path.display());
    let digest = timed("rust", &mut timings, || workers.digest(bytes.clone().into()))
        .await
        .map_err(named)?;
    let mut keywords = Vec::new();
    let mut html = 0;
    if let Some(text) = text {
        keywords = timed("python", &mut timings, || workers.keywords(text)).await.map_err(named)?;
        if is_markdown(&path) {
            html = timed("node", &mut timings, || workers.render(text)).await.map_err(named)?.len();
        }
    }
    Ok(Answer { path, digest, keywords, html, timings })
}

/// Makes a call and times it. These methods may run more than once without harm, so a call whose worker died is made again.
async fn timed<R: DeserializeOwned>(
    language: &'static str,
    timings: &mut Vec<Timing>,
    call: impl Fn() -> Call<R>,
) -> Result<R, Error> {
    let start = Instant::now();
    let mut lost = 0;
    loop {
        match call().await {
            Err(error) if error.code() == ErrorCode::WorkerLost && lost < 2 => lost += 1,
            result => {
                let took: Duration = start.elapsed();
                timings.push(Timing { language, took, lost });
                return result;
            }
        }
    }
}
