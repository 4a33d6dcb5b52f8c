//! Clocks around calls.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{Figures, Task, Workload};

/// What one run of a cell with small calls measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Median of the sequential round trip in microseconds.
    pub p50_us: f64,
    /// 99th percentile of the same.
    pub p99_us: f64,
    /// Calls per second with 64 in flight; 0 where that was not measured.
    pub per_second: f64,
}

impl From<Measured> for Figures {
    fn from(measured: Measured) -> Self {
        let mut figures = alone(measured.p50_us, measured.p99_us);
        figures.insert("per_second".to_owned(), measured.per_second);
        figures
    }
}

/// The figures of a round trip.
pub fn alone(p50_us: f64, p99_us: f64) -> Figures {
    Figures::from([("p50_us".to_owned(), p50_us), ("p99_us".to_owned(), p99_us)])
}

/// The figures of a round trip that carries `bytes`.
pub fn payload(bytes: usize, (p50_us, p99_us): (f64, f64)) -> Figures {
    let mut figures = alone(p50_us, p99_us);
    figures.insert("gb_per_second".to_owned(), bytes as f64 / p50_us / 1000.0);
    figures
}

/// What a handler does with a payload: it reads one byte of each page.
pub fn touch(payload: &[u8]) -> u64 {
    payload.iter().step_by(4096).map(|&byte| u64::from(byte)).sum()
}

/// Calls measured in flight.
pub const IN_FLIGHT: usize = 64;

/// Times single calls for `window`, after a tenth of it to warm up: the median and the 99th percentile in microseconds.
pub fn latency(window: Duration, mut call: impl FnMut()) -> (f64, f64) {
    let warm = Instant::now();
    while warm.elapsed() < window / 10 {
        call();
    }
    let mut nanos: Vec<u64> = Vec::with_capacity(1 << 20);
    let start = Instant::now();
    let mut before = start;
    while before - start < window {
        call();
        let after = Instant::now();
        nanos.push((after - before).as_nanos() as u64);
        before = after;
    }
    percentiles(&mut nanos)
}

/// The median and the 99th percentile of a number of nanoseconds, in microseconds.
///
/// # Panics
///
/// When there are none.
pub fn percentiles(nanos: &mut [u64]) -> (f64, f64) {
    nanos.sort_unstable();
    let at = |part: f64| nanos[((nanos.len() - 1) as f64 * part) as usize] as f64 / 1000.0;
    (at(0.5), at(0.99))
}

/// Counts what `batch` completes in `window`, as a rate per second.
pub fn throughput(window: Duration, mut batch: impl FnMut() -> usize) -> f64 {
    batch();
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < window {
        done += batch();
    }
    done as f64 / start.elapsed().as_secs_f64()
}

/// Times awaited calls as [`latency`] times others.
pub async fn latency_of<F: Future<Output = ()>>(
    window: Duration,
    call: impl Fn(i64) -> F,
) -> (f64, f64) {
    let warm = Instant::now();
    while warm.elapsed() < window / 10 {
        call(1).await;
    }
    let start = Instant::now();
    let mut nanos = Vec::with_capacity(1 << 20);
    let mut before = start;
    while before - start < window {
        call(1).await;
        let after = Instant::now();
        nanos.push((after - before).as_nanos() as u64);
        before = after;
    }
    percentiles(&mut nanos)
}

/// Awaited calls: one after the other, then by 64 callers at once.
///
/// # Errors
///
/// When one of the callers panicked.
pub async fn measure<F>(
    window: Duration,
    call: impl Fn(i64) -> F + Clone + 'static,
) -> Result<Measured, Box<dyn std::error::Error>>
where
    F: Future<Output = ()> + 'static,
{
    let (p50_us, p99_us) = latency_of(window, call.clone()).await;
    let done = Rc::new(Cell::new(0_u64));
    let local = tokio::task::LocalSet::new();
    let start = Instant::now();
    let callers: Vec<_> = (0..IN_FLIGHT)
        .map(|n| {
            let (call, done) = (call.clone(), done.clone());
            local.spawn_local(async move {
                while start.elapsed() < window {
                    call(n as i64).await;
                    done.set(done.get() + 1);
                }
            })
        })
        .collect();
    local
        .run_until(async {
            for caller in callers {
                caller.await?;
            }
            Ok::<_, tokio::task::JoinError>(())
        })
        .await?;
    Ok(Measured { p50_us, p99_us, per_second: done.get() as f64 / start.elapsed().as_secs_f64() })
}

/// Does a caller's [`Task`] with awaited calls: `add` of a number and 1, and `touch` of the payload.
///
/// # Errors
///
/// When this caller knows no such workload, or one of the calling tasks panicked.
pub async fn drive<A, T>(
    task: &Task,
    add: impl Fn(i64) -> A + Clone + 'static,
    touch: impl Fn() -> T,
) -> Result<Figures, Box<dyn std::error::Error>>
where
    A: Future<Output = ()> + 'static,
    T: Future<Output = ()>,
{
    match task.workload {
        Workload::Stream => Err(format!("{} makes no streams", task.role).into()),
        Workload::Bytes(bytes) => Ok(payload(bytes, latency_of(task.window, |_| touch()).await)),
        _ => Ok(measure(task.window, add).await?.into()),
    }
}
