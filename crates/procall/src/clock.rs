//! The one place that reads the clock.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use procall_proto::Time;

/// Nanoseconds since the first look at the clock in this process.
pub(crate) fn now() -> Time {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = *ORIGIN.get_or_init(Instant::now);
    Time::ZERO + origin.elapsed()
}

/// How long from `now` until `time`; `None` when it never comes.
pub(crate) fn until(time: Time, now: Time) -> Option<Duration> {
    (time != Time::NEVER).then(|| time - now)
}
