//! Clients without a runtime: the calling thread reads the link.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use procall::{Error, ErrorCode, Service, Stream};

use crate::support::{Event, TRANSPORTS, Transport, blocking};

fn calc() -> Service {
    Service::new("calc")
        .method("add", |a: i64, b: i64| a + b)
        .async_method("later", async |n: i64| {
            tokio::task::yield_now().await;
            Ok::<_, Error>(n)
        })
        .stream_method("count", |n: u64| Stream::from_iter(0..n))
}

#[test]
fn a_thread_calls_and_reads_its_answer_itself() {
    for transport in TRANSPORTS {
        let (client, _host) = blocking(transport, calc());
        for n in 0..100 {
            assert_eq!(client.call::<i64>("add", (n, 1)).wait().unwrap(), n + 1);
        }
        assert_eq!(client.methods().unwrap(), *calc().registration());
        let error = client.call::<i64>("sub", (1, 2)).wait().unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound);
    }
}

#[test]
fn calls_may_all_be_on_their_way_before_the_first_answer_is_read() {
    for transport in TRANSPORTS {
        let (client, _host) = blocking(transport, calc());
        let calls: Vec<_> =
            (0..1000).map(|n| client.submit::<i64>("later", (n,)).unwrap()).collect();
        for (n, call) in calls.into_iter().enumerate().rev() {
            assert_eq!(call.wait().unwrap(), n as i64);
        }
    }
}

#[test]
fn held_calls_leave_together() {
    for transport in TRANSPORTS {
        let (client, _host) = blocking(transport, calc());
        let calls: Vec<_> =
            (0..100).map(|n| client.submit_held::<i64>("add", (n, 0)).unwrap()).collect();
        client.flush();
        for (n, call) in calls.into_iter().enumerate() {
            assert_eq!(call.wait().unwrap(), n as i64);
        }
        // Waiting sends what was held, too.
        let call = client.submit_held::<i64>("add", (1, 2)).unwrap();
        assert_eq!(call.wait().unwrap(), 3);
    }
}

#[test]
fn many_threads_share_one_client_and_none_is_forgotten() {
    const THREADS: usize = 8;
    const CALLS: usize = 1000;
    for transport in TRANSPORTS {
        let (client, _host) = blocking(transport, calc());
        let answered = Arc::new(AtomicUsize::new(0));
        let finished: Vec<Event> = (0..THREADS).map(|_| Event::default()).collect();
        for (n, finish) in finished.iter().enumerate() {
            let (client, answered, finish) = (client.clone(), answered.clone(), finish.clone());
            std::thread::spawn(move || {
                for m in 0..CALLS {
                    let id = (n * CALLS + m) as i64;
                    let method = if m % 3 == 0 { "later" } else { "add" };
                    let result = if m % 3 == 0 {
                        client.call::<i64>(method, (id,)).wait()
                    } else {
                        client.call::<i64>(method, (id, 0)).wait()
                    };
                    assert_eq!(result.unwrap(), id);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                finish.set();
            });
        }
        for finish in &finished {
            finish.wait();
        }
        assert_eq!(answered.load(Ordering::Relaxed), THREADS * CALLS);
        assert_eq!(client.connection().calling(), 0);
    }
}

#[test]
fn streams_are_read_by_the_thread_that_wants_them() {
    for transport in TRANSPORTS {
        let (client, _host) = blocking(transport, calc());
        let mut stream = client.stream::<u64>("count", (1000,));
        for n in 0..1000 {
            assert_eq!(stream.wait_next().unwrap().unwrap(), n);
        }
        assert!(stream.wait_next().is_none());
    }
}

#[test]
fn a_close_by_another_thread_ends_every_wait() {
    for transport in TRANSPORTS {
        let started = Event::default();
        let note = started.clone();
        let service = Service::new("calc").async_method("never", move || {
            note.set();
            std::future::pending::<Result<i64, Error>>()
        });
        let (client, _host) = blocking(transport, service);
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let client = client.clone();
                std::thread::spawn(move || client.call::<i64>("never", ()).no_deadline().wait())
            })
            .collect();
        started.wait();
        crate::support::poll_until(|| (client.connection().calling() == 3).then_some(()));
        client.close();
        for thread in waiting {
            assert_eq!(thread.join().unwrap().unwrap_err().code(), ErrorCode::Closed);
        }
    }
}

#[test]
fn what_another_thread_causes_ends_the_sleep_of_the_thread_that_leads() {
    // The drain is done by the answer that another thread gives; the thread that waits for it sleeps in the link, on which nothing moves.
    use procall::{Batch, BlockingClient, Connection, Encoded, Encoding, Side};

    for transport in [Transport::Mem, Transport::Unix] {
        let (ours, theirs) = crate::support::pair(transport);
        let server = Connection::serving(theirs, Side::Acceptor, Default::default());
        let calling = std::thread::spawn(move || {
            BlockingClient::over(ours).unwrap().call::<i64>("slow", ()).wait()
        });
        let mut batch = Batch::new();
        server.wait_calls(&mut batch, None, &mut || false).unwrap();
        let id = batch.iter().next().unwrap().id.unwrap();
        server.drain("enough");
        let draining = server.clone();
        let waiting = Event::default();
        let (about_to_wait, polled) = (waiting.clone(), AtomicUsize::new(0));
        let drained = std::thread::spawn(move || {
            draining.wait_for(Some(crate::support::LONG), &mut || false, |connection, waker| {
                polled.fetch_add(1, Ordering::Relaxed);
                about_to_wait.set();
                connection.poll_drained(waker)
            })
        });
        waiting.wait();
        // The barrier of the drain is back, and the thread asleep, as far as that can be known from outside.
        crate::support::poll_until(|| server.round_trip().map(|_| ()));
        std::thread::yield_now();
        server.reply(id, Encoded::new(Encoding::Msgpack, vec![5]));
        drained.join().unwrap().expect("the drain is seen at once, not when the time is up");
        assert_eq!(calling.join().unwrap().unwrap(), 5);
    }
}
