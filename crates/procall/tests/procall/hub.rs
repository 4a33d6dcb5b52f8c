//! Event loops that are not ours: many connections behind one descriptor.

use std::task::Poll;
use std::time::{Duration, Instant};

use procall::transport::shm::Choice;
use procall::{
    CallOptions, Connection, Deadline, Encoding, Error, ErrorCode, Hub, Request, Service, Side,
};

use crate::support::{Host, LONG, TRANSPORTS, Transport, local_pair, pair, poll_until};

fn service() -> Service {
    Service::new("calc")
        .method("add", |a: i64, b: i64| a + b)
        .async_method("never", std::future::pending::<Result<i64, Error>>)
        .stream_method("count", |n: u64| procall::Stream::from_iter(0..n))
}

/// Turns the hub until `done` says so; every wait ends by the descriptor, and a hang is a failure.
fn turn_until(hub: &Hub, mut done: impl FnMut(&[u64]) -> bool) {
    let start = Instant::now();
    loop {
        if done(&hub.turn()) {
            return;
        }
        assert!(start.elapsed() < LONG, "nothing more happens");
        hub.wait(Some(LONG)).unwrap();
    }
}

#[test]
fn one_loop_makes_calls_on_many_connections() {
    let host = Host::new();
    let hub = Hub::new().unwrap();
    let mut connections = Vec::new();
    for transport in TRANSPORTS {
        let (ours, theirs) = pair(transport);
        host.runtime.block_on(async { service().serve_link(theirs) }).unwrap();
        let connection = Connection::new(ours, Side::Initiator, Default::default());
        hub.attach(&connection).unwrap();
        connections.push(connection);
    }
    let mut calls: Vec<_> = (0..300)
        .map(|n: u64| {
            let params = [0x92, (n % 100) as u8, 1];
            let request = Request::new("add", Encoding::Msgpack, &params);
            let mut pending = connections[(n % 3) as usize].start(request).unwrap();
            assert!(pending.poll_reply(&hub.waker(n)).is_pending());
            Some(pending)
        })
        .collect();
    let mut left = calls.len();
    turn_until(&hub, |woken| {
        for &n in woken {
            let Some(mut pending) = calls[n as usize].take() else { continue };
            match pending.poll_reply(&hub.waker(n)) {
                Poll::Ready(reply) => {
                    assert_eq!(reply.unwrap().bytes, [(n % 100) as u8 + 1]);
                    left -= 1;
                }
                Poll::Pending => calls[n as usize] = Some(pending),
            }
        }
        left == 0
    });
}

#[test]
fn a_deadline_fires_through_the_descriptor() {
    const SHORT: Duration = Duration::from_millis(50);
    let host = Host::new();
    let hub = Hub::new().unwrap();
    for transport in TRANSPORTS {
        let (ours, theirs) = pair(transport);
        host.runtime.block_on(async { service().serve_link(theirs) }).unwrap();
        let connection = Connection::new(ours, Side::Initiator, Default::default());
        hub.attach(&connection).unwrap();
        turn_until(&hub, |_| connection.poll_ready(&hub.waker(1)).is_ready());
        let options = CallOptions { deadline: Deadline::After(SHORT), ..CallOptions::default() };
        let start = Instant::now();
        let request = Request::new("never", Encoding::None, &[]).with_options(options);
        let mut pending = connection.start(request).unwrap();
        let mut outcome = None;
        turn_until(&hub, |_| {
            if let Poll::Ready(reply) = pending.poll_reply(&hub.waker(2)) {
                outcome = Some(reply);
            }
            outcome.is_some()
        });
        assert_eq!(outcome.unwrap().unwrap_err().code(), ErrorCode::DeadlineExceeded);
        assert!(start.elapsed() >= SHORT && start.elapsed() < LONG);
    }
}

