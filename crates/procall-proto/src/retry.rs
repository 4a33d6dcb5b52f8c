//! Whether a call that failed is made again, and when: the rule alone, without clock, chance or threads.
//!
//! Time and chance enter as arguments, as everywhere in this crate; `procall` has the clock, the random numbers and the calls.

use std::time::Duration;

use crate::{ErrorCode, Executed, Time};

/// How often a call may be made again, and with which pauses.
///
/// ```
/// use procall_proto::RetryPolicy;
///
/// let policy = RetryPolicy { retries: 4, ..RetryPolicy::default() };
/// assert_eq!(RetryPolicy::default().retries, 2);
/// assert_eq!(policy.base.as_millis(), 50);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first one, 2; 0 is never again.
    pub retries: u32,
    /// The first pause is anything up to this, 50 ms; the bound doubles with every attempt.
    pub base: Duration,
    /// The bound doubles up to this, 2 s.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { retries: 2, base: Duration::from_millis(50), cap: Duration::from_secs(2) }
    }
}

/// What the callers of one target may spend on retries: a bucket of tokens that failures empty and successes fill, so that a target that is
/// down for everybody is not asked three times as often as one that is up.
///
/// It holds 10 tokens, and is full at first. A failure after which a retry makes sense costs one, whether there is a retry or not; a success
/// brings a tenth of one back. There are retries while more than 5 are left.
///
/// ```
/// use procall_proto::RetryBudget;
///
/// let mut budget = RetryBudget::default();
/// for _ in 0..5 {
///     assert!(budget.allows());
///     budget.failed();
/// }
/// assert!(!budget.allows());
/// budget.succeeded();
/// assert!(budget.allows());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryBudget {
    /// Whole numbers, so that ten tenths are exactly one.
    tenths: u32,
}

impl RetryBudget {
    const FULL: u32 = 100;
    const FAILURE: u32 = 10;
    const ABOVE: u32 = 50;

    /// A call was made again or could have been.
    pub fn failed(&mut self) {
        self.tenths = self.tenths.saturating_sub(Self::FAILURE);
    }

    /// A call ended well.
    pub fn succeeded(&mut self) {
        self.tenths = (self.tenths + 1).min(Self::FULL);
    }

    /// Whether there may be retries now.
    pub fn allows(&self) -> bool {
        self.tenths > Self::ABOVE
    }

    /// Whether nothing of it is spent.
    pub fn is_full(&self) -> bool {
        self.tenths == Self::FULL
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { tenths: Self::FULL }
    }
}

/// How an attempt failed, as far as the rule looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setback {
    /// What went wrong.
    pub code: ErrorCode,
    /// Whether the handler ran.
    pub executed: Executed,
    /// The earliest time for another try, if the other side says one.
    pub retry_after: Option<Duration>,
    /// The other side forbids a retry.
    pub no_retry: bool,
    /// The call has an affinity key: when its worker is lost, so is what that kept for the key, and the caller must hear of it.
    pub keyed: bool,
}

impl Setback {
    /// Whether the same call may end well when it is made again: the code says so, the peer was lost with the call, or a handler names a time.
    fn is_passing(&self) -> bool {
        match self.code {
            ErrorCode::WorkerLost | ErrorCode::ConnectionLost => true,
            ErrorCode::HandlerError => self.retry_after.is_some(),
            code => code.retryable(),
        }
    }
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt, after this pause.
    Again {
        /// The pause: never longer than what is left until the deadline.
        after: Duration,
    },
    /// None.
    GiveUp(GiveUp),
}

/// Why there is no other attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// The same call would fail in the same way.
    Lasting,
    /// The other side forbids it, or the loss of a key's worker is to be told.
    Forbidden,
    /// The handler may have run, and nobody says that it may run twice; or it may, but the call is part of another call, whose own caller is
    /// the one to repeat it.
    Unsafe,
    /// It has cost two workers: a third is not given to it.
    Poison,
    /// All attempts were made.
    Attempts,
    /// Too many calls to this target have failed lately.
    Budget,
    /// The pause would go beyond the deadline.
    Deadline,
}

