//! Streams that a caller sends, and streams both ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use procall::{Context, Error, ErrorCode, Executed, Stream, StreamCall};

use crate::support::{Event, TRANSPORTS, Transport, blocking, client, client_over, within};

#[procall::service(name = "calc")]
trait Sums {
    async fn sum(&self, values: Stream<i64>) -> Result<i64, Error>;
    /// Answers after the first item.
    async fn first(&self, values: Stream<i64>) -> Result<i64, Error>;
    /// Reads nothing until it is told to.
    async fn slow(&self, values: Stream<i64>) -> Result<i64, Error>;
    async fn echo(&self, values: Stream<String>) -> Stream<String>;
    /// Sends three items whatever comes, and ends.
    async fn three(&self, values: Stream<i64>) -> Stream<i64>;
    /// Tells how far it is before it echoes.
    async fn reported(&self, ctx: Context, values: Stream<String>) -> Stream<String>;
    async fn add(&self, a: i64, b: i64) -> i64;
}

#[derive(Default, Clone)]
struct MySums {
    go: Event,
    cut: Event,
    dropped: Event,
}

impl Sums for MySums {
    async fn sum(&self, mut values: Stream<i64>) -> Result<i64, Error> {
        let mut sum = 0;
        while let Some(value) = values.next().await {
            sum += value.inspect_err(|_| self.cut.set())?;
        }
        Ok(sum)
    }

    async fn reported(&self, ctx: Context, values: Stream<String>) -> Stream<String> {
        ctx.progress(1, None, "listening");
        values
    }

    async fn first(&self, mut values: Stream<i64>) -> Result<i64, Error> {
        values.next().await.unwrap_or_else(|| Ok(-1))
    }

    async fn slow(&self, values: Stream<i64>) -> Result<i64, Error> {
        let _guard = self.dropped.on_drop();
        self.go.happened().await;
        self.sum(values).await
    }

    async fn echo(&self, values: Stream<String>) -> Stream<String> {
        values
    }

    async fn three(&self, _values: Stream<i64>) -> Stream<i64> {
        Stream::from_iter([1, 2, 3])
    }

    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }
}

/// Numbers from 1, counted as they are taken.
fn numbers(n: i64) -> (impl Iterator<Item = i64> + Send + 'static, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let count = taken.clone();
    let numbers = (1..=n).inspect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    (numbers, taken)
}

#[test]
fn progress_is_told_to_whoever_sends_by_hand() {
    let (client, _host) = blocking(Transport::Mem, MySums::default().into_service());
    let (reports, seen) = std::sync::mpsc::sync_channel(1 << 10);
    let mut echoed = StreamCall::<String>::new(&client, "reported", ())
        .on_progress(move |progress| reports.send(progress.to_string()).unwrap())
        .open::<String>();
    assert!(echoed.send(&"to".to_owned()).unwrap());
    assert_eq!(echoed.next().unwrap().unwrap(), "to");
    assert_eq!(seen.try_recv().unwrap(), "1 listening");
    echoed.finish();
    assert!(echoed.next().is_none());
}

