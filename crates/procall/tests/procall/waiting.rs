//! More calls than a connection carries: they wait for their turn.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use procall::{
    Batch, CallOptions, Config, Connection, Deadline, Encoded, Encoding, Error, ErrorCode,
    Executed, Hub, Limits, Pending, Request, Service, Side, Stream,
};

use crate::support::{
    Event, TRANSPORTS, Transport, blocking, client_over, pair, poll_until, within,
};

/// Two in flight, three in the line.
fn few() -> Limits {
    Limits { max_calls: 2, max_waiting: 3, ..Limits::default() }
}

fn sides(limits: Limits) -> (Connection, Connection) {
    let (ours, theirs) = pair(Transport::Mem);
    let client = Connection::new(ours, Side::Initiator, Config { limits, ..Config::default() });
    let server = Connection::serving(theirs, Side::Acceptor, Config::default());
    poll_until(|| {
        server.turn();
        client.turn();
        client.peer().map(|_| ())
    });
    (client, server)
}

fn start_with(client: &Connection, method: &str, options: CallOptions) -> Result<Pending, Error> {
    client.start(Request::new(method, Encoding::None, &[]).with_options(options))
}

fn start(client: &Connection, method: &str) -> Pending {
    start_with(client, method, CallOptions::default()).unwrap()
}

/// The methods of the calls that the server has got since it was asked last, which it answers when `answer` says so.
fn seen(client: &Connection, server: &Connection, answer: bool) -> Vec<String> {
    let (mut batch, mut methods) = (Batch::new(), Vec::new());
    client.turn();
    server.turn();
    while server.take_calls(&mut batch) {
        for call in batch.iter() {
            methods.push(batch.method(call).to_owned());
            if answer {
                server.reply(call.id.unwrap(), nothing());
            }
        }
        batch.clear();
        client.turn();
        server.turn();
    }
    methods
}

fn nothing() -> Encoded {
    Encoded::new(Encoding::None, Vec::new())
}

/// The outcome that is here already.
fn outcome(call: &mut Pending) -> Result<Encoded, Error> {
    match call.poll_reply(Waker::noop()) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it has no outcome yet"),
    }
}

fn verdict(error: &Error) -> (ErrorCode, Executed) {
    (error.code(), error.executed())
}

#[test]
fn they_start_in_their_order_as_others_end() {
    let (client, server) = sides(few());
    let mut calls: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| start(&client, name)).into();
    assert_eq!((client.calling(), client.metrics().queue_depth), (5, 3));
    assert_eq!(seen(&client, &server, false), ["a", "b"]);
    assert!(seen(&client, &server, false).is_empty());
    // One that its caller gave up keeps its place until the server is done with it.
    drop(calls.remove(0));
    assert!(seen(&client, &server, false).is_empty());
    server.reply(1, nothing());
    assert_eq!(seen(&client, &server, false), ["c"]);
    // Nobody overtakes those who wait.
    calls.push(start(&client, "f"));
    server.reply(3, nothing());
    server.reply(5, nothing());
    assert_eq!(seen(&client, &server, true), ["d", "e", "f"]);
    for call in calls {
        call.wait().unwrap();
    }
    let metrics = client.metrics();
    assert_eq!((metrics.total_requests, metrics.in_flight, metrics.queue_depth), (6, 0, 0));
    assert_eq!((metrics.successful_requests, metrics.cancelled_requests), (5, 1));
}

#[test]
fn a_full_line_refuses_and_says_when_to_come_again() {
    let (client, _server) = sides(few());
    let calls: Vec<_> = (0..5).map(|_| start(&client, "work")).collect();
    let error = start_with(&client, "work", CallOptions::default()).unwrap_err();
    assert_eq!(verdict(&error), (ErrorCode::Overloaded, Executed::No));
    assert!(error.retry_after().is_some() && error.message().contains("3 calls wait"), "{error}");
    drop(calls);
    assert_eq!(client.metrics().in_flight, 0);
}

