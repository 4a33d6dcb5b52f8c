//! The rule of the retry layer, clause by clause, in virtual time.

use std::time::Duration;

use procall_proto::{
    Attempts, ErrorCode, Executed, GiveUp, RetryBudget, RetryPolicy, Setback, Time, Verdict,
};

const SECOND: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn setback(code: ErrorCode, executed: Executed) -> Setback {
    Setback { code, executed, retry_after: None, no_retry: false, keyed: false }
}

fn refused() -> Setback {
    setback(ErrorCode::Overloaded, Executed::No)
}

fn lost() -> Setback {
    setback(ErrorCode::WorkerLost, Executed::Maybe)
}

/// Attempts of a call without a deadline that no other call waits for.
fn usual() -> Attempts {
    Attempts::new(RetryPolicy::default(), Time::NEVER, false)
}

/// The verdict on a first failure.
fn first(setback: &Setback, idempotent: bool) -> Verdict {
    usual().failed(Time::ZERO, setback, idempotent, &mut RetryBudget::default(), 1.0)
}

/// All verdicts until the attempts end, with time standing still.
fn until_the_end(policy: RetryPolicy, setback: &Setback, random: f64) -> Vec<Verdict> {
    let mut attempts = Attempts::new(policy, Time::NEVER, false);
    let mut verdicts = Vec::new();
    loop {
        let verdict =
            attempts.failed(Time::ZERO, setback, false, &mut RetryBudget::default(), random);
        verdicts.push(verdict);
        if matches!(verdict, Verdict::GiveUp(_)) {
            return verdicts;
        }
        attempts.begin();
    }
}

#[test]
fn there_are_three_attempts_and_pauses_that_double() {
    assert_eq!(
        until_the_end(RetryPolicy::default(), &refused(), 1.0),
        [
            Verdict::Again { after: ms(50) },
            Verdict::Again { after: ms(100) },
            Verdict::GiveUp(GiveUp::Attempts),
        ]
    );
}

#[test]
fn a_call_costs_two_workers_at_most() {
    let mut attempts =
        Attempts::new(RetryPolicy { retries: 9, ..RetryPolicy::default() }, Time::NEVER, false);
    let mut fail = |setback: &Setback| {
        let verdict = attempts.failed(Time::ZERO, setback, true, &mut RetryBudget::default(), 0.0);
        attempts.begin();
        verdict
    };
    let again = Verdict::Again { after: Duration::ZERO };
    let unreached = setback(ErrorCode::WorkerLost, Executed::No);
    assert_eq!(fail(&lost()), again);
    assert_eq!(fail(&unreached), again, "that one died without it");
    assert_eq!(fail(&refused()), again);
    assert_eq!(fail(&lost()), Verdict::GiveUp(GiveUp::Poison));
}

#[test]
fn no_retries_is_one_attempt() {
    let never = RetryPolicy { retries: 0, ..RetryPolicy::default() };
    assert_eq!(until_the_end(never, &refused(), 1.0), [Verdict::GiveUp(GiveUp::Attempts)]);
}

#[test]
fn pauses_are_capped() {
    let many = RetryPolicy { retries: 40, ..RetryPolicy::default() };
    let verdicts = until_the_end(many, &refused(), 1.0);
    let pauses: Vec<Duration> = verdicts
        .into_iter()
        .filter_map(|verdict| match verdict {
            Verdict::Again { after } => Some(after),
            Verdict::GiveUp(_) => None,
        })
        .collect();
    assert_eq!(pauses[..7], [50, 100, 200, 400, 800, 1600, 2000].map(ms));
    assert!(pauses[7..].iter().all(|pause| *pause == ms(2000)) && pauses.len() == 40);
}

#[test]
fn the_jitter_is_full() {
    for (random, after) in [(0.0, 0), (0.5, 25), (1.0, 50)] {
        let verdict =
            usual().failed(Time::ZERO, &refused(), false, &mut RetryBudget::default(), random);
        assert_eq!(verdict, Verdict::Again { after: ms(after) });
    }
}

#[test]
fn all_attempts_share_one_deadline() {
    let deadline = Time::ZERO + SECOND;
    let mut attempts = Attempts::new(RetryPolicy::default(), deadline, false);
    let mut budget = RetryBudget::default();
    let mut fail = |attempts: &mut Attempts, now| {
        attempts.failed(Time::ZERO + ms(now), &refused(), false, &mut budget, 1.0)
    };
    assert_eq!(fail(&mut attempts, 900), Verdict::Again { after: ms(50) });
    attempts.begin();
    assert_eq!(attempts.deadline(), deadline);
    assert_eq!(fail(&mut attempts, 900), Verdict::GiveUp(GiveUp::Deadline));
    assert_eq!(fail(&mut attempts, 899), Verdict::Again { after: ms(100) });
    assert_eq!(fail(&mut attempts, 1500), Verdict::GiveUp(GiveUp::Deadline));
}

#[test]
fn what_was_not_executed_is_made_again() {
    use ErrorCode::{ConnectionLost, Ejected, NoWorker, Overloaded, Unavailable, WorkerLost};
    for code in [NoWorker, Overloaded, Unavailable, Ejected, WorkerLost, ConnectionLost] {
        let verdict = first(&setback(code, Executed::No), false);
        assert_eq!(verdict, Verdict::Again { after: ms(50) }, "{code}");
    }
}

#[test]
fn what_would_fail_again_is_not_made_again() {
    for &code in ErrorCode::ALL {
        let passing =
            code.retryable() || matches!(code, ErrorCode::WorkerLost | ErrorCode::ConnectionLost);
        for executed in [Executed::No, Executed::Maybe, Executed::Yes] {
            let verdict = first(&setback(code, executed), true);
            let again = matches!(verdict, Verdict::Again { .. });
            assert_eq!(again, passing, "{code} {executed}: {verdict:?}");
        }
    }
}