#[tokio::test]
async fn a_stream_is_sent_while_the_answer_is_awaited() {
    for transport in TRANSPORTS {
        let (client, _serving) = client_over(transport, MySums::default().into_service()).await;
        let sum = client.send_stream::<i64, _>("sum", (), 1..=5000_i64);
        assert_eq!(within(sum.into_future()).await.unwrap(), 12_502_500);
        let none = client.send_stream::<i64, i64>("sum", (), []);
        assert_eq!(within(none.into_future()).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_service_that_does_not_read_holds_the_sender_back() {
    let sums = MySums::default();
    let go = sums.go.clone();
    let client = client(sums.into_service()).await;
    let (numbers, taken) = numbers(1000);
    let mut call = client.send_stream::<i64, _>("slow", (), numbers).into_future();
    let held = async {
        for n in 0..100 {
            assert_eq!(client.call::<i64>("add", (n, 1)).await.unwrap(), n + 1);
        }
    };
    tokio::select! {
        biased;
        outcome = &mut call => panic!("it cannot be over: {outcome:?}"),
        () = held => {}
    }
    assert!(
        taken.load(Ordering::SeqCst) <= 65,
        "{taken:?} items were taken for a service that read none"
    );
    go.set();
    assert_eq!(within(call).await.unwrap(), 500_500);
    assert_eq!(taken.load(Ordering::SeqCst), 1000);
}

#[tokio::test]
async fn a_service_may_answer_before_the_stream_has_ended() {
    for transport in TRANSPORTS {
        let (client, _serving) = client_over(transport, MySums::default().into_service()).await;
        let endless = client.send_stream::<i64, _>("first", (), 7_i64..);
        assert_eq!(within(endless.into_future()).await.unwrap(), 7);
        let endless = client.duplex::<i64, _>("three", (), 0_i64..);
        assert_eq!(within(endless.collect()).await.unwrap(), [1, 2, 3]);
        assert_eq!(client.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn an_error_of_the_senders_own_cancels_the_call() {
    let sums = MySums::default();
    let cut = sums.cut.clone();
    let client = client(sums.into_service()).await;
    let items = (1..=3).map(Ok).chain([Err(Error::handler("DiskFull", "no room"))]);
    let items = Stream::<i64>::new(futures_util::stream::iter(items));
    let error =
        within(client.send_stream::<i64, _>("sum", (), items).into_future()).await.unwrap_err();
    assert_eq!(error.remote_type(), Some("DiskFull"));
    assert_eq!(error.executed(), Executed::Maybe);
    // The service sees a stream that was cut short, or is dropped before it looks.
    let _ = cut;
    assert_eq!(client.call::<i64>("add", (1, 2)).await.unwrap(), 3);

    let items = Stream::<String>::new(futures_util::stream::iter([
        Ok("one".to_owned()),
        Err(Error::handler("DiskFull", "no room")),
    ]));
    let mut echo = client.duplex::<String, _>("echo", (), items);
    let error = loop {
        match within(echo.next()).await.expect("never a silent end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.remote_type(), Some("DiskFull"));
}

#[tokio::test]
async fn dropping_a_call_that_sends_cancels_it() {
    let sums = MySums::default();
    let dropped = sums.dropped.clone();
    let client = client(sums.into_service()).await;
    let mut call = client.send_stream::<i64, _>("slow", (), 0_i64..).into_future();
    let others = async {
        for n in 0..10 {
            client.call::<i64>("add", (n, 1)).await.unwrap();
        }
    };
    tokio::select! {
        biased;
        outcome = &mut call => panic!("it cannot be over: {outcome:?}"),
        () = others => {}
    }
    drop(call);
    dropped.happened().await;
}

#[tokio::test]
async fn a_stream_both_ways_reads_while_it_sends() {
    for transport in TRANSPORTS {
        let (client, _serving) = client_over(transport, MySums::default().into_service()).await;
        // Far more than both windows hold: whoever only sends first would wait for ever.
        let words: Vec<String> = (0..5000).map(|n| n.to_string()).collect();
        let echoed = within(client.duplex::<String, _>("echo", (), words.clone()).collect()).await;
        assert_eq!(echoed.unwrap(), words);
    }
}

#[test]
fn threads_send_streams_too() {
    for transport in TRANSPORTS {
        let (client, _host) = blocking(transport, MySums::default().into_service());
        assert_eq!(
            client.send_stream::<i64, _>("sum", (), 1..=5000_i64).wait().unwrap(),
            12_502_500
        );
        assert_eq!(client.send_stream::<i64, _>("first", (), 3_i64..).wait().unwrap(), 3);

        let mut echo = client.duplex::<String, _>("echo", (), (0..1000).map(|n| n.to_string()));
        for n in 0..1000 {
            assert_eq!(echo.wait_next().unwrap().unwrap(), n.to_string());
        }
        assert!(echo.wait_next().is_none());
    }
}

#[test]
fn items_are_sent_by_hand_from_a_thread() {
    for transport in TRANSPORTS {
        let (client, _host) = blocking(transport, MySums::default().into_service());
        let mut echo = client.open::<String, String>("echo", ());
        for n in 0..1000 {
            // As many ahead as fit into the window.
            assert!(echo.send(&n.to_string()).unwrap());
            if n >= 32 {
                assert_eq!(echo.next().unwrap().unwrap(), (n - 32).to_string());
            }
        }
        echo.finish();
        for n in 968..1000 {
            assert_eq!(echo.next().unwrap().unwrap(), n.to_string());
        }
        assert!(echo.next().is_none());
        assert!(echo.next().is_none());

        // Ended by the service: sending says so, and the answer is still there.
        let mut three = client.open::<i64, i64>("three", ());
        while three.send(&0).unwrap() {}
        for n in 1..=3 {
            assert_eq!(three.next().unwrap().unwrap(), n);
        }
        assert!(three.next().is_none());

        let mut unknown = client.open::<i64, i64>("nothing", ());
        let error = unknown.next().unwrap().unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound);
        assert!(!unknown.send(&1).unwrap());
    }
}

#[tokio::test]
async fn a_stream_that_outlives_its_call_ends_in_an_error() {
    let (handed, mut streams) = tokio::sync::mpsc::channel::<Stream<i64>>(1);
    let service = Leaks(handed).into_service();
    let (client, _serving) = client_over(Transport::Mem, service).await;
    client.send_stream::<(), _>("leak", (), [1_i64]).await.unwrap();
    let mut stream = streams.recv().await.unwrap();
    let outcome = loop {
        match within(stream.next())
            .await
            .expect("a stream that was not read to its end does not end well")
        {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(outcome.code(), ErrorCode::Cancelled);
}

#[procall::service(name = "calc")]
trait Leak {
    async fn leak(&self, values: Stream<i64>);
}

struct Leaks(tokio::sync::mpsc::Sender<Stream<i64>>);

impl Leak for Leaks {
    async fn leak(&self, values: Stream<i64>) {
        self.0.send(values).await.unwrap();
    }
}
