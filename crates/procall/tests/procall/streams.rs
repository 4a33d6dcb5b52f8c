//! Streams that a service sends: order, credit, the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use procall::{Context, Error, ErrorCode, Service, Stream, StreamCall};

use crate::support::{
    Event, TRANSPORTS, Transport, blocking, client, client_over, poll_until, within,
};

/// What a sender may be ahead of its reader.
const WINDOW: u64 = 64;

fn service() -> (Service, Arc<AtomicU64>) {
    let made = Arc::new(AtomicU64::new(0));
    let count = made.clone();
    let service = Service::new("calc")
        .stream_method("count", move |n: u64| {
            let count = count.clone();
            Stream::from_iter((0..n).inspect(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            }))
        })
        .stream_method("large", |n: u64| Stream::from_iter((0..n).map(|_| "x".repeat(200_000))))
        .stream_method("cut", |n: u64| {
            let items = (0..n).map(Ok);
            let error = std::iter::once(Err(Error::handler("DiskFull", "no room")));
            Stream::new(futures_util::stream::iter(items.chain(error)))
        })
        .stream_method("steps", |ctx: Context, n: u64| {
            ctx.progress(n, Some(n), "ready");
            Stream::from_iter(0..n)
        })
        .method("add", |a: i64, b: i64| a + b);
    (service, made)
}

#[tokio::test]
async fn items_arrive_in_order_and_then_the_end() {
    for transport in TRANSPORTS {
        let (client, _serving) = client_over(transport, service().0).await;
        let numbers = within(client.stream::<u64>("count", (10_000,)).collect()).await.unwrap();
        assert!(numbers.into_iter().eq(0..10_000));
        assert!(client.stream::<u64>("count", (0,)).collect().await.unwrap().is_empty());
        let large = within(client.stream::<String>("large", (20,)).collect()).await.unwrap();
        assert!(large.len() == 20 && large.iter().all(|text| text.len() == 200_000));
    }
}

#[tokio::test]
async fn progress_arrives_before_the_items() {
    let (client, _serving) = client_over(Transport::Mem, service().0).await;
    let (reports, mut seen) = tokio::sync::mpsc::channel(4);
    let call = StreamCall::<u64>::new(&client, "steps", (3,))
        .on_progress(move |progress| reports.try_send(progress.to_string()).unwrap());
    let mut stream = call.start();
    assert_eq!(within(stream.next()).await.unwrap().unwrap(), 0);
    assert_eq!(seen.try_recv().unwrap(), "3/3 ready");
    assert_eq!(within(stream.collect()).await.unwrap(), [1, 2]);
    assert_eq!(seen.recv().await, None);
}

#[test]
fn progress_is_told_to_whoever_waits_on_a_thread() {
    let (client, _host) = blocking(Transport::Mem, service().0);
    let (reports, seen) = std::sync::mpsc::sync_channel(1 << 10);
    let mut stream = StreamCall::<u64>::new(&client, "steps", (2,))
        .on_progress(move |progress| reports.send(progress.to_string()).unwrap())
        .start();
    assert_eq!(stream.wait_next().unwrap().unwrap(), 0);
    assert_eq!(seen.try_recv().unwrap(), "2/2 ready");
    assert_eq!(stream.wait_next().unwrap().unwrap(), 1);
    assert!(stream.wait_next().is_none());
    drop(stream);
    assert_eq!(seen.iter().count(), 0);
}

#[tokio::test]
async fn a_slow_reader_slows_its_own_writer_only() {
    let (service, made) = service();
    let (client, _serving) = client_over(Transport::Mem, service).await;
    let mut slow = client.stream::<u64>("count", (1_000_000,));
    assert_eq!(within(slow.next()).await.unwrap().unwrap(), 0);
    // A call that comes back shows that everything before it was done, as far as credit goes.
    for n in 0..200 {
        assert_eq!(client.call::<i64>("add", (n, 1)).await.unwrap(), n + 1);
    }
    // The window, the grant for the item taken, and the one that waits for credit.
    let ahead = made.load(Ordering::SeqCst);
    assert!(ahead <= 2 * WINDOW + 1, "{ahead} items were made for one reader of one");
    for n in 1..1000 {
        assert_eq!(within(slow.next()).await.unwrap().unwrap(), n);
    }
    let ahead = made.load(Ordering::SeqCst);
    assert!(ahead <= 1000 + 2 * WINDOW + 1, "{ahead} items were made for a reader of 1000");
}

#[tokio::test]
async fn a_stream_cut_short_is_an_error_after_its_items() {
    let client = client(service().0).await;
    let mut stream = client.stream::<u64>("cut", (3,));
    for n in 0..3 {
        assert_eq!(within(stream.next()).await.unwrap().unwrap(), n);
    }
    let error = within(stream.next()).await.unwrap().unwrap_err();
    assert_eq!(error.remote_type(), Some("DiskFull"));
    assert!(stream.next().await.is_none(), "after the error there is nothing");
    assert!(client.stream::<u64>("cut", (3,)).collect().await.is_err());
}

#[tokio::test]
async fn a_stream_is_cut_short_by_the_end_of_its_connection() {
    for transport in TRANSPORTS {
        let (client, serving) = client_over(transport, service().0).await;
        let mut stream = client.stream::<u64>("count", (1_000_000,));
        assert_eq!(within(stream.next()).await.unwrap().unwrap(), 0);
        serving.close();
        let error = loop {
            match within(stream.next()).await.expect("never a silent end") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), ErrorCode::ConnectionLost);
    }
}

#[tokio::test]
async fn an_item_of_another_type_ends_the_stream() {
    let client = client(service().0).await;
    let mut stream = client.stream::<String>("count", (3,));
    let error = within(stream.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidResult);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_stream_asked_for_as_a_value_is_refused_and_the_other_way_round() {
    let client = client(service().0).await;
    let error = client.call::<u64>("count", (3,)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    let error = client.stream::<i64>("add", (1, 2)).collect().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}

#[test]
fn many_streams_on_one_connection_are_all_read_to_their_end() {
    // More messages arrive together than one burst handles: those left behind are announced by nothing.
    for transport in TRANSPORTS {
        let (client, _host) = blocking(transport, service().0);
        let mut streams: Vec<Stream<u64>> =
            (0..60).map(|_| client.stream::<u64>("count", (64,))).collect();
        let finished = Event::default();
        let finish = finished.clone();
        std::thread::spawn(move || {
            for stream in &mut streams {
                for n in 0..64 {
                    assert_eq!(stream.wait_next().unwrap().unwrap(), n);
                }
                assert!(stream.wait_next().is_none());
            }
            finish.set();
        });
        finished.wait();
        poll_until(|| (client.connection().calling() == 0).then_some(()));
    }
}
