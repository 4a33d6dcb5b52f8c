//! A service whose calls go on to a channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procall::{
    Channel, Client, Connection, Context, Error, ErrorCode, Executed, FieldError, Metrics,
    Registration, Request, Service, Started, Stream,
};

use crate::support::{Event, TRANSPORTS, Transport, client, client_over, within};

#[procall::service(name = "calc")]
trait Far {
    #[method(idempotent)]
    async fn add(&self, a: i64, b: i64) -> i64;
    async fn sum(&self, values: Stream<i64>) -> Result<i64, Error>;
    /// Takes one value, and no more until it is told to.
    async fn hold(&self, values: Stream<i64>) -> Result<i64, Error>;
    async fn count(&self, n: i64) -> Stream<i64>;
    async fn echo(&self, values: Stream<String>) -> Stream<String>;
    /// Never answers.
    async fn wait(&self) -> i64;
    async fn fail(&self) -> Result<i64, Error>;
    async fn fail_late(&self) -> Stream<i64>;
    async fn report(&self, ctx: Context) -> i64;
    /// What is left of the deadline, in milliseconds.
    async fn left(&self, ctx: Context) -> Option<u64>;
    async fn meta(&self, ctx: Context) -> Option<u64>;
    async fn tell(&self, value: i64);
}

#[derive(Default, Clone)]
struct MyFar {
    begun: Event,
    dropped: Event,
    go: Event,
    told: Event,
    made: Arc<AtomicU64>,
}

impl Far for MyFar {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn sum(&self, mut values: Stream<i64>) -> Result<i64, Error> {
        let _guard = self.dropped.on_drop();
        let mut sum = 0;
        while let Some(value) = values.next().await {
            self.begun.set();
            sum += value?;
        }
        Ok(sum)
    }

    async fn hold(&self, mut values: Stream<i64>) -> Result<i64, Error> {
        let first = values.next().await.unwrap_or(Ok(0))?;
        self.begun.set();
        self.go.happened().await;
        Ok(first + self.sum(values).await?)
    }

    async fn count(&self, n: i64) -> Stream<i64> {
        let (made, guard) = (self.made.clone(), self.dropped.on_drop());
        Stream::from_iter((0..n).inspect(move |_| {
            let _held = &guard;
            made.fetch_add(1, Ordering::SeqCst);
        }))
    }

    async fn echo(&self, values: Stream<String>) -> Stream<String> {
        values
    }

    async fn wait(&self) -> i64 {
        let _guard = self.dropped.on_drop();
        self.begun.set();
        std::future::pending().await
    }

    async fn fail(&self) -> Result<i64, Error> {
        Err(everything())
    }

    async fn fail_late(&self) -> Stream<i64> {
        let items = [Ok(1), Ok(2), Err(everything())];
        Stream::new(futures_util::stream::iter(items))
    }

    async fn report(&self, ctx: Context) -> i64 {
        ctx.progress(1, Some(2), "half");
        self.go.happened().await;
        2
    }

    async fn left(&self, ctx: Context) -> Option<u64> {
        ctx.remaining().map(|left| left.as_millis() as u64)
    }

    async fn meta(&self, ctx: Context) -> Option<u64> {
        #[derive(serde::Deserialize)]
        struct Meta {
            user: u64,
        }
        ctx.meta::<Meta>().map(|meta| meta.user)
    }

    async fn tell(&self, value: i64) {
        if value == 7 {
            self.told.set();
        }
    }
}

/// An error with all that one can have.
fn everything() -> Error {
    Error::handler("Full", "no room")
        .with_worker("calc/2 (pid 4131)")
        .with_trace("line 1\nline 2")
        .with_retry_after(Duration::from_millis(1500))
        .with_fields(vec![FieldError { path: "/a".into(), message: "too large".into() }])
        .with_candidates(vec!["calc.add".into()])
        .with_raw_details(vec![0x81, 0xa1, b'n', 7])
}

/// A connection of which it is known what is served at its other end.
struct Known {
    client: Client,
    registration: Option<Registration>,
}

impl Channel for Known {
    fn start(&self, request: Request<'_>) -> Result<Started, Error> {
        self.client.start(request)
    }

    fn notify(&self, request: Request<'_>) -> Result<(), Error> {
        Channel::notify(&self.client, request)
    }

    fn registration(&self) -> Option<Arc<Registration>> {
        self.registration.clone().map(Arc::new)
    }

    fn metrics(&self) -> Metrics {
        Channel::metrics(&self.client)
    }

    fn close(&self) {
        self.client.close();
    }
}

