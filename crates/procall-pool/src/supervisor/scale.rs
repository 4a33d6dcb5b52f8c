//! Elastic pools: workers come and go with the load.

use std::time::Instant;

use super::leaving::Then;
use super::room::Room;
use super::watch::Watch;
use super::worker::{Stage, Worker};
use crate::dispatch::GROW_AFTER;

impl Room {
    /// Starts a worker when calls wait too long, ends one that has long had nothing to do; returns when to look again.
    pub(super) fn go_on_scaling(&mut self, watch: &mut Watch, now: Instant) -> Option<Instant> {
        let min = self.core.settings.min_workers;
        if self.stopping.is_some() || min >= self.workers.len() {
            return None;
        }
        let grow = self.grow(watch, now);
        let shrink = self.shrink(min, watch, now);
        [grow, shrink].into_iter().flatten().min()
    }

    fn grow(&mut self, watch: &mut Watch, now: Instant) -> Option<Instant> {
        // One at a time: the next may not be needed once this one is ready.
        if self.workers.iter().any(|worker| matches!(worker.stage, Stage::Starting(_))) {
            return None;
        }
        let spare = self.workers.iter().position(|worker| matches!(worker.stage, Stage::Spare))?;
        let due = self.core.dispatch.lock().queue.waiting_since()? + GROW_AFTER;
        if now < due {
            return Some(due);
        }
        self.one(spare, watch, now, |worker, scene| {
            worker.history.forget();
            worker.start(scene);
        });
        None
    }

    fn shrink(&mut self, min: usize, watch: &mut Watch, now: Instant) -> Option<Instant> {
        let settings = &self.core.settings;
        let (idle_timeout, exit) = (settings.idle_timeout, settings.stop_timeout);
        let finish = settings.finish_timeout;
        loop {
            if self.workers.iter().filter(|worker| stays(worker)).count() <= min {
                return None;
            }
            let idle = {
                let state = self.core.dispatch.lock();
                let ready = |worker: &&Worker| matches!(worker.stage, Stage::Ready);
                // Whoever has been idle longest; of equals the last.
                let idle = self.workers.iter().rev().filter(ready).filter_map(|worker| {
                    let since = state.seats.get(worker.index)?.idle_since()?;
                    Some((worker.index, since.checked_add(idle_timeout)?))
                });
                idle.min_by_key(|&(_, due)| due)
            };
            match idle {
                Some((index, due)) if due <= now => self.one(index, watch, now, |worker, scene| {
                    // It may have got a call a moment ago.
                    worker.dismiss(scene, Then::Spare, finish, exit);
                }),
                idle => return idle.map(|(_, due)| due),
            }
        }
    }
}

/// Whether a worker is here, or will be again by itself.
fn stays(worker: &Worker) -> bool {
    match &worker.stage {
        Stage::Spare | Stage::Failed | Stage::Stopped => false,
        Stage::Leaving(leaving) => leaving.then != Then::Spare,
        Stage::Starting(_) | Stage::Ready | Stage::Backoff(_) => true,
    }
}