#[test]
fn the_bodies_in_the_line_are_bounded_too() {
    let limits = Limits { max_calls: 1, max_queued: 1000, ..Limits::default() };
    let (client, _server) = sides(limits);
    let body = [0xc0; 400];
    let start = || client.start(Request::new("work", Encoding::Msgpack, &body));
    let calls: Vec<_> = (0..3).map(|_| start().unwrap()).collect();
    let error = start().unwrap_err();
    assert_eq!(verdict(&error), (ErrorCode::Overloaded, Executed::No));
    assert!(error.message().contains("bytes"), "{error}");
    drop(calls);
}

#[test]
fn what_can_never_be_sent_is_refused_at_once() {
    let (client, _server) = sides(few());
    let _calls: Vec<_> = (0..3).map(|_| start(&client, "work")).collect();
    let error = start_with(&client, "", CallOptions::default()).unwrap_err();
    assert_eq!(verdict(&error), (ErrorCode::InvalidArgument, Executed::No));
    let options = CallOptions { meta: vec![0x93, 1, 2, 3], ..CallOptions::default() };
    let error = start_with(&client, "work", options).unwrap_err();
    assert_eq!(verdict(&error), (ErrorCode::InvalidArgument, Executed::No));
}

#[test]
fn a_deadline_that_passes_in_the_line_ends_the_call_unsent() {
    const SHORT: Duration = Duration::from_millis(20);
    for hubbed in [false, true] {
        let (client, server) = sides(few());
        let hub = Hub::new().unwrap();
        if hubbed {
            hub.attach(&client).unwrap();
        }
        let calls: Vec<_> = (0..2).map(|_| start(&client, "work")).collect();
        let options = CallOptions { deadline: Deadline::After(SHORT), ..CallOptions::default() };
        let mut late = start_with(&client, "late", options).unwrap();
        let error = if hubbed {
            let waker = hub.waker(1);
            loop {
                match late.poll_reply(&waker) {
                    Poll::Ready(outcome) => break outcome.unwrap_err(),
                    Poll::Pending => assert!(hub.wait(Some(crate::support::LONG)).unwrap()),
                }
                hub.turn();
            }
        } else {
            late.wait().unwrap_err()
        };
        assert_eq!(verdict(&error), (ErrorCode::DeadlineExceeded, Executed::No));
        assert!(error.message().contains("waited for its turn"), "{error}");
        assert_eq!(seen(&client, &server, true), ["work", "work"]);
        for call in calls {
            call.wait().unwrap();
        }
        assert!(seen(&client, &server, true).is_empty());
    }
}

#[test]
fn a_deadline_is_kept_for_who_only_polls() {
    let (client, _server) = sides(few());
    let _calls: Vec<_> = (0..2).map(|_| start(&client, "work")).collect();
    let deadline = Deadline::After(Duration::from_millis(20));
    let options = CallOptions { deadline, ..CallOptions::default() };
    let late = start_with(&client, "late", options).unwrap();
    // A runtime without a driver of ours, as any executor is.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let error = runtime.block_on(within(late)).unwrap_err();
    assert_eq!(verdict(&error), (ErrorCode::DeadlineExceeded, Executed::No));
}

#[test]
fn what_is_left_of_its_time_travels_with_the_call() {
    let (client, server) = sides(few());
    let first: Vec<_> = (0..2).map(|_| start(&client, "work")).collect();
    let given = Duration::from_secs(60);
    let options = CallOptions { deadline: Deadline::After(given), ..CallOptions::default() };
    let waits = start_with(&client, "waits", options).unwrap();
    let waited = std::time::Instant::now();
    // Something that takes a while without being a pause for its own sake.
    assert_eq!(seen(&client, &server, false), ["work", "work"]);
    while waited.elapsed() < Duration::from_millis(5) {
        client.turn();
    }
    server.reply(1, nothing());
    let mut batch = Batch::new();
    poll_until(|| {
        client.turn();
        server.turn();
        server.take_calls(&mut batch).then_some(())
    });
    let left = batch.iter().next().unwrap().remaining().unwrap();
    assert!(left <= given - Duration::from_millis(4), "{left:?} of {given:?} are left");
    drop((first, waits));
}