/// A client of a relay that stands before a service; and the relay's connection to that service.
async fn relayed(transport: Transport, far: MyFar) -> (Client, Connection) {
    let service = far.into_service();
    let registration = Some(service.registration().clone());
    let behind = client(service).await;
    let far = behind.connection().clone();
    let channel = Arc::new(Known { client: behind, registration });
    let relay = Service::relay("calc", channel).unwrap();
    (client_over(transport, relay).await.0, far)
}

async fn over_mem(far: &MyFar) -> (Client, Connection) {
    relayed(Transport::Mem, far.clone()).await
}

#[tokio::test]
async fn every_shape_passes() {
    for transport in TRANSPORTS {
        let (client, _far) = relayed(transport, MyFar::default()).await;
        assert_eq!(within(client.call::<i64>("add", (2, 3)).into_future()).await.unwrap(), 5);
        let sum = client.send_stream::<i64, _>("sum", (), 1..=5000_i64);
        assert_eq!(within(sum.into_future()).await.unwrap(), 12_502_500);
        assert_eq!(
            all::<i64>(client.stream("count", (3000,))).await,
            (0..3000).collect::<Vec<i64>>()
        );
        assert!(all::<i64>(client.stream("count", (0,))).await.is_empty());
        let words: Vec<String> = (0..500).map(|n| n.to_string()).collect();
        assert_eq!(all::<String>(client.duplex("echo", (), words.clone())).await, words);
    }
}

async fn all<T: serde::de::DeserializeOwned>(mut stream: Stream<T>) -> Vec<T> {
    let mut values = Vec::new();
    while let Some(value) = within(stream.next()).await {
        values.push(value.unwrap());
    }
    values
}

#[tokio::test]
async fn it_offers_what_is_behind_it_and_large_bodies_pass() {
    let (client, _far) = over_mem(&MyFar::default()).await;
    let offered = client.methods().await.unwrap();
    let behind = MyFar::default().into_service();
    assert_eq!(offered.methods, behind.registration().methods);
    assert!(offered.concurrency > 1024);
    let words = vec!["x".repeat(300_000), String::new()];
    assert_eq!(all::<String>(client.duplex("echo", (), words.clone())).await, words);
}

#[tokio::test]
async fn errors_arrive_as_they_were() {
    let (client, _far) = over_mem(&MyFar::default()).await;
    let error = within(client.call::<i64>("fail", ()).into_future()).await.unwrap_err();
    let mut stream = client.stream::<i64>("fail_late", ());
    assert_eq!(within(stream.next()).await.unwrap().unwrap(), 1);
    assert_eq!(within(stream.next()).await.unwrap().unwrap(), 2);
    let late = within(stream.next()).await.unwrap().unwrap_err();
    for error in [error, late] {
        let wanted = everything();
        assert_eq!(error.code(), ErrorCode::HandlerError);
        assert_eq!(error.executed(), Executed::Yes);
        assert_eq!(error.remote_type(), wanted.remote_type());
        assert_eq!(error.message(), wanted.message());
        assert_eq!(error.worker(), wanted.worker());
        assert_eq!(error.trace(), wanted.trace());
        assert_eq!(error.retry_after(), wanted.retry_after());
        assert_eq!(error.fields(), wanted.fields());
        assert_eq!(error.candidates(), wanted.candidates());
        assert_eq!(error.raw_details(), wanted.raw_details());
    }
}

#[tokio::test]
async fn an_error_that_kept_the_handler_from_running_still_says_so() {
    let (client, far) = over_mem(&MyFar::default()).await;
    let error = within(client.call::<i64>("add", ("x", 1)).into_future()).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
    assert_eq!(error.fields()[0].path, "/0");

    // Nothing is behind the relay any more.
    far.close();
    let error = within(client.call::<i64>("add", (1, 2)).into_future()).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Closed, Executed::No));
}

#[tokio::test]
async fn an_unknown_method_gets_names_that_were_perhaps_meant() {
    let (client, _far) = over_mem(&MyFar::default()).await;
    let error = within(client.call::<i64>("calc.ad", ()).into_future()).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NotFound, Executed::No));
    assert_eq!(error.candidates()[0], "calc.add");
}

#[tokio::test]
async fn a_cancel_reaches_the_far_handler() {
    let service = MyFar::default();
    let (client, far) = over_mem(&service).await;
    let call = tokio::spawn(client.call::<i64>("wait", ()).into_future());
    service.begun.happened().await;
    call.abort();
    service.dropped.happened().await;

    // One that asks for the end and waits for the outcome.
    let started = client.connection().start(Request::new("wait", procall::Encoding::None, &[]));
    let mut started = Started::from(started.unwrap());
    let answered = client.call::<i64>("add", (1, 2));
    assert_eq!(within(answered.into_future()).await.unwrap(), 3);
    started.cancel();
    let error = within(std::future::poll_fn(|cx| started.poll_reply(cx.waker()))).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::Cancelled);
    assert_eq!(far.calling(), 0, "nothing is left behind the relay");
}

