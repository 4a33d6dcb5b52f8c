//! What a process costs while it waits.

use std::time::{Duration, Instant};

use procall_bench_load::Figures;

type Failure = Box<dyn std::error::Error>;

/// The share of CPU time that a process takes within `window`, and its memory after that.
pub(crate) fn look(pid: u32, window: Duration) -> Result<Figures, Failure> {
    // What is left of its start is not what it costs to wait.
    std::thread::sleep(Duration::from_millis(300));
    let before = cpu_nanos(pid)?;
    let start = Instant::now();
    std::thread::sleep(window);
    let spent = cpu_nanos(pid)? - before;
    let share = spent as f64 / start.elapsed().as_nanos() as f64;
    Ok(Figures::from([
        ("cpu_percent".to_owned(), share * 100.0),
        ("pss_mib".to_owned(), pss_kib(pid)? as f64 / 1024.0),
    ]))
}

/// CPU time so far of all threads of a process.
pub(crate) fn cpu_nanos(pid: u32) -> Result<u64, Failure> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let spent = text.split_whitespace().next().ok_or("an empty schedstat")?;
        nanos += spent.parse::<u64>()?;
    }
    Ok(nanos)
}

/// Memory of a process, what it shares with others counted by its part.
pub(crate) fn pss_kib(pid: u32) -> Result<u64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().next()).ok_or("there is no Pss")?;
    Ok(number.parse()?)
}