#[test]
fn what_may_have_run_is_made_again_only_when_that_does_no_harm() {
    for executed in [Executed::Maybe, Executed::Yes] {
        let lost = setback(ErrorCode::WorkerLost, executed);
        assert_eq!(first(&lost, false), Verdict::GiveUp(GiveUp::Unsafe));
        assert_eq!(first(&lost, true), Verdict::Again { after: ms(50) });
    }
}

#[test]
fn a_nested_call_is_made_again_only_when_it_was_not_executed() {
    let nested = || Attempts::new(RetryPolicy::default(), Time::NEVER, true);
    let judge = |setback: &Setback| {
        nested().failed(Time::ZERO, setback, true, &mut RetryBudget::default(), 1.0)
    };
    assert_eq!(judge(&lost()), Verdict::GiveUp(GiveUp::Unsafe));
    assert_eq!(judge(&refused()), Verdict::Again { after: ms(50) });
}

#[test]
fn the_time_that_the_other_side_asks_for_is_waited_out_and_jitter_comes_on_top() {
    let asked = Setback { retry_after: Some(ms(700)), ..refused() };
    assert_eq!(first(&asked, false), Verdict::Again { after: ms(750) });
    let mut short = Attempts::new(RetryPolicy::default(), Time::ZERO + ms(700), false);
    let verdict = short.failed(Time::ZERO, &asked, false, &mut RetryBudget::default(), 0.0);
    assert_eq!(verdict, Verdict::GiveUp(GiveUp::Deadline));
}

#[test]
fn a_handler_that_names_a_time_wants_its_idempotent_calls_again() {
    let later =
        Setback { retry_after: Some(ms(10)), ..setback(ErrorCode::HandlerError, Executed::Yes) };
    assert_eq!(first(&later, true), Verdict::Again { after: ms(60) });
    assert_eq!(first(&later, false), Verdict::GiveUp(GiveUp::Unsafe));
}

#[test]
fn the_other_side_can_forbid_it() {
    let forbidden = Setback { no_retry: true, retry_after: Some(ms(1)), ..refused() };
    assert_eq!(first(&forbidden, true), Verdict::GiveUp(GiveUp::Forbidden));
}

#[test]
fn the_loss_of_a_keys_worker_is_told_and_nothing_else_of_it() {
    for executed in [Executed::No, Executed::Maybe] {
        let lost = Setback { keyed: true, ..setback(ErrorCode::WorkerLost, executed) };
        assert_eq!(first(&lost, true), Verdict::GiveUp(GiveUp::Forbidden));
    }
    let busy = Setback { keyed: true, ..refused() };
    assert_eq!(first(&busy, false), Verdict::Again { after: ms(50) });
}

#[test]
fn ten_tokens_allow_five_failures_and_ten_successes_bring_one_back() {
    let mut budget = RetryBudget::default();
    let fail =
        |budget: &mut RetryBudget| usual().failed(Time::ZERO, &refused(), false, budget, 1.0);
    for _ in 0..5 {
        assert!(matches!(fail(&mut budget), Verdict::Again { .. }));
    }
    for _ in 0..20 {
        assert_eq!(fail(&mut budget), Verdict::GiveUp(GiveUp::Budget));
    }
    // Empty is empty: it takes 51 successes until more than five tokens are there.
    for _ in 0..50 {
        budget.succeeded();
    }
    assert!(!budget.allows());
    budget.succeeded();
    assert!(budget.allows());
    for _ in 0..1000 {
        budget.succeeded();
    }
    assert!(budget.is_full());
    budget.failed();
    (0..9).for_each(|_| budget.succeeded());
    assert!(!budget.is_full());
    budget.succeeded();
    assert!(budget.is_full());
}

#[test]
fn failures_that_no_retry_helps_against_cost_nothing() {
    let mut budget = RetryBudget::default();
    let wrong = setback(ErrorCode::InvalidArgument, Executed::No);
    let verdict = usual().failed(Time::ZERO, &wrong, true, &mut budget, 1.0);
    assert_eq!(verdict, Verdict::GiveUp(GiveUp::Lasting));
    assert!(budget.is_full());
}

#[test]
fn a_retry_storm_is_a_tenth_of_the_calls_at_most() {
    // A target that is down for a while, then up: the attempts stay below 1.1 times what was offered, and ten.
    let mut budget = RetryBudget::default();
    let (mut offered, mut made) = (0_u32, 0_u32);
    for call in 0..30_000 {
        offered += 1;
        let mut attempts = usual();
        let is_down = call % 2_000 < 1_500;
        if is_down {
            while let Verdict::Again { .. } =
                attempts.failed(Time::ZERO, &refused(), false, &mut budget, 1.0)
            {
                attempts.begin();
            }
        }
        if !is_down {
            budget.succeeded();
        }
        made += attempts.made();
    }
    assert!(made * 10 <= offered * 11 + 100, "{made} of {offered}");
}

#[test]
fn the_verdict_is_that_of_all_attempts() {
    let mut attempts = usual();
    let mut budget = RetryBudget::default();
    attempts.failed(Time::ZERO, &lost(), true, &mut budget, 0.0);
    assert_eq!((attempts.made(), attempts.executed()), (1, Executed::Maybe));
    attempts.begin();
    attempts.failed(Time::ZERO, &refused(), true, &mut budget, 0.0);
    assert_eq!((attempts.made(), attempts.executed()), (2, Executed::Maybe));
}
