//! Whether and when a worker that has gone is started again.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use procall::{Error, ErrorCode};

use crate::builder::FOREVER;

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

/// Which of several workers with a free slot gets the next call. With none free, it waits in the pool's queue.
///
/// ```no_run
/// use procall_pool::{DispatchPolicy, Pool};
///
/// let pool = Pool::spawn("calc.py").workers(4).dispatch(DispatchPolicy::RoundRobin).start().wait()?;
/// # Ok::<(), procall::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DispatchPolicy {
    /// The one with the fewest calls in hand, an idle one if there is one; of equal ones the first. Under light load the same few workers
    /// do all the work, and their caches stay warm.
    #[default]
    IdleFirst,
    /// The one with the smallest share of its slots taken; of equal ones, that which has had the fewest calls. The work is spread evenly.
    LeastLoaded,
    /// One after the other.
    RoundRobin,
}

impl DispatchPolicy {
    const ALL: [Self; 3] = [Self::IdleFirst, Self::LeastLoaded, Self::RoundRobin];

    /// The name that settings and the other languages have for it: `idle_first`, `least_loaded` or `round_robin`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdleFirst => "idle_first",
            Self::LeastLoaded => "least_loaded",
            Self::RoundRobin => "round_robin",
        }
    }
}

impl fmt::Display for DispatchPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads a name, such as `round_robin`.
impl FromStr for DispatchPolicy {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        if let Some(policy) = Self::ALL.into_iter().find(|policy| policy.name() == name) {
            return Ok(policy);
        }
        let names = Self::ALL.map(Self::name);
        let candidates = procall::similar(name, names);
        let hint = match candidates.first() {
            Some(candidate) => format!("; did you mean {candidate}?"),
            None => String::new(),
        };
        let all = names.join(", ");
        let message = format!("\"{name}\" is no dispatch policy: there are {all}{hint}");
        Err(Error::new(ErrorCode::InvalidArgument, message).with_candidates(candidates))
    }
}

/// When a worker that works well is replaced by a new process. It finishes its calls first, the next process takes over at the same place,
/// and no more than one worker of a pool is replaced at a time.
///
/// ```
/// use procall_pool::RecyclePolicy;
///
/// let leaky = RecyclePolicy { max_calls: Some(10_000), max_memory: Some(2 << 30) };
/// assert_eq!(RecyclePolicy::default().max_calls, None);
/// # let _ = leaky;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecyclePolicy {
    /// After this many calls; a few more may reach it while others are being replaced. Never by default.
    pub max_calls: Option<u64>,
    /// When its resident memory is above so many bytes; looked at once a second. Never by default. Of a program behind a launcher, only the
    /// launcher is measured.
    pub max_memory: Option<u64>,
}

/// What happens to a worker that goes on with a call although its caller has given it up: cancelled it, dropped it, gone away, or seen its
/// deadline pass.
///
/// ```no_run
/// use procall_pool::{OnCancel, Pool};
///
/// let pool = Pool::spawn("render.py").workers(4).concurrency(1).on_cancel(OnCancel::Kill).start().wait()?;
/// # Ok::<(), procall::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCancel {
    /// Nothing: the call keeps its slot until the handler is done with it.
    #[default]
    Abandon,
    /// It is replaced by a new process after the grace period. Only for workers that take one call at a time, since others would lose the calls
    /// beside it.
    Kill,
}

impl OnCancel {
    const ALL: [Self; 2] = [Self::Abandon, Self::Kill];

    /// The name that settings and the other languages have for it: `abandon` or `kill`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Abandon => "abandon",
            Self::Kill => "kill",
        }
    }
}

impl fmt::Display for OnCancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads a name, such as `kill`.
impl FromStr for OnCancel {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|known| known.name() == name).ok_or_else(|| {
            let message = format!(
                "\"{name}\" is nothing that a cancelled call can do to its worker: there are abandon and kill"
            );
            Error::new(ErrorCode::InvalidArgument, message)
        })
    }
}

/// Why a worker that works is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It has served so many calls.
    Calls(u64),
    /// It takes so many bytes.
    Memory(u64),
    /// It is busy with a call whose caller wanted that.
    Overrun,
    /// It went on for so long with a call that its caller gave up by this code.
    Ignored(ErrorCode, Duration),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(calls) => write!(f, "it has served {calls} calls"),
            Self::Memory(bytes) => write!(f, "it takes {} MiB of memory", bytes >> 20),
            Self::Overrun => f.write_str("it was busy with a call when its deadline passed"),
            Self::Ignored(ErrorCode::DeadlineExceeded, waited) => {
                write!(f, "it went on with a call for {} past its deadline", seconds(*waited))
            }
            Self::Ignored(_, waited) => {
                write!(
                    f,
                    "it went on with a call for {} after that was cancelled",
                    seconds(*waited)
                )
            }
        }
    }
}

/// A time as people read it.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
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
            .min(self.max_backoff)
            .min(FOREVER);
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
    fn policies_have_names_and_are_found_by_them() {
        for policy in DispatchPolicy::ALL {
            assert_eq!(policy.to_string().parse::<DispatchPolicy>().unwrap(), policy);
        }
        let error = "roundrobin".parse::<DispatchPolicy>().unwrap_err();
        assert_eq!(error.candidates(), ["round_robin"]);
        assert!(error.message().ends_with("did you mean round_robin?"), "{error}");
    }

    #[test]
    fn what_a_cancel_does_is_found_by_its_name() {
        for known in OnCancel::ALL {
            assert_eq!(known.to_string().parse::<OnCancel>().unwrap(), known);
        }
        let error = "Kill".parse::<OnCancel>().unwrap_err();
        assert!(error.message().ends_with("there are abandon and kill"), "{error}");
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
