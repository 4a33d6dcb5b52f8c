use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use procall::{
    CallOptions, Client, Encoding, Error, ErrorCode, Executed, Heartbeat, Request, Service, Stream,
};
use procall_engine::{CallRow, Event, MethodRow, PeerRow};
use tokio::sync::{Semaphore, mpsc};

use crate::proxy::Proxy;
use crate::support::{House, SAFETY, Worker, math};

/// The engine's events from now on.
pub(crate) async fn events(client: &Client) -> Stream<Event> {
    let events = client.stream("procall.engine.events", ());
    // Calls of one connection are begun in their order: after this answer the events are watched.
    let _: Vec<PeerRow> = client.call("procall.engine.peers", ()).await.unwrap();
    events
}

/// The next event that is so.
pub(crate) async fn next<R>(
    events: &mut Stream<Event>,
    mut so: impl FnMut(&Event) -> Option<R>,
) -> R {
    let look = async {
        loop {
            let event = events.next().await.expect("the events go on").unwrap();
            if let Some(found) = so(&event) {
                return found;
            }
        }
    };
    tokio::time::timeout(SAFETY, look).await.expect("no such event came")
}

/// A notification to everybody.
async fn tell_all(client: &Client, method: &str, number: usize) {
    let meta = procall::json::from_json(br#"{"broadcast": true}"#).unwrap();
    let options = CallOptions { meta, ..CallOptions::default() };
    let body = format!("[{number}]");
    let request = Request::new(method, Encoding::Json, body.as_bytes()).with_options(options);
    client.connection().notify(request).unwrap();
}

#[tokio::test]
async fn events_come_in_their_order() {
    let beat = Heartbeat {
        interval: Duration::from_millis(150),
        timeout: Duration::from_millis(150),
        misses: 1,
    };
    let house = House::with(|builder| builder.heartbeat(Some(beat)));
    let proxy = Proxy::start(&house.address).await;
    let watcher = house.client().await;
    let mut events = events(&watcher).await;
    let worker = Worker::start(math(), &proxy.address);
    // Of other peers, such as the clients of this test, there are events too.
    let id = next(&mut events, |event| match event {
        Event::Registered { peer, methods, quarantined } if peer.name == "math/1" => {
            assert_eq!((&methods[..], quarantined.len()), (&["math.add".to_owned()][..], 0));
            Some(peer.id.clone())
        }
        _ => None,
    })
    .await;
    proxy.freeze();
    let mut of_worker = |event: &Event| match event {
        Event::Suspected { peer } if peer.id == id => Some("suspected"),
        Event::Recovered { peer } if peer.id == id => Some("recovered"),
        Event::GoingAway { peer } if peer.id == id => Some("going"),
        Event::Left { peer, .. } if peer.id == id => Some("left"),
        Event::Joined { peer } if peer.id == id => Some("joined"),
        _ => None,
    };
    assert_eq!(next(&mut events, &mut of_worker).await, "suspected");
    let row = house.until(|peers| peers.iter().any(|peer| peer.state == "suspected")).await;
    assert!(row.iter().any(|peer| peer.name == "math/1" && peer.last_seen > 0.0));
    proxy.thaw();
    assert_eq!(next(&mut events, &mut of_worker).await, "recovered");
    tell_all(&watcher, "tick", 7).await;
    let params = next(&mut events, |event| match event {
        Event::Notified { method, params, .. } if method == "tick" => Some(params.clone()),
        Event::Left { peer, .. } => {
            assert_ne!(peer.id, id);
            None
        }
        _ => None,
    })
    .await;
    assert_eq!(params, serde_json::json!([7]));
    drop((worker, proxy));
    let left = async {
        loop {
            match next(&mut events, &mut of_worker).await {
                "left" => return,
                other => assert!(["going", "suspected", "recovered"].contains(&other), "{other}"),
            }
        }
    };
    tokio::time::timeout(SAFETY, left).await.unwrap();
}

#[tokio::test]
async fn who_comes_has_joined_before_it_registers() {
    let house = House::new();
    let watcher = house.client().await;
    let mut events = events(&watcher).await;
    let _worker = Worker::start(math(), &house.address);
    let mut joined = Vec::new();
    let registered = next(&mut events, |event| match event {
        Event::Joined { peer } => {
            joined.push(peer.id.clone());
            None
        }
        Event::Registered { peer, .. } => Some(peer.id.clone()),
        _ => None,
    })
    .await;
    assert!(joined.contains(&registered));
}

#[tokio::test]
async fn a_slow_reader_of_events_loses_the_oldest_and_is_told_how_many() {
    /// More than wait in the engine and on the way.
    const MANY: usize = 4_000;
    let house = House::new();
    let watcher = house.client().await;
    let mut events = events(&watcher).await;
    let teller = house.client().await;
    for number in 0..MANY {
        tell_all(&teller, "tick", number).await;
        if number % 50 == 0 {
            teller.call::<()>("procall.ping", ()).await.unwrap();
        }
    }
    teller.call::<()>("procall.ping", ()).await.unwrap();
    let (mut seen, mut missed, mut last) = (0, 0, None);
    while last != Some(MANY - 1) {
        next(&mut events, |event| match event {
            Event::Notified { params, .. } => {
                let number = usize::try_from(params[0].as_u64().unwrap()).unwrap();
                assert!(last < Some(number), "{last:?} before {number}");
                (seen, last) = (seen + 1, Some(number));
                Some(())
            }
            Event::Missed { count } => {
                missed += usize::try_from(*count).unwrap();
                Some(())
            }
            _ => None,
        })
        .await;
    }
    assert!(missed > 0, "all {seen} came: nobody was slow");
    assert_eq!(seen + missed, MANY);
}

#[tokio::test]
async fn the_events_end_with_the_engine_and_do_not_keep_it() {
    // Longer than this test may take: whoever waits for it has failed.
    let house = House::with(|builder| builder.drain(SAFETY * 10));
    let watcher = house.client().await;
    let mut events = events(&watcher).await;
    let stopped = tokio::spawn(house.engine.stop());
    let ended = async { while events.next().await.is_some_and(|event| event.is_ok()) {} };
    tokio::time::timeout(SAFETY, ended).await.expect("the events go on");
    tokio::time::timeout(SAFETY, stopped).await.expect("it waits for its readers").unwrap();
}

/// Tells when the call that has it is dropped.
struct Ended(mpsc::Sender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        // The test may have what it wants already.
        let _ = self.0.try_send(());
    }
}

