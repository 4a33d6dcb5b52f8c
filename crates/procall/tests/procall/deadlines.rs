//! Deadlines: kept on both sides, inherited, and honest about what ran.

use std::time::{Duration, Instant};

use procall::{
    Call, Client, Config, Connection, Context, Error, ErrorCode, Executed, Service, Side, Stream,
};
use tokio::runtime::Runtime;

use crate::support::{Event, TRANSPORTS, Transport, blocking, client, client_over, pair, within};

const SHORT: Duration = Duration::from_millis(50);
/// What a busy machine may add to a deadline before a test fails.
const SLOW_MACHINE: Duration = Duration::from_secs(5);

/// A service whose method never answers, and the event of its handler being dropped.
fn never() -> (Service, Event, Event) {
    let (started, dropped) = (Event::default(), Event::default());
    let (start, drop) = (started.clone(), dropped.clone());
    let service = Service::new("calc")
        .async_method("never", move || {
            start.set();
            let guard = drop.on_drop();
            async move {
                let _guard = guard;
                std::future::pending::<Result<i64, Error>>().await
            }
        })
        .method("add", |a: i64, b: i64| a + b);
    (service, started, dropped)
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_its_handler_is_dropped() {
    for transport in TRANSPORTS {
        let (service, _, dropped) = never();
        let (client, _serving) = client_over(transport, service).await;
        let start = Instant::now();
        let error = client.call::<i64>("never", ()).deadline(SHORT).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
        assert_ne!(error.executed(), Executed::No, "the handler had started");
        assert!(start.elapsed() >= SHORT, "never early");
        assert!(start.elapsed() < SHORT + SLOW_MACHINE);
        dropped.happened().await;
        assert_eq!(client.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    }
}

#[test]
fn a_thread_that_waits_keeps_the_deadline_itself() {
    for transport in TRANSPORTS {
        let (service, _, dropped) = never();
        let (client, _host) = blocking(transport, service);
        let start = Instant::now();
        let error = client.call::<i64>("never", ()).deadline(SHORT).wait().unwrap_err();
        assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
        assert!(start.elapsed() >= SHORT && start.elapsed() < SHORT + SLOW_MACHINE);
        dropped.wait();
    }
}

#[tokio::test]
async fn a_deadline_that_has_passed_starts_nothing() {
    let (service, started, _) = never();
    let client = client(service).await;
    let error = client.call::<i64>("never", ()).deadline(Duration::ZERO).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::DeadlineExceeded, Executed::No));
    assert_eq!(client.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    assert!(!started.is_set());
}

/// A client of the service, which runs elsewhere with one thread for what blocks.
async fn served_by_one_thread(service: Service) -> (Runtime, Client) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (ours, theirs) = pair(Transport::Unix);
    runtime.spawn(async move { service.serve_link(theirs).unwrap() });
    let client = Client::over(ours).await.unwrap();
    (runtime, client)
}

#[tokio::test]
async fn a_call_that_waits_behind_a_blocked_pool_is_not_started_late() {
    // One thread for blocking work, and it is taken.
    let busy = Event::default();
    let (release, released) = std::sync::mpsc::sync_channel::<()>(2);
    let released = std::sync::Mutex::new(released);
    let ran = Event::default();
    let (note_busy, note_ran) = (busy.clone(), ran.clone());
    let service = BlockingService { busy: note_busy, released, ran: note_ran }.into_service();
    let (runtime, client) = served_by_one_thread(service).await;
    let client_again = client.clone();
    let first = tokio::spawn(async move { client_again.call::<()>("hold", ()).await });
    busy.happened().await;
    let error = client.call::<()>("note", ()).deadline(SHORT).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
    // By its own clock the other side may have some time left, so that its being told is what counts: this comes behind that.
    client.call::<()>("seen", ()).await.unwrap();
    release.send(()).unwrap();
    within(first).await.unwrap().unwrap();
    // What comes after the late call is served; the late call was not.
    let client_again = client.clone();
    let last = tokio::spawn(async move { client_again.call::<()>("hold", ()).await });
    release.send(()).unwrap();
    within(last).await.unwrap().unwrap();
    assert!(!ran.is_set());
    runtime.shutdown_background();
}

#[tokio::test]
async fn a_call_whose_time_is_up_is_not_started_while_nobody_reads_its_connection() {
    let (busy, ran) = (Event::default(), Event::default());
    let (release, released) = std::sync::mpsc::sync_channel::<()>(2);
    let released = std::sync::Mutex::new(released);
    let service = BlockingService { busy: busy.clone(), released, ran: ran.clone() }.into_service();
    let (go_on, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let (stalled, wait) = (Event::default(), std::sync::Mutex::new(wait));
    let note_stalled = stalled.clone();
    let service = service.method("stall", move || {
        note_stalled.set();
        wait.lock().unwrap().recv().unwrap();
    });
    let (runtime, client) = served_by_one_thread(service).await;
    let call = |method: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { client.call::<()>(method, ()).await })
    };
    let held = call("hold");
    busy.happened().await;
    let client_again = client.clone();
    let late =
        tokio::spawn(async move { client_again.call::<()>("note", ()).deadline(SHORT).await });
    let stall = call("stall");
    stalled.happened().await;
    // Nothing is read on the other side from here on. A call that begins now is not given up before the time of the late one is up there.
    client.call::<()>("note", ()).deadline(SHORT).await.unwrap_err();
    assert_eq!(within(late).await.unwrap().unwrap_err().code(), ErrorCode::DeadlineExceeded);
    release.send(()).unwrap();
    // It comes behind the late one, on the same thread.
    let (done, is_done) = tokio::sync::oneshot::channel();
    runtime.spawn_blocking(move || done.send(()));
    within(is_done).await.unwrap();
    assert!(!ran.is_set());
    go_on.send(()).unwrap();
    within(stall).await.unwrap().unwrap();
    within(held).await.unwrap().unwrap();
    runtime.shutdown_background();
}