#[tokio::test]
async fn a_caller_that_is_gone_cancels_what_it_asked_for() {
    let service = MyFar::default();
    let (client, _far) = over_mem(&service).await;
    let call = tokio::spawn(client.call::<i64>("wait", ()).into_future());
    service.begun.happened().await;
    client.close();
    assert_eq!(within(call).await.unwrap().unwrap_err().code(), ErrorCode::Closed);
    service.dropped.happened().await;
}

#[tokio::test]
async fn a_stream_that_is_cut_short_by_its_sender_cancels_the_far_handler() {
    let service = MyFar::default();
    let (client, _far) = over_mem(&service).await;
    let items = futures_util::stream::iter([Ok(1_i64)]);
    let endless = futures_util::StreamExt::chain(items, futures_util::stream::pending());
    let call = client.call::<i64>("sum", ()).items(Stream::new(endless));
    let call = tokio::spawn(call.into_future());
    service.begun.happened().await;
    call.abort();
    service.dropped.happened().await;
}

#[tokio::test]
async fn what_is_left_of_a_deadline_passes() {
    let (client, _far) = over_mem(&MyFar::default()).await;
    let left = client.call::<Option<u64>>("left", ()).deadline(Duration::from_secs(60));
    let left = within(left.into_future()).await.unwrap().expect("there is a deadline");
    assert!((1..=60_000).contains(&left), "{left}");
    let left = client.call::<Option<u64>>("left", ()).no_deadline();
    assert_eq!(within(left.into_future()).await.unwrap(), None);

    let late = client.call::<i64>("wait", ()).deadline(Duration::from_millis(30));
    let error = within(late.into_future()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
}

#[tokio::test]
async fn the_deadline_of_an_opening_does_not_cut_a_stream() {
    let service = MyFar::default();
    let (client, _far) = over_mem(&service).await;
    let opening = Duration::from_millis(500);
    let options = procall::CallOptions {
        deadline: procall::Deadline::Opening(opening),
        items_out: true,
        ..Default::default()
    };
    let request = Request::new("count", procall::Encoding::Msgpack, &[0x91, 0xcd, 0x0f, 0xff]);
    let mut call = client.connection().start(request.with_options(options)).unwrap();
    let mut next = async || within(std::future::poll_fn(|cx| call.poll_item(cx.waker()))).await;
    next().await.unwrap().unwrap();
    // The window is full, so the rest of the items come after the deadline of the opening.
    let late = client.call::<i64>("wait", ()).deadline(opening);
    assert!(within(late.into_future()).await.is_err());
    let mut items = 1;
    while let Some(item) = next().await {
        item.unwrap();
        items += 1;
    }
    assert_eq!(items, 0xfff);
}

#[tokio::test]
async fn leaving_a_stream_early_ends_the_far_one() {
    let service = MyFar::default();
    let (client, _far) = over_mem(&service).await;
    let mut stream = client.stream::<i64>("count", (i64::MAX,));
    assert_eq!(within(stream.next()).await.unwrap().unwrap(), 0);
    drop(stream);
    service.dropped.happened().await;
}

#[tokio::test]
async fn a_slow_reader_slows_the_far_writer() {
    let service = MyFar::default();
    let (client, _far) = over_mem(&service).await;
    let mut stream = client.stream::<i64>("count", (i64::MAX,));
    for n in 0..1000 {
        assert_eq!(within(stream.next()).await.unwrap().unwrap(), n);
    }
    // A window on each side of the relay, an item in it, and one that is being made.
    let ahead = service.made.load(Ordering::SeqCst) - 1000;
    assert!(ahead <= 2 * 64 + 2, "{ahead} items were made that nobody has read");
}

#[tokio::test]
async fn a_slow_handler_slows_the_caller_who_sends() {
    let service = MyFar::default();
    let (client, _far) = over_mem(&service).await;
    let taken = Arc::new(AtomicU64::new(0));
    let count = taken.clone();
    let numbers = (1..=5000_i64).inspect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let call = client.send_stream::<i64, _>("hold", (), numbers);
    let call = tokio::spawn(call.into_future());
    service.begun.happened().await;
    let other = client.call::<i64>("add", (1, 2));
    assert_eq!(within(other.into_future()).await.unwrap(), 3, "others are not held up");
    let ahead = taken.load(Ordering::SeqCst);
    assert!(ahead <= 2 * 64 + 3, "{ahead} items were taken for a handler that has read one");
    service.go.set();
    assert_eq!(within(call).await.unwrap().unwrap(), 12_502_500);
}

#[tokio::test]
async fn progress_passes() {
    let service = MyFar::default();
    let (client, _far) = over_mem(&service).await;
    let seen = Arc::new(std::sync::Mutex::new(None));
    let (sink, go) = (seen.clone(), service.go.clone());
    let call = client.call::<i64>("report", ()).on_progress(move |progress| {
        *sink.lock().unwrap() = Some((progress.done, progress.total, progress.text));
        go.set();
    });
    assert_eq!(within(call.into_future()).await.unwrap(), 2);
    assert_eq!(*seen.lock().unwrap(), Some((1, Some(2), "half".to_owned())));
}

#[tokio::test]
async fn metadata_and_notifications_pass() {
    #[derive(serde::Serialize)]
    struct Meta {
        user: u64,
    }
    let service = MyFar::default();
    let (client, _far) = over_mem(&service).await;
    let call = client.call::<Option<u64>>("meta", ()).meta(&Meta { user: 12 });
    assert_eq!(within(call.into_future()).await.unwrap(), Some(12));
    client.notify("tell", (7,)).unwrap();
    service.told.happened().await;
}

#[tokio::test]
async fn a_relay_needs_to_know_what_it_offers() {
    let behind = client(MyFar::default().into_service()).await;
    let unknown = Known { client: behind.clone(), registration: None };
    let error = Service::relay("calc", Arc::new(unknown)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    let known = Known { client: behind, registration: Some(Registration::default()) };
    let error = Service::relay("no name", Arc::new(known)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn methods_of_its_own_stand_in_nobodys_way() {
    let behind = client(Service::new("calc").method("workers", || 7)).await;
    let registration = Some(behind.methods().await.unwrap());
    let relay = Service::relay("calc", Arc::new(Known { client: behind, registration })).unwrap();
    let client = client(relay.method("procall.workers", || 9)).await;
    assert_eq!(client.call::<i64>("workers", ()).await.unwrap(), 7);
    assert_eq!(client.call::<i64>("procall.workers", ()).await.unwrap(), 9);
}

/// The `to` and the `key` of a call, and whether it may run twice.
type Wish = (Option<Arc<str>>, Option<Arc<str>>, bool);

/// Remembers which worker was asked for.
struct Wishes {
    known: Known,
    seen: Arc<std::sync::Mutex<Vec<Wish>>>,
}

impl Channel for Wishes {
    fn start(&self, request: Request<'_>) -> Result<Started, Error> {
        let options = &request.options;
        self.seen.lock().unwrap().push((
            options.to.clone(),
            options.key.clone(),
            options.idempotent,
        ));
        self.known.start(request)
    }

    fn notify(&self, request: Request<'_>) -> Result<(), Error> {
        self.known.notify(request)
    }

    fn registration(&self) -> Option<Arc<Registration>> {
        self.known.registration()
    }

    fn metrics(&self) -> Metrics {
        self.known.metrics()
    }

    fn close(&self) {
        self.known.close();
    }
}

#[tokio::test]
async fn metadata_chooses_the_worker() {
    let behind = client(Service::new("calc").method("add", |a: i64, b: i64| a + b)).await;
    let registration = Some(behind.methods().await.unwrap());
    let seen = Arc::default();
    let wishes = Wishes { known: Known { client: behind, registration }, seen: Arc::clone(&seen) };
    let client = client(Service::relay("calc", Arc::new(wishes)).unwrap()).await;
    let metas = [
        serde_json::json!({"to": "calc/2", "mine": 1}),
        serde_json::json!({"key": "a"}),
        serde_json::json!({"to": 7}),
    ];
    for meta in metas {
        let call = client.call::<i64>("add", (1, 2)).meta(&meta);
        assert_eq!(within(call.into_future()).await.unwrap(), 3);
    }
    // The options of a call say the same.
    let call = client.call::<i64>("add", (1, 2)).to("calc/1").key("b").idempotent();
    assert_eq!(within(call.into_future()).await.unwrap(), 3);
    let wanted = [
        (Some("calc/2".into()), None, false),
        (None, Some("a".into()), false),
        (None, None, false),
        (Some("calc/1".into()), Some("b".into()), true),
    ];
    assert_eq!(*seen.lock().unwrap(), wanted);
}