#[tokio::test]
async fn cancel_ends_a_call_at_its_caller_and_at_its_worker() {
    let house = House::new();
    let (sender, mut ended) = mpsc::channel(1);
    let service = Service::new("slow").async_method("wait", move || {
        let guard = Ended(sender.clone());
        async move {
            let _guard = guard;
            std::future::pending::<Result<(), Error>>().await
        }
    });
    let _worker = house.serve(service).await;
    let client = house.client().await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.call::<()>("slow.wait", ()).await }
    });
    house.until(|peers| peers.iter().any(|peer| peer.in_flight == 1)).await;
    let rows: Vec<CallRow> = client.call("procall.engine.calls", ()).await.unwrap();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((&*row.method, &*row.worker), ("slow.wait", "slow/1"));
    client.call::<()>("procall.engine.cancel", (row.call,)).await.unwrap();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Cancelled, Executed::Maybe));
    tokio::time::timeout(SAFETY, ended.recv()).await.expect("the worker was not told").unwrap();
    let again = client.call::<()>("procall.engine.cancel", (row.call,)).await.unwrap_err();
    assert_eq!(again.code(), ErrorCode::NotFound);
}

/// One call at a time, each until it is let go.
fn gated(gate: &Arc<Semaphore>) -> Service {
    let gate = gate.clone();
    Service::new("slow").concurrency(1).async_method("work", move |number: u64| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.map_err(|_| Error::handler("gate", "closed"))?.forget();
            Ok::<_, Error>(number)
        }
    })
}

#[tokio::test]
async fn a_drained_peer_loses_no_call_and_gets_no_new_one() {
    let house = House::new();
    let gate = Arc::new(Semaphore::new(0));
    let _one = house.serve(gated(&gate)).await;
    let client = house.client().await;
    let calls: Vec<_> = (0..3_u64)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move { client.call::<u64>("slow.work", (number,)).await })
        })
        .collect();
    let waiting = async {
        loop {
            let rows: Vec<MethodRow> = client.call("procall.engine.list", ()).await.unwrap();
            if rows.iter().any(|row| row.name == "slow.work" && row.waiting == 2) {
                return;
            }
        }
    };
    tokio::time::timeout(SAFETY, waiting).await.expect("they never waited");

    let drain = |undo: bool| {
        let rows = client.call::<Vec<PeerRow>>("procall.engine.drain", ("slow/1", undo));
        async move { rows.await.unwrap() }
    };
    let rows = drain(false).await;
    assert_eq!((rows.len(), &*rows[0].state), (1, "draining"));
    let refused = client.call::<u64>("slow.work", (9,)).await.unwrap_err();
    assert_eq!((refused.code(), refused.executed()), (ErrorCode::Unavailable, Executed::No));

    // Another worker gets what comes now, and may take some of those that wait.
    let other = Arc::new(Semaphore::new(8));
    let _two = house.serve(gated(&other)).await;
    assert_eq!(client.call::<u64>("slow.work", (10,)).await.unwrap(), 10);
    gate.add_permits(3);
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), number as u64);
    }
    house.until(|peers| peers.iter().any(|peer| peer.state == "drained")).await;
    let rows = drain(true).await;
    assert_eq!(rows[0].state, "ready");
}

