//! The retry layer around channels that fail as the test says. Its rule has tests of its own, in virtual time, beside the protocol.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use procall::{
    AsChannel, Call, Channel, Client, Error, ErrorCode, Executed, MethodInfo, Metrics, Pending,
    Queued, Registration, Request, RetryBudgets, Service, Started, Stream, StreamCall,
};

use crate::support::{LONG, client, within};

/// How one attempt goes, before those that reach the service.
#[derive(Clone)]
enum Goes {
    /// It is refused at once.
    Refused(Error),
    /// It is taken, and fails then.
    Fails(Error),
}

#[derive(Clone)]
struct Scripted(Arc<Script>);

struct Script {
    attempts: Mutex<VecDeque<Goes>>,
    made: AtomicUsize,
    budgets: RetryBudgets,
    registration: Option<Arc<Registration>>,
    service: Client,
}

struct Failing(Option<Error>);

impl Queued for Failing {
    fn poll_started(&mut self, _: &Waker) -> Poll<Result<Pending, Error>> {
        Poll::Ready(Err(self.0.take().unwrap()))
    }

    fn cancel(&self) {}
}

impl Channel for Scripted {
    fn start(&self, request: Request<'_>) -> Result<Started, Error> {
        self.0.made.fetch_add(1, Ordering::Relaxed);
        match self.0.attempts.lock().unwrap().pop_front() {
            Some(Goes::Refused(error)) => Err(error),
            Some(Goes::Fails(error)) => {
                Ok(Started::from(Box::new(Failing(Some(error))) as Box<dyn Queued>))
            }
            None => Channel::start(&self.0.service, request),
        }
    }

    fn notify(&self, request: Request<'_>) -> Result<(), Error> {
        Channel::notify(&self.0.service, request)
    }

    fn registration(&self) -> Option<Arc<Registration>> {
        self.0.registration.clone()
    }

    fn metrics(&self) -> Metrics {
        let mut metrics = Channel::metrics(&self.0.service);
        metrics.retries = self.0.budgets.retries();
        metrics
    }

    fn retry_budgets(&self) -> Option<&RetryBudgets> {
        Some(&self.0.budgets)
    }

    fn close(&self) {
        self.0.service.close();
    }
}

impl AsChannel for Scripted {
    fn as_channel(&self) -> Arc<dyn Channel> {
        Arc::new(self.clone())
    }
}

impl Scripted {
    fn made(&self) -> usize {
        self.0.made.load(Ordering::Relaxed)
    }

    fn call(&self) -> Call<i64> {
        Call::new(self, "add", (2, 3))
    }
}

async fn scripted(attempts: impl IntoIterator<Item = Goes>) -> Scripted {
    scripted_knowing(attempts, None).await
}

async fn scripted_knowing(
    attempts: impl IntoIterator<Item = Goes>,
    registration: Option<Registration>,
) -> Scripted {
    let service = Service::new("calc")
        .method("add", |a: i64, b: i64| a + b)
        .stream_method("count", |n: u64| Stream::from_iter(0..n));
    Scripted(Arc::new(Script {
        attempts: Mutex::new(attempts.into_iter().collect()),
        made: AtomicUsize::new(0),
        budgets: RetryBudgets::default(),
        registration: registration.map(Arc::new),
        service: client(service).await,
    }))
}

fn busy() -> Error {
    Error::new(ErrorCode::Overloaded, "full")
}

fn lost() -> Error {
    Error::new(ErrorCode::WorkerLost, "it died")
}

#[tokio::test]
async fn a_refused_call_is_made_again_whoever_waits_for_it() {
    for goes in [Goes::Refused, Goes::Fails] {
        let attempts = || [goes(busy()), goes(busy())];
        let awaited = scripted(attempts()).await;
        assert_eq!(within(awaited.call().into_future()).await.unwrap(), 5);
        assert_eq!((awaited.made(), awaited.metrics().retries), (3, 2));

        let waited = scripted(attempts()).await;
        let call = waited.call();
        assert_eq!(within(tokio::task::spawn_blocking(|| call.wait())).await.unwrap().unwrap(), 5);

        let reporting = scripted(attempts()).await;
        let call = reporting.call().on_progress(|_| ());
        assert_eq!(within(tokio::task::spawn_blocking(|| call.wait())).await.unwrap().unwrap(), 5);
        assert_eq!(reporting.made(), 3);
    }
}