/// The attempts of one call.
///
/// ```
/// use std::time::Duration;
/// use procall_proto::{Attempts, ErrorCode, Executed, RetryBudget, RetryPolicy, Setback, Time, Verdict};
///
/// let mut attempts = Attempts::new(RetryPolicy::default(), Time::NEVER, false);
/// let refused = Setback { code: ErrorCode::Overloaded, executed: Executed::No, retry_after: None, no_retry: false, keyed: false };
/// let next = attempts.failed(Time::ZERO, &refused, false, &mut RetryBudget::default(), 0.5);
/// assert_eq!(next, Verdict::Again { after: Duration::from_millis(25) });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts {
    policy: RetryPolicy,
    deadline: Time,
    nested: bool,
    made: u32,
    executed: Executed,
    /// Workers that were lost while they had the call.
    lost: u32,
}

impl Attempts {
    /// Workers that one call may cost.
    const WORKERS: u32 = 2;

    /// The attempts of a call that all share one deadline; `nested` when the call is made while another one is served.
    pub fn new(policy: RetryPolicy, deadline: Time, nested: bool) -> Self {
        Self { policy, deadline, nested, made: 1, executed: Executed::No, lost: 0 }
    }

    /// The next attempt is made.
    pub fn begin(&mut self) {
        self.made += 1;
    }

    /// How many were made, the first one included.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// The deadline of all of them.
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// Whether the handler ran in any of them.
    pub fn executed(&self) -> Executed {
        self.executed
    }

    /// An attempt has failed: is there another? `idempotent` says that the handler may run more than once without harm; `random`, from 0 to 1,
    /// is the share of the longest pause.
    pub fn failed(
        &mut self,
        now: Time,
        setback: &Setback,
        idempotent: bool,
        budget: &mut RetryBudget,
        random: f64,
    ) -> Verdict {
        self.executed = worse(self.executed, setback.executed);
        let had_it = setback.executed != Executed::No;
        self.lost += u32::from(had_it && setback.code == ErrorCode::WorkerLost);
        if !setback.is_passing() {
            return Verdict::GiveUp(GiveUp::Lasting);
        }
        let allowed = budget.allows();
        budget.failed();
        let safe = setback.executed == Executed::No || (idempotent && !self.nested);
        let is_told = setback.keyed && setback.code == ErrorCode::WorkerLost;
        if setback.no_retry || is_told {
            Verdict::GiveUp(GiveUp::Forbidden)
        } else if !safe {
            Verdict::GiveUp(GiveUp::Unsafe)
        } else if self.lost >= Self::WORKERS {
            Verdict::GiveUp(GiveUp::Poison)
        } else if self.made > self.policy.retries {
            Verdict::GiveUp(GiveUp::Attempts)
        } else if !allowed {
            Verdict::GiveUp(GiveUp::Budget)
        } else {
            self.pause(now, setback.retry_after.unwrap_or_default(), random)
        }
    }

    /// Full jitter (Brooker 2015) on top of the time that the other side asks for, so that those who were sent away together do not come back
    /// together.
    fn pause(&self, now: Time, asked: Duration, random: f64) -> Verdict {
        let doubled = self.policy.base.saturating_mul(1 << (self.made - 1).min(16));
        let own = doubled.min(self.policy.cap).mul_f64(random.clamp(0.0, 1.0));
        let after = asked.saturating_add(own);
        if self.deadline != Time::NEVER && after >= self.deadline - now {
            return Verdict::GiveUp(GiveUp::Deadline);
        }
        Verdict::Again { after }
    }
}

/// Of several attempts the one that promises least: that one did not run says nothing of the others.
fn worse(one: Executed, other: Executed) -> Executed {
    if other.number() > one.number() { other } else { one }
}
