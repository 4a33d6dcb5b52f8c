//! When nobody waits on a link, the standby thread reads it: pings are answered, cancels noted, the end seen.

use std::time::{Duration, Instant};

use procall::{
    Batch, BlockingClient, Client, Config, Connection, Encoded, Encoding, Heartbeat, Side,
};

use crate::support::{Event, LONG, TRANSPORTS, pair, poll_until};

/// A heart that beats as fast as is allowed.
fn heartbeat() -> Config {
    let beat = Duration::from_millis(150);
    let heartbeat = Heartbeat { interval: beat, timeout: beat, misses: 2 };
    Config { heartbeat: Some(heartbeat), ..Config::default() }
}

/// Reads a server's side for as long as it lives.
fn read_in_background(server: &Connection) {
    let server = server.clone();
    std::thread::spawn(move || {
        let mut batch = Batch::new();
        while server.wait_calls(&mut batch, None, &mut || false).is_ok() {
            batch.clear();
        }
    });
}

#[test]
fn an_idle_client_answers_pings() {
    for transport in TRANSPORTS {
        let (ours, theirs) = pair(transport);
        let server = Connection::serving(theirs, Side::Acceptor, heartbeat());
        read_in_background(&server);
        let client = BlockingClient::over(ours).unwrap();
        // Beats enough to be suspected thrice over, were one of them missed; the client does nothing.
        for _ in 0..8 {
            let before = server.round_trip();
            let start = Instant::now();
            poll_until(|| (server.round_trip() != before).then_some(()));
            assert!(!server.is_suspected() && start.elapsed() < LONG);
        }
        assert!(!server.is_closed());
        drop(client);
    }
}

#[test]
fn an_idle_client_sees_the_end_of_its_connection() {
    for transport in TRANSPORTS {
        let (ours, theirs) = pair(transport);
        let server = Connection::serving(theirs, Side::Acceptor, Default::default());
        read_in_background(&server);
        let client = BlockingClient::over(ours).unwrap();
        server.close();
        poll_until(|| client.connection().is_closed().then_some(()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_stuck_in_a_handler_answers_pings_and_notes_cancels() {
    for transport in TRANSPORTS {
        let (ours, theirs) = pair(transport);
        let worker = Connection::serving(theirs, Side::Acceptor, heartbeat());
        let (stuck, noted) = (Event::default(), Event::default());
        let (is_stuck, note) = (stuck.clone(), noted.clone());
        let pulling = std::thread::spawn(move || {
            let mut batch = Batch::new();
            worker.wait_calls(&mut batch, None, &mut || false).unwrap();
            let id = batch.iter().next().unwrap().id.unwrap();
            is_stuck.set();
            // The handler reads nothing, and yet it learns that nobody wants its answer.
            poll_until(|| (!worker.is_wanted(id)).then_some(()));
            note.set();
            worker.reply(id, Encoded::new(Encoding::Msgpack, vec![1]));
            assert!(!worker.is_suspected());
        });
        let client = Client::over(ours).await.unwrap();
        let call = tokio::spawn(client.call::<i64>("work", ()).into_future());
        stuck.happened().await;
        let before = client.connection().round_trip();
        assert!(client.connection().ping());
        crate::support::within(async {
            while client.connection().round_trip() == before {
                tokio::task::yield_now().await;
            }
        })
        .await;
        call.abort();
        noted.happened().await;
        pulling.join().unwrap();
    }
}