#[tokio::test]
async fn the_error_says_how_many_attempts_were_made() {
    let calc = scripted(vec![Goes::Refused(busy()); 9]).await;
    let error = within(calc.call().into_future()).await.unwrap_err();
    assert_eq!((error.attempts(), calc.made()), (3, 3));
    assert_eq!(error.to_string(), "OVERLOADED: full (executed: no, attempts: 3)");
    assert!(format!("{error:?}").contains("\n  attempts  3"));

    let once = scripted(vec![Goes::Refused(busy()); 9]).await;
    let error = within(once.call().retries(0).into_future()).await.unwrap_err();
    assert_eq!(
        (error.attempts(), once.made(), error.to_string().contains("attempts")),
        (1, 1, false)
    );

    let more = scripted(vec![Goes::Refused(busy()); 4]).await;
    assert_eq!(within(more.call().retries(4).into_future()).await.unwrap(), 5);
    assert_eq!(more.made(), 5);
}

#[tokio::test]
async fn what_may_have_run_is_made_again_only_when_somebody_says_that_it_may() {
    let calc = scripted([Goes::Fails(lost())]).await;
    let error = within(calc.call().into_future()).await.unwrap_err();
    assert_eq!((error.code(), error.attempts(), calc.made()), (ErrorCode::WorkerLost, 1, 1));

    let said = scripted([Goes::Fails(lost())]).await;
    assert_eq!(within(said.call().idempotent().into_future()).await.unwrap(), 5);

    for known in ["add", "calc.add"] {
        let info = MethodInfo { name: known.into(), idempotent: true, ..MethodInfo::default() };
        let known = Registration { methods: vec![info], ..Registration::default() };
        let described = scripted_knowing([Goes::Fails(lost())], Some(known)).await;
        assert_eq!(within(described.call().into_future()).await.unwrap(), 5);
    }
}

#[tokio::test]
async fn the_verdict_is_that_of_all_attempts() {
    let calc = scripted([Goes::Fails(lost()), Goes::Refused(busy()), Goes::Refused(busy())]).await;
    let error = within(calc.call().idempotent().into_future()).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Overloaded, Executed::Maybe));
}

#[tokio::test]
async fn a_call_of_a_handler_is_made_again_only_when_it_was_not_executed() {
    let calc = scripted([Goes::Fails(lost())]).await;
    let nested = procall::with_remaining(None, || calc.call().idempotent().into_future());
    assert_eq!(within(nested).await.unwrap_err().attempts(), 1);
    let refused = scripted([Goes::Fails(busy())]).await;
    let nested = procall::with_remaining(None, || refused.call().into_future());
    assert_eq!(within(nested).await.unwrap(), 5);
}

#[tokio::test]
async fn the_other_side_says_when_and_whether() {
    let forbidden = scripted([Goes::Refused(busy().with_no_retry())]).await;
    let error = within(forbidden.call().into_future()).await.unwrap_err();
    assert!(error.no_retry() && forbidden.made() == 1);

    let begun = std::time::Instant::now();
    let pause = Duration::from_millis(120);
    let later = scripted([Goes::Refused(busy().with_retry_after(pause))]).await;
    assert_eq!(within(later.call().into_future()).await.unwrap(), 5);
    assert!(begun.elapsed() >= pause);

    // Beyond the deadline there is nothing to wait for: the error is there at once.
    let never = scripted([Goes::Refused(busy().with_retry_after(Duration::from_secs(3600)))]).await;
    let error = within(never.call().deadline(LONG * 2).into_future()).await.unwrap_err();
    assert_eq!((error.code(), never.made()), (ErrorCode::Overloaded, 1));
}

