//! From nothing to the first answer of a Python worker, against the bare interpreter; and what a worker costs while it waits.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use procall_pool::Pool;

const ROUNDS: usize = 10;
const IDLE: Duration = Duration::from_secs(3);

type Failure = Box<dyn std::error::Error>;

/// Measures and prints a few lines.
pub(crate) fn print() -> Result<(), Failure> {
    let worker = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/py_worker.py");
    let (mut bare, mut first) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        if !Command::new("python3").args(["-c", "pass"]).status()?.success() {
            return Err("python3 -c pass failed".into());
        }
        bare.push(millis(start));
        let start = Instant::now();
        let pool = Pool::spawn(&worker).workers(1).start().wait()?;
        let sum: i64 = pool.call("add", (1, 2)).wait()?;
        first.push(millis(start));
        assert_eq!(sum, 3);
        pool.stop().wait()?;
    }
    println!("\npython3 -c pass                {}", spread(&mut bare));
    println!("spawn to first answer, Python  {}", spread(&mut first));

    let pool = Pool::spawn(&worker).workers(1).start().wait()?;
    let pid =
        pool.workers().first().and_then(|worker| worker.pid).ok_or("the worker has no process")?;
    let before = cpu_ticks(pid)?;
    std::thread::sleep(IDLE);
    let spent = cpu_ticks(pid)? - before;
    println!(
        "an idle Python worker          {spent} ticks of CPU time (10 ms each) in {} s",
        IDLE.as_secs()
    );
    pool.stop().wait()?;
    Ok(())
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

fn spread(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    format!(
        "{:.1} ms ({:.1}-{:.1}), {} times",
        values[values.len() / 2],
        values[0],
        values[values.len() - 1],
        values.len()
    )
}

/// User and system time of a process so far.
fn cpu_ticks(pid: u32) -> Result<u64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in brackets and may hold anything.
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |at: usize| {
        fields.get(at).and_then(|text| text.parse::<u64>().ok()).ok_or("an unreadable stat")
    };
    Ok(field(11)? + field(12)?)
}
