//! What a handle counts of its calls.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Calls whose latencies are kept: the newest ones.
const SAMPLES: usize = 1024;

/// How a call ended, as a meter counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a result, or the end of its stream.
    Succeeded,
    /// With an error.
    Failed,
    /// The caller did not want it any more.
    Cancelled,
}

/// Counts the calls of one handle, from any thread, without a lock. A connection has one; a pool shares its own among its connections.
///
/// ```
/// use std::time::Duration;
/// use procall::{Ending, Meter};
///
/// let meter = Meter::default();
/// for ms in 1..=100 {
///     meter.begin();
///     meter.end(Duration::from_millis(ms), Ending::Succeeded);
/// }
/// meter.begin();
/// meter.end(Duration::from_millis(50), Ending::Failed);
///
/// let metrics = meter.metrics();
/// assert_eq!((metrics.total_requests, metrics.failed_requests), (101, 1));
/// assert!(metrics.success_rate() > 0.99);
/// assert_eq!(metrics.latency.p95.as_millis(), 95);
/// ```
#[derive(Debug, Default)]
pub struct Meter {
    begun: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    /// Nanoseconds, written round and round; made with the first call, so that a side that only serves has none.
    samples: OnceLock<Box<[AtomicU64; SAMPLES]>>,
    sampled: AtomicU64,
    /// Nanoseconds plus one; 0 before the first.
    round_trip: AtomicU64,
    missed_heartbeats: AtomicU64,
    arrays_copied: AtomicU64,
    arrays_as_bytes: AtomicU64,
    arrays_in_place: AtomicU64,
}

