//! A call that nobody wants any more ends where it runs.

use procall::{Context, Error, ErrorCode, Service, Stream};

use crate::support::{Event, LONG, TRANSPORTS, Transport, blocking, client_over, within};

struct Seen {
    started: Event,
    dropped: Event,
    cancelled: Event,
}

fn service() -> (Service, Seen) {
    let seen =
        Seen { started: Event::default(), dropped: Event::default(), cancelled: Event::default() };
    let (started, dropped, cancelled) =
        (seen.started.clone(), seen.dropped.clone(), seen.cancelled.clone());
    let watched = seen.started.clone();
    let streaming = (seen.started.clone(), seen.dropped.clone());
    let service = Service::new("calc")
        .async_method("never", move || {
            let (guard, started) = (dropped.on_drop(), started.clone());
            async move {
                let _guard = guard;
                started.set();
                std::future::pending::<Result<i64, Error>>().await
            }
        })
        .async_method("watch", move |ctx: Context| {
            let (cancelled, started) = (cancelled.clone(), watched.clone());
            // Elsewhere, because the handler itself is dropped.
            tokio::spawn(async move {
                ctx.cancelled().await;
                assert!(ctx.is_cancelled());
                cancelled.set();
            });
            async move {
                tokio::task::yield_now().await;
                started.set();
                std::future::pending::<Result<i64, Error>>().await
            }
        })
        .stream_method("endless", move || {
            let (started, guard) = (streaming.0.clone(), streaming.1.on_drop());
            Stream::from_iter((0_u64..).inspect(move |_| {
                let _ = &guard;
                started.set();
            }))
        })
        .method("add", |a: i64, b: i64| a + b);
    (service, seen)
}

#[tokio::test]
async fn dropping_a_call_drops_its_handler() {
    for transport in TRANSPORTS {
        let (service, seen) = service();
        let (client, _serving) = client_over(transport, service).await;
        let mut call = client.call::<i64>("never", ()).into_future();
        tokio::select! {
            biased;
            _ = &mut call => unreachable!("it never answers"),
            () = seen.started.happened() => {}
        }
        drop(call);
        seen.dropped.happened().await;
        assert_eq!(client.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_context_tells_everybody_who_asks() {
    let (service, seen) = service();
    let (client, _serving) = client_over(Transport::Mem, service).await;
    let call = tokio::spawn(client.call::<i64>("watch", ()).into_future());
    seen.started.happened().await;
    call.abort();
    seen.cancelled.happened().await;
}

#[tokio::test]
async fn a_context_is_not_waited_for_in_vain_once_the_call_is_answered() {
    let heard = Event::default();
    let note = heard.clone();
    let service = Service::new("calc").async_method("quick", move |ctx: Context| {
        let note = note.clone();
        let watching = tokio::spawn(async move {
            ctx.cancelled().await;
            note.set();
        });
        async move {
            // The watcher has asked before the answer is given.
            tokio::task::yield_now().await;
            drop(watching);
            Ok::<_, Error>(1_i64)
        }
    });
    let (client, _serving) = client_over(Transport::Mem, service).await;
    assert_eq!(client.call::<i64>("quick", ()).await.unwrap(), 1);
    heard.happened().await;
}

#[tokio::test]
async fn leaving_a_stream_early_ends_its_producer() {
    for transport in TRANSPORTS {
        let (service, seen) = service();
        let (client, _serving) = client_over(transport, service).await;
        let mut stream = client.stream::<u64>("endless", ());
        for n in 0..3 {
            assert_eq!(within(stream.next()).await.unwrap().unwrap(), n);
        }
        drop(stream);
        seen.dropped.happened().await;
        assert_eq!(client.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_client_that_is_gone_cancels_its_calls() {
    for transport in TRANSPORTS {
        let (service, seen) = service();
        let (client, _serving) = client_over(transport, service).await;
        let call = client.call::<i64>("never", ()).into_future();
        let waiting = tokio::spawn(call);
        seen.started.happened().await;
        client.close();
        seen.dropped.happened().await;
        let error = within(waiting).await.unwrap().unwrap_err();
        assert_eq!(error.code(), ErrorCode::Closed);
    }
}

#[test]
fn a_dropped_submission_cancels_without_a_runtime() {
    for transport in TRANSPORTS {
        let (service, seen) = service();
        let (client, _host) = blocking(transport, service);
        let call = client.submit::<i64>("never", ()).unwrap();
        seen.started.wait();
        drop(call);
        seen.dropped.wait();
        assert_eq!(client.call::<i64>("add", (1, 2)).wait().unwrap(), 3);
    }
}

#[test]
fn an_interrupt_ends_a_wait_and_cancels_the_call() {
    use procall::{Encoding, Request};
    let (service, seen) = service();
    let (client, _host) = blocking(Transport::Unix, service);
    let (ended, outcomes) = std::sync::mpsc::sync_channel(2);
    for _ in 0..2 {
        let (client, ended) = (client.clone(), ended.clone());
        std::thread::spawn(move || {
            let request = Request::new("never", Encoding::None, &[]);
            let call = client.connection().start(request).unwrap();
            ended.send(call.wait_interruptibly(&mut || true).unwrap_err().code()).unwrap();
        });
    }
    seen.started.wait();
    // One of the two leads, and would see a signal; the other looks for interrupts by itself.
    assert_eq!(outcomes.recv_timeout(LONG).unwrap(), ErrorCode::Cancelled);
    client.close();
    assert_eq!(outcomes.recv_timeout(LONG).unwrap(), ErrorCode::Closed);
}
