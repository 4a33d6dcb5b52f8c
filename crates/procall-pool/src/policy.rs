//! Whether and when a worker that has gone is started again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How workers are restarted.
///
/// ```
/// use procall_pool::RestartPolicy;
///
/// let patient = RestartPolicy { max_restarts: 100, ..RestartPolicy::default() };
/// assert_eq!(patient.backoff.as_millis(), 100);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RestartPolicy {
    /// The pause before the first restart in a window, 100 ms; it doubles with each further one.
    pub backoff: Duration,
    /// The longest pause, 10 s.
    pub max_backoff: Duration,
    /// The share of the pause that is left to chance, 0.2: so that workers that died together do not start together.
    pub jitter: f64,
    /// Restarts of one worker within the window, 5. One more and the worker is failed: it stays down until somebody restarts it.
    pub max_restarts: u32,
    /// The window, 60 s.
    pub window: Duration,
    /// Exits in a row before being ready, 3. Then the worker is failed at once: waiting longer would not repair it.
    pub max_unready: u32,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10),
            jitter: 0.2,
            max_restarts: 5,
            window: Duration::from_secs(60),
            max_unready: 3,
        }
    }
}

/// What to do about a worker that has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Start it again after this pause.
    Again(Duration),
    /// Leave it down; the words say why.
    GiveUp(String),
}

/// The restarts of one worker.
#[derive(Debug, Default)]
pub(crate) struct History {
    restarts: VecDeque<Instant>,
    unready: u32,
}

impl History {
    /// It became ready.
    pub(crate) fn ready(&mut self) {
        self.unready = 0;
    }

    /// Somebody restarted it by hand: what was does not count any more.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// It has gone. `chance` is a random number from 0 to 1.
    pub(crate) fn gone(
        &mut self,
        policy: &RestartPolicy,
        was_ready: bool,
        now: Instant,
        chance: f64,
    ) -> Verdict {
        if !was_ready {
            self.unready += 1;
            if self.unready >= policy.max_unready.max(1) {
                return Verdict::GiveUp(format!(
                    "it went {} times in a row before it was ready",
                    self.unready
                ));
            }
        }
        while self
            .restarts
            .front()
            .is_some_and(|&restart| now.saturating_duration_since(restart) > policy.window)
        {
            self.restarts.pop_front();
        }
        let before = u32::try_from(self.restarts.len()).unwrap_or(u32::MAX);
        if before >= policy.max_restarts {
            return Verdict::GiveUp(format!(
                "it needed more than {before} restarts within {:?}",
                policy.window
            ));
        }
        self.restarts.push_back(now);
        Verdict::Again(policy.pause(before, chance))
    }
}

impl RestartPolicy {
    /// The pause after `before` earlier restarts in the window.
    fn pause(&self, before: u32, chance: f64) -> Duration {
        let doubled = self
            .backoff
            .saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX))
            .min(self.max_backoff);
        let spread = 1.0 + self.jitter.clamp(0.0, 1.0) * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        doubled.mul_f64(spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(verdict: Verdict) -> Duration {
        match verdict {
            Verdict::Again(pause) => pause,
            Verdict::GiveUp(why) => panic!("given up: {why}"),
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = RestartPolicy { max_restarts: 100, ..RestartPolicy::default() };
        let (mut history, now) = (History::default(), Instant::now());
        let pauses: Vec<u128> =
            (0..9).map(|_| again(history.gone(&policy, true, now, 0.5)).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn chance_moves_a_pause_by_a_fifth() {
        let (policy, now) = (RestartPolicy::default(), Instant::now());
        assert_eq!(
            again(History::default().gone(&policy, true, now, 0.0)),
            Duration::from_millis(80)
        );
        assert_eq!(
            again(History::default().gone(&policy, true, now, 1.0)),
            Duration::from_millis(120)
        );
    }

    #[test]
    fn the_sixth_restart_within_a_minute_is_not_made() {
        let (policy, mut history, start) =
            (RestartPolicy::default(), History::default(), Instant::now());
        for second in 0..5 {
            again(history.gone(&policy, true, start + Duration::from_secs(second), 0.5));
        }
        let sixth = history.gone(&policy, true, start + Duration::from_secs(59), 0.5);
        assert!(matches!(sixth, Verdict::GiveUp(why) if why.contains("more than 5 restarts")));
    }

    #[test]
    fn old_restarts_are_forgotten() {
        let (policy, mut history, start) =
            (RestartPolicy::default(), History::default(), Instant::now());
        for minute in 0..20 {
            again(history.gone(&policy, true, start + Duration::from_secs(61 * minute), 0.5));
        }
    }

    #[test]
    fn three_exits_before_being_ready_are_enough() {
        let (policy, mut history, now) =
            (RestartPolicy::default(), History::default(), Instant::now());
        again(history.gone(&policy, false, now, 0.5));
        again(history.gone(&policy, false, now, 0.5));
        assert!(matches!(history.gone(&policy, false, now, 0.5), Verdict::GiveUp(_)));

        let mut history = History::default();
        again(history.gone(&policy, false, now, 0.5));
        again(history.gone(&policy, false, now, 0.5));
        history.ready();
        again(history.gone(&policy, false, now, 0.5));
    }
}