#[tokio::test]
async fn keys_move_away_from_a_drained_peer() {
    let house = House::new();
    let who = |name: &'static str| Service::new("who").method("am", move || name.to_owned());
    let _one = house.serve(who("one")).await;
    let _two = house.serve(who("two")).await;
    let client = house.client().await;
    let meta = procall::json::from_json(br#"{"key": "k"}"#).unwrap();
    let ask = || async {
        let options = CallOptions { meta: meta.clone(), ..CallOptions::default() };
        let request = Request::new("who.am", Encoding::Json, b"[]").with_options(options);
        let mut started: procall::Started = client.connection().start(request).unwrap().into();
        let reply = std::future::poll_fn(|cx| started.poll_reply(cx.waker())).await.unwrap();
        reply.decode::<String>().unwrap()
    };
    let first = ask().await;
    assert_eq!(ask().await, first);
    let place = if first == "one" { "who/1" } else { "who/2" };
    let _: Vec<PeerRow> = client.call("procall.engine.drain", (place, false)).await.unwrap();
    assert_ne!(ask().await, first);
}

#[tokio::test]
async fn the_pool_behind_a_peer_is_asked_to_restart() {
    let house = House::new();
    let restarts = Arc::new(AtomicUsize::new(0));
    let counted = restarts.clone();
    let pool = Service::new("calc").method("add", |a: i64, b: i64| a + b).method(
        "procall.restart",
        move || {
            counted.fetch_add(1, Ordering::Relaxed);
        },
    );
    let _pool = house.serve(pool).await;
    let _plain = house.serve(math()).await;
    let client = house.client().await;
    let names: Vec<String> = client.call("procall.engine.restart", ("calc",)).await.unwrap();
    assert_eq!((names, restarts.load(Ordering::Relaxed)), (vec!["calc/1".to_owned()], 1));
    let error = client.call::<Vec<String>>("procall.engine.restart", ("math",)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    let error = client.call::<Vec<String>>("procall.engine.restart", ("mat",)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    // What a relay has for the engine is nobody else's to call.
    let error = client.call::<()>("procall.restart", ()).await.unwrap_err();
    assert_eq!((error.code(), restarts.load(Ordering::Relaxed)), (ErrorCode::NotFound, 1));
}

#[tokio::test]
async fn no_notification_passes_for_an_action() {
    let house = House::new();
    let restarts = Arc::new(AtomicUsize::new(0));
    let counted = restarts.clone();
    let restart = move || {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let pool = Service::new("calc").method("procall.restart", restart);
    let _pool = Worker::start(pool, &house.address);
    house.until(|peers| peers.iter().any(|peer| peer.name == "calc/1")).await;
    let client = house.client().await;
    let tell = |method: &str, meta: &str| {
        let meta = procall::json::from_json(meta.as_bytes()).unwrap();
        let options = CallOptions { meta, ..CallOptions::default() };
        let request = Request::new(method, Encoding::Json, b"[]").with_options(options);
        client.connection().notify(request).unwrap();
    };
    tell("procall.restart", r#"{"to": "calc/1"}"#);
    tell("procall.restart", r#"{"all": true}"#);
    tell("procall.engine.stop", "{}");
    tell("procall.engine.stop", r#"{"to": "engine"}"#);
    // These go the same ways, behind whatever had been passed on.
    let _: Vec<PeerRow> = client.call("procall.engine.peers", ()).await.unwrap();
    let _: Vec<String> = client.call("procall.engine.restart", ("calc",)).await.unwrap();
    assert_eq!(restarts.load(Ordering::Relaxed), 1);
    let mut asked = std::pin::pin!(house.engine.asked_to_stop());
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(asked.as_mut().poll(cx))).await;
    assert!(polled.is_pending(), "a notification has stopped the engine");
}

#[tokio::test]
async fn the_engine_is_asked_to_stop_by_its_full_name_only() {
    let house = House::new();
    let client = house.client().await;
    for bare in ["stop", "cancel", "drain", "restart"] {
        let error = client.call::<()>(bare, ()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound, "{bare}");
    }
    client.call::<Vec<String>>("procall.engine.stop", ()).await.unwrap();
    tokio::time::timeout(SAFETY, house.engine.asked_to_stop()).await.expect("it was not told");
    house.engine.stop().await;
}
