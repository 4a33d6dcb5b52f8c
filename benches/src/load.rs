//! How load is made and measured.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What one run of a cell measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Median of the sequential round trip in microseconds.
    pub(crate) p50_us: f64,
    /// 99th percentile of the same.
    pub(crate) p99_us: f64,
    /// Calls per second with 64 in flight.
    pub(crate) per_second: f64,
}

/// Calls measured in flight.
pub(crate) const IN_FLIGHT: usize = 64;

/// Times single calls for `window`, after a tenth of it to warm up.
pub(crate) fn latency(window: Duration, mut call: impl FnMut()) -> (f64, f64) {
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

pub(crate) fn percentiles(nanos: &mut [u64]) -> (f64, f64) {
    nanos.sort_unstable();
    let at = |part: f64| nanos[((nanos.len() - 1) as f64 * part) as usize] as f64 / 1000.0;
    (at(0.5), at(0.99))
}

/// Counts what `batch` completes in `window`.
pub(crate) fn throughput(window: Duration, mut batch: impl FnMut() -> usize) -> f64 {
    batch();
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < window {
        done += batch();
    }
    done as f64 / start.elapsed().as_secs_f64()
}

/// The same for calls that are awaited: one after the other, then by 64 callers at once.
pub(crate) async fn measure<F>(
    window: Duration,
    call: impl Fn(i64) -> F + Clone + 'static,
) -> Result<Measured, Box<dyn std::error::Error>>
where
    F: Future<Output = ()> + 'static,
{
    let start = Instant::now();
    let mut nanos = Vec::with_capacity(1 << 20);
    let mut before = start;
    while before - start < window {
        call(1).await;
        let after = Instant::now();
        nanos.push((after - before).as_nanos() as u64);
        before = after;
    }
    let (p50_us, p99_us) = percentiles(&mut nanos);
    let done = std::rc::Rc::new(std::cell::Cell::new(0_u64));
    let local = tokio::task::LocalSet::new();
    let start = Instant::now();
    let callers = (0..IN_FLIGHT).map(|n| {
        let (call, done) = (call.clone(), done.clone());
        local.spawn_local(async move {
            while start.elapsed() < window {
                call(n as i64).await;
                done.set(done.get() + 1);
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    local
        .run_until(async {
            for caller in callers {
                caller.await.expect("a caller ends in order");
            }
        })
        .await;
    Ok(Measured { p50_us, p99_us, per_second: done.get() as f64 / start.elapsed().as_secs_f64() })
}