#[test]
fn a_cancel_takes_it_out_of_the_line() {
    let (client, server) = sides(few());
    let first: Vec<_> = (0..2).map(|_| start(&client, "work")).collect();
    let mut cancelled = start(&client, "cancelled");
    let dropped = start(&client, "dropped");
    let last = start(&client, "last");
    cancelled.cancel();
    let error = outcome(&mut cancelled).unwrap_err();
    assert_eq!(verdict(&error), (ErrorCode::Cancelled, Executed::No));
    drop(dropped);
    assert_eq!(client.metrics().queue_depth, 1);
    assert_eq!(seen(&client, &server, true), ["work", "work", "last"]);
    for call in first.into_iter().chain([last]) {
        call.wait().unwrap();
    }
    assert_eq!(client.metrics().cancelled_requests, 2);
}

#[test]
fn when_the_connection_goes_those_who_wait_hear_at_once_that_they_did_not_run() {
    type End = fn(&Connection, &Connection);
    let ends: [(End, ErrorCode); 3] = [
        (|_, server| server.close(), ErrorCode::ConnectionLost),
        (|client, _| client.close(), ErrorCode::Closed),
        (|_, server| server.drain("enough"), ErrorCode::Unavailable),
    ];
    for (end, code) in ends {
        let (client, server) = sides(few());
        let _first: Vec<_> = (0..2).map(|_| start(&client, "work")).collect();
        let mut waiting: Vec<_> = (0..3).map(|_| start(&client, "work")).collect();
        assert_eq!(seen(&client, &server, false).len(), 2);
        end(&client, &server);
        for call in &mut waiting {
            let error = poll_until(|| {
                client.turn();
                server.turn();
                match call.poll_reply(Waker::noop()) {
                    Poll::Ready(outcome) => Some(outcome.unwrap_err()),
                    Poll::Pending => None,
                }
            });
            assert_eq!(verdict(&error), (code, Executed::No));
        }
        assert_eq!(client.metrics().queue_depth, 0);
    }
}

