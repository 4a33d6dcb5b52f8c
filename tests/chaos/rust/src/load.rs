//! Calls, at a rate that does not care how they go.

use std::sync::Arc;
use std::time::Duration;

use procall::{AsChannel, Bytes, Call, Channel, Error};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::ledger::Ledger;

/// One call of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// How long its handler takes.
    pub(crate) millis: u64,
    /// Bytes that go there and back.
    pub(crate) len: usize,
    pub(crate) deadline: Duration,
    /// It may run more than once.
    pub(crate) idempotent: bool,
    /// It is made once, whatever comes of it.
    pub(crate) once: bool,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            millis: 0,
            len: 64,
            deadline: Duration::from_secs(30),
            idempotent: false,
            once: false,
        }
    }
}

/// Makes one call and writes down what came of it.
pub(crate) async fn call(
    channel: &Arc<dyn Channel>,
    method: &str,
    ledger: &Ledger,
    work: Work,
) -> Result<(), Error> {
    let id = ledger.open();
    let nonce = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
    let payload = Bytes((0..work.len).map(|at| (at as u64 ^ id) as u8).collect());
    let begun = Instant::now();
    let call =
        Call::<(u64, Bytes)>::new(channel, method, (id, nonce, work.millis, payload.clone()));
    let call = if work.idempotent { call.idempotent() } else { call };
    let call = if work.once { call.retries(0) } else { call };
    let result = call.deadline(work.deadline).await;
    let own = result.as_ref().map(|reply| *reply == (nonce, payload));
    ledger.close(id, own, begun.elapsed(), work.deadline);
    result.map(|_| ())
}

/// So many calls a second for so long; the choice of each follows from its number. Ends when all of them have.
pub(crate) async fn open_loop(
    channel: &impl AsChannel,
    method: &'static str,
    ledger: &Arc<Ledger>,
    (rate, time): (u32, Duration),
    choose: impl Fn(u64) -> Work,
) {
    finish(begin(channel, method, ledger, (rate, time), choose).await).await;
}

/// The same; ends when all of them have begun.
pub(crate) async fn begin(
    channel: &impl AsChannel,
    method: &'static str,
    ledger: &Arc<Ledger>,
    (rate, time): (u32, Duration),
    choose: impl Fn(u64) -> Work,
) -> JoinSet<()> {
    let (mut calls, mut made) = (JoinSet::new(), 0);
    // Timers are too coarse for each call; those that are due are made together.
    let mut ticks = interval(Duration::from_millis(2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let begun = Instant::now();
    while begun.elapsed() < time {
        ticks.tick().await;
        let due = (begun.elapsed().min(time).as_secs_f64() * f64::from(rate)) as u64;
        for number in made..due {
            add(&mut calls, channel.as_channel(), method, ledger, choose(number));
        }
        made = made.max(due);
        // Those that are over are not to be kept.
        while calls.try_join_next().is_some() {}
    }
    calls
}

/// So many calls, so many of them at once.
pub(crate) async fn closed_loop(
    channel: &impl AsChannel,
    method: &'static str,
    ledger: &Arc<Ledger>,
    (count, at_once): (u64, u64),
    choose: impl Fn(u64) -> Work + Clone + Send + 'static,
) {
    let mut callers = JoinSet::new();
    for first in 0..at_once {
        let (channel, ledger, choose) = (channel.as_channel(), ledger.clone(), choose.clone());
        callers.spawn(async move {
            for number in (first..count).step_by(at_once as usize) {
                // What came of it is in the ledger.
                let _ = call(&channel, method, &ledger, choose(number)).await;
            }
        });
    }
    finish(callers).await;
}

fn add(
    calls: &mut JoinSet<()>,
    channel: Arc<dyn Channel>,
    method: &'static str,
    ledger: &Arc<Ledger>,
    work: Work,
) {
    let ledger = ledger.clone();
    calls.spawn(async move {
        // What came of it is in the ledger.
        let _ = call(&channel, method, &ledger, work).await;
    });
}

/// A call whose task panicked has no outcome, which the ledger shows.
pub(crate) async fn finish(mut calls: JoinSet<()>) {
    while calls.join_next().await.is_some() {}
}

/// SplitMix64 by Steele, Lea and Flood, of one number: even, and the same in every run.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
