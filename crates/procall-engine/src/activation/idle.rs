//! A service that nobody calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::core::{Core, Number};

/// How often it is looked within the time after which a service is idle, and the bounds of that.
const LOOKS: u32 = 8;
const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1);

/// Waits until a worker has had no call for so long. Looking now and then costs less than a clock for every call.
pub(super) async fn wait(core: &Arc<Core>, number: Number, timeout: Duration) {
    let pause = (timeout / LOOKS).clamp(SHORTEST, LONGEST);
    let (mut since, mut seen) = (Instant::now(), core.work_of(number));
    loop {
        tokio::time::sleep(pause.min(timeout.saturating_sub(since.elapsed()))).await;
        let now = core.work_of(number);
        if now.0 > 0 || now != seen {
            (since, seen) = (Instant::now(), now);
        } else if since.elapsed() >= timeout {
            return;
        }
    }
}
