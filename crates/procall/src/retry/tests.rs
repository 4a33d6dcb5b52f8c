//! What a call costs of the budget, at times that the test makes up.

use super::*;
use crate::metrics::Metrics;

/// Refuses every attempt.
#[derive(Default)]
struct Refusing {
    made: std::sync::atomic::AtomicU32,
    budgets: RetryBudgets,
}

impl Channel for Refusing {
    fn start(&self, _: Request<'_>) -> Result<Started, Error> {
        self.made.fetch_add(1, Ordering::Relaxed);
        Err(Error::new(ErrorCode::Overloaded, "full"))
    }

    fn notify(&self, _: Request<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn registration(&self) -> Option<Arc<Registration>> {
        None
    }

    fn metrics(&self) -> Metrics {
        Metrics::default()
    }

    fn retry_budgets(&self) -> Option<&RetryBudgets> {
        Some(&self.budgets)
    }

    fn close(&self) {}
}

impl Refusing {
    fn again(self: &Arc<Self>, deadline: std::time::Duration) -> Again {
        let mut again =
            Again::owning(self.clone(), "calc.add", Encoded::new(Encoding::Msgpack, vec![0x90]));
        again.options.deadline = Deadline::After(deadline);
        again.begin();
        again
    }

    /// Failures that are still free.
    fn left(&self) -> usize {
        self.budgets.with("calc.add", |budget| {
            let mut rest = budget.clone();
            std::iter::from_fn(|| rest.allows().then(|| rest.failed())).count()
        })
    }
}

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

fn lost() -> Error {
    Error::new(ErrorCode::WorkerLost, "it died").with_executed(procall_proto::Executed::No)
}

#[test]
fn a_pause_that_ends_after_the_deadline_costs_one_token_and_no_attempt() {
    let channel = Arc::new(Refusing::default());
    let mut again = channel.again(MINUTE);
    let Ok(mut pause) = again.failed_at(clock::now(), lost()) else {
        panic!("it may be made again")
    };
    let spent = channel.left();
    assert_eq!(spent, 4, "a failure costs one");
    let late = clock::now() + 2 * MINUTE;
    let Poll::Ready(Next::Over(error)) = again.poll_at(late, &mut pause, Waker::noop()) else {
        panic!("its time is over");
    };
    assert_eq!((error.code(), error.attempts()), (ErrorCode::WorkerLost, 1), "{error}");
    assert_eq!(channel.made.load(Ordering::Relaxed), 0);
    assert_eq!(channel.left(), spent);
    // The same seen by whoever polls the call: all of it is long past by the real clock.
    again.attempts = Attempts::new(RetryPolicy::default(), Time::ZERO, false);
    pause.due = Time::ZERO;
    let outcome = Started::pausing(pause, again).poll_reply(Waker::noop());
    let Poll::Ready(Err(error)) = outcome else { panic!("its time is over") };
    assert_eq!((error.code(), channel.left()), (ErrorCode::WorkerLost, spent));
}

#[test]
fn each_attempt_costs_one_token_at_the_end_of_its_pause() {
    let channel = Arc::new(Refusing::default());
    let mut again = channel.again(MINUTE);
    let start = clock::now();
    let Ok(mut pause) = again.failed_at(start, lost()) else { panic!("it may be made again") };
    let Poll::Ready(Next::Attempt(Err(error))) =
        again.poll_at(start + MINUTE / 2, &mut pause, Waker::noop())
    else {
        panic!("it is made again");
    };
    assert_eq!((channel.made.load(Ordering::Relaxed), channel.left()), (1, 4));
    let Ok(mut pause) = again.failed_at(start + MINUTE / 2, error) else { panic!("a third") };
    assert_eq!(channel.left(), 3);
    again.cancel(Some(&pause));
    let over = again.poll_at(start + MINUTE / 2, &mut pause, Waker::noop());
    let Poll::Ready(Next::Over(error)) = over else { panic!("it was cancelled") };
    assert_eq!((error.code(), error.attempts()), (ErrorCode::Cancelled, 2));
    assert_eq!(channel.left(), 3);
}