#[test]
fn the_pools_own_calls_do_not_wait_here() {
    struct Counted(AtomicI64);
    impl procall::Lease for Counted {
        fn release(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (client, _server) = sides(few());
    let _calls: Vec<_> = (0..2).map(|_| start(&client, "work")).collect();
    let lease = Arc::new(Counted(AtomicI64::new(0)));
    let request = Request::new("work", Encoding::None, &[]);
    let error = client.start_leased(request, lease.clone(), Duration::ZERO, None).unwrap_err();
    assert_eq!(verdict(&error), (ErrorCode::Overloaded, Executed::No));
    assert_eq!(lease.0.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn streams_wait_too_both_ways() {
    let hold = Event::default();
    let held = hold.clone();
    let service = Service::new("calc")
        .async_method("hold", move || {
            let held = held.clone();
            async move {
                held.happened().await;
                Ok::<_, Error>(())
            }
        })
        .stream_method("count", |n: u64| Stream::from_iter(0..n));
    for transport in TRANSPORTS {
        let (client, _serving) = client_over(transport, service.clone()).await;
        let holding: Vec<_> =
            (0..1024).map(|_| client.call::<()>("hold", ()).into_future()).collect();
        let mut count = client.stream::<u64>("count", (200,));
        let (first, second) = tokio::join!(
            async {
                let mut got = Vec::new();
                while let Some(n) = within(count.next()).await {
                    got.push(n.unwrap());
                }
                got
            },
            async { hold.set() }
        );
        assert_eq!((first, second), ((0..200).collect(), ()));
        for call in holding {
            within(call).await.unwrap();
        }
    }
}

#[procall::service]
trait Adding {
    async fn hold(&self) -> ();
    async fn sum(&self, values: Stream<i64>) -> Result<i64, Error>;
}

struct Adds(Event);

impl Adding for Adds {
    async fn hold(&self) {
        self.0.happened().await;
    }

    async fn sum(&self, mut values: Stream<i64>) -> Result<i64, Error> {
        let mut sum = 0;
        while let Some(value) = values.next().await {
            sum += value?;
        }
        Ok(sum)
    }
}

#[tokio::test]
async fn items_that_are_sent_while_the_call_waits_are_all_taken() {
    let (ours, theirs) = pair(Transport::Unix);
    let hold = Event::default();
    let _serving = Adds(hold.clone()).into_service().serve_link(theirs).unwrap();
    let limits = Limits { max_calls: 1, ..Limits::default() };
    let client = Connection::new(ours, Side::Initiator, Config { limits, ..Config::default() });
    let hub = Hub::new().unwrap();
    hub.attach(&client).unwrap();
    let _reading = procall::drive_hub(&hub).unwrap();
    let first = start(&client, "hold");
    let sum = procall::Call::<i64>::new(&client, "sum", ()).items(1_i64..=100);
    // A stream that ends before the call has its turn.
    let options = CallOptions { items_in: true, ..CallOptions::default() };
    let mut empty = start_with(&client, "sum", options).unwrap();
    empty.end_items();
    let (sum, empty, ()) = tokio::join!(within(sum.into_future()), within(empty), async {
        hold.set();
        within(first).await.unwrap();
    });
    assert_eq!(sum.unwrap(), 5050);
    assert_eq!(empty.unwrap().bytes, [0]);
}

#[tokio::test]
async fn ten_thousand_at_once_are_all_answered() {
    for transport in TRANSPORTS {
        let service = Service::new("calc").method("add", |a: i64, b: i64| a + b);
        let (client, _serving) = client_over(transport, service).await;
        let calls: Vec<_> =
            (0..10_000_i64).map(|at| client.call::<i64>("add", (at, 1)).into_future()).collect();
        for (at, call) in calls.into_iter().enumerate() {
            assert_eq!(within(call).await.unwrap(), at as i64 + 1);
        }
        assert_eq!(client.metrics().successful_requests, 10_000);
    }
}

#[test]
fn ten_thousand_of_a_blocking_client_are_all_answered_and_start_in_order() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let noted = order.clone();
    let service =
        Service::new("calc").method("note", move |at: i64| noted.lock().unwrap().push(at));
    let (client, _host) = blocking(Transport::Unix, service);
    let calls: Vec<_> =
        (0..10_000_i64).map(|at| client.submit_held::<()>("note", (at,)).unwrap()).collect();
    for call in calls {
        call.wait().unwrap();
    }
    assert!(order.lock().unwrap().iter().copied().eq(0..10_000));
}

#[test]
fn threads_wait_for_their_turn_too() {
    let service = Service::new("calc").method("add", |a: i64, b: i64| a + b);
    let (ours, theirs) = pair(Transport::Unix);
    let host = crate::support::Host::new();
    let _serving = host.runtime.block_on(async { service.serve_link(theirs) }).unwrap();
    let limits = Limits { max_calls: 3, ..Limits::default() };
    let client = Connection::new(ours, Side::Initiator, Config { limits, ..Config::default() });
    std::thread::scope(|scope| {
        for thread in 0..16_i64 {
            let client = &client;
            scope.spawn(move || {
                for at in 0..200 {
                    let call = procall::Call::<i64>::new(client, "add", (thread, at));
                    assert_eq!(call.wait().unwrap(), thread + at);
                }
            });
        }
    });
    assert_eq!(client.metrics().successful_requests, 16 * 200);
}
