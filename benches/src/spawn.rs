//! From nothing to the first answer of a worker, against the bare program.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use procall_bench_load::{Figures, Task, percentiles};
use procall_pool::Pool;

use crate::programs::python;

type Failure = Box<dyn std::error::Error>;

/// At least so often, however short the window is.
const TIMES: usize = 3;

/// Starts something again and again for the window; what `start` returns ends after the clock was read.
fn again<T>(
    task: &Task,
    mut start: impl FnMut() -> Result<T, Failure>,
    end: impl Fn(T) -> Result<(), Failure>,
) -> Result<Figures, Failure> {
    let begin = Instant::now();
    let mut nanos = Vec::new();
    while nanos.len() < TIMES || begin.elapsed() < task.window {
        let before = Instant::now();
        let started = start()?;
        nanos.push(before.elapsed().as_nanos() as u64);
        end(started)?;
    }
    let (p50_us, _) = percentiles(&mut nanos);
    Ok(Figures::from([("start_ms".to_owned(), p50_us / 1000.0)]))
}

/// A program that begins and ends.
fn bare(task: &Task, program: &Path, args: &[&str]) -> Result<Figures, Failure> {
    again(
        task,
        || Ok(Command::new(program).args(args).status()?),
        |status| {
            if status.success() { Ok(()) } else { Err(format!("it ended with {status}").into()) }
        },
    )
}

/// A pool of one worker, until that has answered.
fn worker(task: &Task, file: &Path, args: &[&str]) -> Result<Figures, Failure> {
    let first_answer = || {
        let pool = Pool::spawn(file).args(args.to_vec()).workers(1).start().wait()?;
        let sum: i64 = pool.call("add", (1, 2)).wait()?;
        assert_eq!(sum, 3);
        Ok(pool)
    };
    again(task, first_answer, |pool| Ok(pool.stop().wait()?))
}

/// Does a role of this section; `None` if it is another's.
pub(crate) fn run(task: &Task) -> Option<Result<Figures, Failure>> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    Some(match &*task.role {
        "call-spawn-true" => bare(task, Path::new("true"), &[]),
        "call-spawn-bare-python" => bare(task, &python(".venv"), &["-c", "pass"]),
        "call-spawn-bare-node" => bare(task, Path::new("node"), &["-e", "0"]),
        "call-spawn-python" => worker(task, &scripts.join("py_worker.py"), &[]),
        "call-spawn-node" => worker(task, &scripts.join("node_worker.mjs"), &[]),
        "call-spawn-rust" => match std::env::current_exe() {
            Ok(program) => worker(task, &program, &["serve-worker", "-"]),
            Err(error) => Err(error.into()),
        },
        _ => return None,
    })
}