#[test]
fn streams_and_the_end_of_the_link_arrive_too() {
    let host = Host::new();
    let hub = Hub::new().unwrap();
    for transport in TRANSPORTS {
        let (ours, theirs) = pair(transport);
        let serving = host.runtime.block_on(async { service().serve_link(theirs) }).unwrap();
        let connection = Connection::new(ours, Side::Initiator, Default::default());
        hub.attach(&connection).unwrap();
        let options = CallOptions { items_out: true, ..CallOptions::default() };
        let request = Request::new("count", Encoding::Msgpack, &[0x91, 100]).with_options(options);
        let mut pending = connection.start(request).unwrap();
        let mut items = 0;
        turn_until(&hub, |_| {
            loop {
                match pending.poll_item(&hub.waker(3)) {
                    Poll::Ready(Some(item)) => {
                        assert_eq!(item.unwrap().bytes, [items]);
                        items += 1;
                    }
                    Poll::Ready(None) => return true,
                    Poll::Pending => return false,
                }
            }
        });
        assert_eq!(items, 100);
        serving.close();
        turn_until(&hub, |_| connection.poll_closed(&hub.waker(4)).is_ready());
        // The end of file is not told for ever.
        turn_until(&hub, |_| !hub.wait(Some(Duration::ZERO)).unwrap());
    }
}

#[test]
fn threads_and_a_loop_may_wait_on_the_same_connection() {
    let host = Host::new();
    let hub = Hub::new().unwrap();
    let (ours, theirs) = pair(crate::support::Transport::Unix);
    host.runtime.block_on(async { service().serve_link(theirs) }).unwrap();
    let connection = Connection::new(ours, Side::Initiator, Default::default());
    hub.attach(&connection).unwrap();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let connection = connection.clone();
            std::thread::spawn(move || {
                for n in 0..500_u64 {
                    let params = [0x92, (n % 100) as u8, 1];
                    let request = Request::new("add", Encoding::Msgpack, &params);
                    let reply = connection.start(request).unwrap().wait().unwrap();
                    assert_eq!(reply.bytes, [(n % 100) as u8 + 1]);
                }
            })
        })
        .collect();
    for n in 0..500_u64 {
        let params = [0x92, (n % 100) as u8, 1];
        let mut pending =
            connection.start(Request::new("add", Encoding::Msgpack, &params)).unwrap();
        turn_until(&hub, |_| pending.poll_reply(&hub.waker(n)).is_ready());
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_hub_that_is_gone_holds_nothing_back() {
    let host = Host::new();
    let (ours, theirs) = pair(Transport::Unix);
    let (seen, arrived) = std::sync::mpsc::sync_channel(6);
    let service = Service::new("calc").method("tell", move |n: u64| seen.try_send(n).unwrap());
    host.runtime.block_on(async { service.serve_link(theirs) }).unwrap();
    let connection = Connection::new(ours, Side::Initiator, Default::default());
    let hub = Hub::new().unwrap();
    hub.attach(&connection).unwrap();
    let start =
        |n: u8| connection.start(Request::new("tell", Encoding::Msgpack, &[0x91, n])).unwrap();
    // With other calls under way these messages wait for the hub's next turn, which never comes. Nobody waits for them either.
    let mut calls: Vec<_> = (0..3).map(start).collect();
    drop(hub);
    calls.extend((3..6).map(start));
    for n in 0..6 {
        assert_eq!(arrived.recv_timeout(LONG), Ok(n));
    }
}

/// A wait that looks leaves links awake, which nobody rings: what comes while the owner of the hub does something else is still read.
#[test]
fn what_comes_while_the_owner_of_a_hub_is_away_is_answered() {
    let host = Host::new();
    let hub = Hub::new().unwrap();
    for _ in 0..20 {
        let (ours, theirs) = local_pair(Some(Choice::Shm), Some(Choice::Shm));
        let serving = host.runtime.block_on(async { service().serve_link(theirs) }).unwrap();
        let connection = Connection::new(ours, Side::Initiator, Default::default());
        hub.attach(&connection).unwrap();
        turn_until(&hub, |_| connection.poll_ready(&hub.waker(1)).is_ready());
        for n in 0..40 {
            let params = [0x92, n, 1];
            let request = Request::new("add", Encoding::Msgpack, &params);
            let mut pending = connection.start(request).unwrap();
            turn_until(&hub, |_| match pending.poll_reply(&hub.waker(1)) {
                Poll::Ready(reply) => {
                    assert_eq!(reply.unwrap().bytes, [n + 1]);
                    true
                }
                Poll::Pending => false,
            });
        }
        assert_eq!(connection.transport(), "shm");
        assert!(serving.ping());
        poll_until(|| serving.round_trip());
    }
}