#[tokio::test]
async fn a_call_can_be_cancelled_between_two_attempts() {
    let long = lost().with_retry_after(Duration::from_secs(3600));
    let calc = scripted([Goes::Fails(long)]).await;
    let options = procall::CallOptions {
        idempotent: true,
        deadline: procall::Deadline::Never,
        ..procall::CallOptions::default()
    };
    let request = Request::new("add", procall::Encoding::Msgpack, &[0x92, 2, 3]);
    let channel = calc.as_channel();
    let mut started = procall::start_retrying(&channel, request.with_options(options)).unwrap();
    let polled = std::future::poll_fn(|cx| Poll::Ready(started.poll_reply(cx.waker()))).await;
    assert!(polled.is_pending() && !started.is_queued());
    started.cancel();
    let error = within(started).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Cancelled, Executed::Maybe));
    assert_eq!(calc.made(), 1);
}

#[tokio::test]
async fn a_stream_is_made_again_before_its_first_item_and_not_after_it() {
    let calc = scripted([Goes::Fails(busy()), Goes::Refused(busy())]).await;
    let mut numbers = StreamCall::<u64>::new(&calc, "count", (2,)).start();
    assert_eq!(within(numbers.next()).await.unwrap().unwrap(), 0);
    assert_eq!(calc.made(), 3);

    // The connection ends in the middle of the stream: what came of it cannot be taken back.
    let long = scripted([]).await;
    let mut numbers = StreamCall::<u64>::new(&long, "count", (1_000_000,)).idempotent().start();
    within(numbers.next()).await.unwrap().unwrap();
    long.0.service.close();
    let error = loop {
        match within(numbers.next()).await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!((error.attempts(), long.made()), (1, 1));
}

#[tokio::test]
async fn a_call_that_sends_a_stream_is_made_once() {
    let calc = scripted([Goes::Fails(busy())]).await;
    let call: Call<i64> = Call::new(&calc, "add", ()).items([1_i64]);
    assert_eq!(within(call.into_future()).await.unwrap_err().attempts(), 1);
    assert_eq!(calc.made(), 1);
}

#[tokio::test]
async fn large_params_are_kept_only_for_who_asks() {
    let params = "x".repeat(2 << 20);
    let calc = scripted(vec![Goes::Refused(busy()); 8]).await;
    let call: Call<i64> = Call::new(&calc, "add", (&params,));
    assert_eq!(within(call.into_future()).await.unwrap_err().attempts(), 1);
    let call: Call<i64> = Call::new(&calc, "add", (&params,)).retries(1);
    assert_eq!(within(call.into_future()).await.unwrap_err().attempts(), 2);
}

#[tokio::test]
async fn a_spent_budget_ends_the_retries_until_calls_end_well_again() {
    let calc = scripted(vec![Goes::Refused(busy()); 5]).await;
    for attempts in [3, 2] {
        let error = within(calc.call().retries(attempts - 1).into_future()).await.unwrap_err();
        assert_eq!(error.attempts(), attempts);
    }
    calc.0.attempts.lock().unwrap().push_back(Goes::Refused(busy()));
    assert_eq!(within(calc.call().into_future()).await.unwrap_err().attempts(), 1);
    // 4 tokens: eleven successes make more than five.
    for _ in 0..11 {
        within(calc.call().into_future()).await.unwrap();
    }
    calc.0.attempts.lock().unwrap().push_back(Goes::Refused(busy()));
    assert_eq!(within(calc.call().into_future()).await.unwrap(), 5);
}

#[tokio::test]
async fn a_connection_that_is_gone_is_not_asked_again() {
    let calc = client(Service::new("calc").method("add", |a: i64, b: i64| a + b)).await;
    calc.close();
    let error = within(calc.call::<i64>("add", (1, 2)).into_future()).await.unwrap_err();
    assert_eq!((error.attempts(), error.executed()), (1, Executed::No));
}