impl Meter {
    /// A call was started.
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// It ended, so long after it was started. The latency of a cancelled call says nothing and is left out.
    pub fn end(&self, latency: Duration, ending: Ending) {
        let count = match ending {
            Ending::Succeeded => &self.succeeded,
            Ending::Failed => &self.failed,
            Ending::Cancelled => &self.cancelled,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if ending == Ending::Cancelled {
            return;
        }
        let samples = self.samples.get_or_init(|| Box::new([const { AtomicU64::new(0) }; SAMPLES]));
        let at = self.sampled.fetch_add(1, Ordering::Relaxed) as usize % SAMPLES;
        samples[at].store(nanos(latency), Ordering::Relaxed);
    }

    /// It was refused at once: it failed, and has no latency.
    pub fn refuse(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A heartbeat was answered after so long.
    pub fn beat(&self, round_trip: Duration) {
        self.round_trip.store(nanos(round_trip).saturating_add(1), Ordering::Relaxed);
    }

    /// A peer stopped answering its heartbeats.
    pub fn miss(&self) {
        self.missed_heartbeats.fetch_add(1, Ordering::Relaxed);
    }

    /// Large arrays were sent: so many copied into memory that was lent, as bytes, and where they lay already.
    pub(crate) fn sent_arrays(&self, copied: usize, as_bytes: usize, in_place: usize) {
        let counts = [
            (&self.arrays_copied, copied),
            (&self.arrays_as_bytes, as_bytes),
            (&self.arrays_in_place, in_place),
        ];
        for (count, more) in counts {
            count.fetch_add(more as u64, Ordering::Relaxed);
        }
    }

    /// What was counted so far. The counts are read one after the other: under load they may be a call or two apart.
    pub fn metrics(&self) -> Metrics {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // The ends before the beginnings, so that no more calls have ended than began.
        let (succeeded, failed, cancelled) =
            (read(&self.succeeded), read(&self.failed), read(&self.cancelled));
        let total = read(&self.begun);
        Metrics {
            total_requests: total,
            successful_requests: succeeded,
            failed_requests: failed,
            cancelled_requests: cancelled,
            in_flight: total.saturating_sub(succeeded + failed + cancelled),
            latency: self.latency(),
            queue_depth: 0,
            restarts: 0,
            heartbeat_round_trip: read(&self.round_trip).checked_sub(1).map(Duration::from_nanos),
            missed_heartbeats: read(&self.missed_heartbeats),
            retries: 0,
            arrays_copied: read(&self.arrays_copied),
            arrays_as_bytes: read(&self.arrays_as_bytes),
            arrays_in_place: read(&self.arrays_in_place),
        }
    }

    fn latency(&self) -> Latency {
        let Some(samples) = self.samples.get() else { return Latency::default() };
        let sampled = usize::try_from(self.sampled.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let read = |sample: &AtomicU64| sample.load(Ordering::Relaxed);
        let mut sorted: Vec<u64> = samples.iter().take(sampled).map(read).collect();
        sorted.sort_unstable();
        let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else {
            return Latency::default();
        };
        // The nearest rank: the smallest latency that so many hundredths of the calls did not exceed.
        let percentile = |hundredths: usize| sorted[(sorted.len() * hundredths).div_ceil(100) - 1];
        let sum: u128 = sorted.iter().copied().map(u128::from).sum();
        let mean = sum / sorted.len() as u128;
        Latency {
            mean: Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX)),
            p50: Duration::from_nanos(percentile(50)),
            p95: Duration::from_nanos(percentile(95)),
            p99: Duration::from_nanos(percentile(99)),
            min: Duration::from_nanos(least),
            max: Duration::from_nanos(most),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What a client or pool has counted of its calls since it was made.
///
/// ```no_run
/// # async fn f() -> Result<(), procall::Error> {
/// let calc = procall::Client::connect("calc").await?;
/// calc.call::<i64>("add", (1, 2)).await?;
/// let metrics = calc.metrics();
/// println!("{} calls, {:?} each", metrics.total_requests, metrics.average_latency());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// Calls that were started, those in progress included.
    pub total_requests: u64,
    /// Calls that ended with a result.
    pub successful_requests: u64,
    /// Calls that ended with an error, a handler's own included.
    pub failed_requests: u64,
    /// Calls that the caller gave up before they ended, apart from its deadline.
    pub cancelled_requests: u64,
    /// Calls in progress, those included that wait.
    pub in_flight: u64,
    /// Times from start to end, the wait for a worker or their turn included, of the last 1,024 calls that were neither cancelled nor refused at once.
    pub latency: Latency,
    /// Calls that wait for a worker of a pool, or for their turn on a connection that carries as many as it may.
    pub queue_depth: usize,
    /// How often workers were started again; 0 for a single connection.
    pub restarts: u64,
    /// The last time from ping to pong; of a pool, of whichever worker answered last.
    pub heartbeat_round_trip: Option<Duration>,
    /// How often a peer fell silent.
    pub missed_heartbeats: u64,
    /// Attempts after a first one; each is a request of its own in the other counts.
    pub retries: u64,
    /// Large arrays that were copied once, into memory that the receiver was lent.
    pub arrays_copied: u64,
    /// Large arrays that were meant to be lent and went as bytes: the connection could not lend them.
    pub arrays_as_bytes: u64,
    /// Large arrays that were not copied at all: they lay in memory that the receiver was lent.
    pub arrays_in_place: u64,
}

/// Latencies of calls; all 0 before the first has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Latency {
    /// The mean.
    pub mean: Duration,
    /// Half of the calls took no longer.
    pub p50: Duration,
    /// 95 of 100 calls took no longer.
    pub p95: Duration,
    /// 99 of 100 calls took no longer.
    pub p99: Duration,
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

impl Metrics {
    /// The share of the calls that ended well, from 0 to 1; 1 before any has ended. Cancelled calls do not count.
    pub fn success_rate(&self) -> f64 {
        match self.successful_requests + self.failed_requests {
            0 => 1.0,
            ended => self.successful_requests as f64 / ended as f64,
        }
    }

    /// The mean latency.
    pub fn average_latency(&self) -> Duration {
        self.latency.mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_counted_is_no_division_by_zero() {
        let metrics = Meter::default().metrics();
        assert_eq!(metrics, Metrics::default());
        assert_eq!(metrics.success_rate(), 1.0);
    }

    #[test]
    fn percentiles_are_nearest_ranks_of_the_newest_calls() {
        let meter = Meter::default();
        // Pushed out by what follows.
        for _ in 0..10 {
            meter.end(Duration::from_secs(1000), Ending::Succeeded);
        }
        for at in 0..SAMPLES as u64 {
            meter.end(Duration::from_millis(at), Ending::Failed);
        }
        let latency = meter.metrics().latency;
        assert_eq!(latency.max, Duration::from_millis(1023));
        assert_eq!(latency.min, Duration::ZERO);
        assert_eq!(latency.p50.as_millis(), 511);
        assert_eq!(latency.p99.as_millis(), 1013);
        assert_eq!(latency.mean, Duration::from_micros(511_500));
    }

    #[test]
    fn one_call_is_every_percentile() {
        let meter = Meter::default();
        meter.begin();
        meter.end(Duration::from_millis(7), Ending::Succeeded);
        let latency = meter.metrics().latency;
        let same = |found: Duration| found == Duration::from_millis(7);
        assert!(
            [latency.mean, latency.p50, latency.p95, latency.p99, latency.min, latency.max]
                .into_iter()
                .all(same)
        );
    }

    #[test]
    fn a_cancelled_call_is_neither_good_nor_bad() {
        let meter = Meter::default();
        meter.begin();
        meter.begin();
        meter.end(Duration::from_secs(9), Ending::Cancelled);
        let metrics = meter.metrics();
        assert_eq!(
            (metrics.cancelled_requests, metrics.in_flight, metrics.latency),
            (1, 1, Latency::default())
        );
        assert_eq!(metrics.success_rate(), 1.0);
    }
}