#[procall::service(name = "blocking")]
trait Blocking {
    async fn seen(&self);
    #[method(blocking)]
    fn hold(&self);
    #[method(blocking)]
    fn note(&self);
}

struct BlockingService {
    busy: Event,
    released: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
    ran: Event,
}

impl Blocking for BlockingService {
    async fn seen(&self) {}

    fn hold(&self) {
        self.busy.set();
        self.released.lock().unwrap().recv().unwrap();
    }

    fn note(&self) {
        self.ran.set();
    }
}

#[tokio::test]
async fn a_nested_call_has_at_most_what_is_left() {
    let inner = Service::new("inner").method("left", |ctx: Context| {
        ctx.remaining().map(|left| u64::try_from(left.as_millis()).unwrap())
    });
    let inner = client(inner).await;
    let outer = Service::new("outer").async_method("left", move |own: Option<u64>| {
        let call = Call::<Option<u64>>::new(&inner, "left", ());
        let call = match own {
            Some(own) => call.deadline(Duration::from_millis(own)),
            None => call.no_deadline(),
        };
        // Started inside the handler's future, so the handler's deadline counts.
        async move { call.await }
    });
    let outer = client(outer).await;
    let call = |own: Option<u64>, deadline: u64| {
        outer.call::<Option<u64>>("left", (own,)).deadline(Duration::from_millis(deadline))
    };
    assert!(call(Some(60_000), 5_000).await.unwrap().unwrap() <= 5_000);
    assert!(call(None, 5_000).await.unwrap().unwrap() <= 5_000);
    assert!(call(Some(1_000), 5_000).await.unwrap().unwrap() <= 1_000);
    let left = outer.call::<Option<u64>>("left", (None::<u64>,)).no_deadline().await.unwrap();
    assert_eq!(left, None);
}

#[tokio::test]
async fn a_stream_ends_at_a_deadline_of_its_own() {
    let dropped = Event::default();
    let note = dropped.clone();
    let service = Service::new("calc").stream_method("some", move |n: u64| {
        let guard = note.on_drop();
        let rest = futures_util::stream::pending::<Result<u64, Error>>();
        let first = futures_util::stream::iter((0..n).map(Ok));
        Stream::new(futures_util::StreamExt::inspect(
            futures_util::StreamExt::chain(first, rest),
            move |_| {
                let _ = &guard;
            },
        ))
    });
    let client = client(service).await;
    let mut stream = procall::StreamCall::<u64>::new(&client, "some", (2,)).deadline(SHORT).start();
    assert_eq!(stream.next().await.unwrap().unwrap(), 0);
    assert_eq!(stream.next().await.unwrap().unwrap(), 1);
    let error = within(stream.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
    dropped.happened().await;
}

/// A connection that threads read, polled by a runtime that knows nothing of it: nobody reads the link or looks after its timers but the
/// standby thread.
#[tokio::test]
async fn a_call_that_is_only_polled_ends_at_its_deadline_too() {
    for transport in TRANSPORTS {
        let (service, _, dropped) = never();
        let (ours, theirs) = pair(transport);
        let serving = service.serve_link(theirs).unwrap();
        let connection = Connection::new(ours, Side::Initiator, Config::default());
        let start = Instant::now();
        let calls = [3, 1, 2].map(|times| {
            Call::<i64>::new(&connection, "never", ()).deadline(SHORT * times).into_future()
        });
        for (call, times) in calls.into_iter().zip([3, 1, 2]) {
            let error = within(call).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
            assert!(start.elapsed() >= SHORT * times, "never early");
        }
        assert!(start.elapsed() < SHORT * 3 + SLOW_MACHINE);
        within(dropped.happened()).await;
        let sum = Call::<i64>::new(&connection, "add", (1, 2)).into_future();
        assert_eq!(within(sum).await.unwrap(), 3);
        serving.close();
    }
}

/// The same for one that is only sent to: the service takes no item, so there is no credit for another.
#[tokio::test]
async fn a_sender_without_credit_hears_of_the_deadline_too() {
    for transport in TRANSPORTS {
        let (ours, theirs) = pair(transport);
        // Nobody takes what it gets.
        let _server = Connection::serving(theirs, Side::Acceptor, Config::default());
        let connection = Connection::new(ours, Side::Initiator, Config::default());
        let options = procall::CallOptions {
            deadline: procall::Deadline::After(SHORT),
            items_in: true,
            ..procall::CallOptions::default()
        };
        let request = procall::Request::new("hold", procall::Encoding::Msgpack, &[0x90]);
        let mut call = connection.start(request.with_options(options)).unwrap();
        let over = within(async {
            loop {
                let send = |cx: &mut std::task::Context<'_>| {
                    call.poll_send(procall::Encoding::Msgpack, &[7], cx.waker())
                };
                if let Err(over) = std::future::poll_fn(send).await {
                    return over;
                }
            }
        });
        over.await;
        let error = within(call).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
    }
}
